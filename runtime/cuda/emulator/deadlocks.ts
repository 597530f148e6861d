import type { ThreadKernel } from '../../../ir/kernel/thread.js';
import { placeBarriers } from '../../../backends/cuda/cuda-shared.js';

/** 64-bit numbers of a `WaitReport` in fibers.ts, and how many a report has. */
export const waitLength = 9;
export const reportedWaits = 6;

/** Invocations that wait at one place for one thing. */
export interface WaitReport {
  /** Of `State` in fibers.ts: 1 `__syncthreads`, 2 an operation of the warp, 3 a barrier in workgroup memory. */
  readonly kind: number;
  readonly line: number;
  /** The first of them. */
  readonly thread: number;
  readonly count: number;
  /** Byte offset of the barrier's array. */
  readonly object: number;
  readonly index: number;
  readonly parity: number;
  /** What the barrier's phase still waits for; less than 0 bytes: more have come than were expected. */
  readonly arrivals: number;
  readonly bytes: number;
}

/** Those of a report's numbers, from its thirteenth on. */
export function decodeWaits(numbers: readonly number[]): readonly WaitReport[] {
  const waits = Array.from({ length: reportedWaits }, (_, at) => numbers.slice(at * waitLength, (at + 1) * waitLength));
  return waits
    .map(([kind = 0, line = 0, thread = 0, count = 0, object = 0, index = 0, parity = 0, arrivals = 0, bytes = 0]) => {
      return { kind, line, thread, count, object, index, parity, arrivals, bytes };
    })
    .filter(({ count }) => count > 0);
}

/** `256 invocations from 0 on wait for filled[1], parity 0 (1 arrival, 49152 bytes missing) at line 30: ...`. */
export function describeWait(wait: WaitReport, kernel: ThreadKernel, at: (line: number) => string): string {
  const { kind, thread, count, line } = wait;
  const who = count === 1 ? `invocation ${thread} waits` : `${count} invocations from ${thread} on wait`;
  const what = kind === 3 ? describePhase(wait, kernel) : kind === 2 ? 'for their warp' : 'for all others';
  return `${who} ${what} at ${at(line)}`;
}

function describePhase({ object, index, parity, arrivals, bytes }: WaitReport, kernel: ThreadKernel): string {
  const placed = placeBarriers(kernel).find(({ byteOffset }) => byteOffset === object);
  const missing = [
    ...(arrivals === 0 ? [] : [`${arrivals} ${arrivals === 1 ? 'arrival' : 'arrivals'} missing`]),
    ...(bytes > 0 ? [`${bytes} bytes missing`] : bytes < 0 ? [`${-bytes} bytes not expected`] : []),
  ];
  const state = missing.length === 0 ? 'whose next phase has begun' : missing.join(', ');
  return `for ${placed?.barriers.name ?? 'a barrier'}[${index}], parity ${parity} (${state})`;
}
