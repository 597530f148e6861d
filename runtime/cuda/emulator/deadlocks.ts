import type { ThreadKernel } from '../../../ir/kernel/thread.js';
import { placeBarriers } from '../../../backends/cuda/cuda-shared.js';

/** 64-bit numbers of a `WaitReport` in fibers.ts, and how many a report has. */
export const waitLength = 10;
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
  /** The barrier's, from 0 on. */
  readonly phase: number;
  /** What the phase still waits for; less than 0 bytes: more have come than were expected. */
  readonly arrivals: number;
  readonly bytes: number;
}

/** Those of a report's numbers, from its thirteenth on. */
export function decodeWaits(numbers: readonly number[]): readonly WaitReport[] {
  return Array.from({ length: reportedWaits }, (_, at) =>
    decodeWait(numbers.slice(at * waitLength, (at + 1) * waitLength)),
  ).filter(({ count }) => count > 0);
}

function decodeWait(numbers: readonly number[]): WaitReport {
  const [kind = 0, line = 0, thread = 0, count = 0, object = 0, index = 0, parity = 0, ...state] = numbers;
  const [phase = 0, arrivals = 0, bytes = 0] = state;
  return { kind, line, thread, count, object, index, parity, phase, arrivals, bytes };
}

/** `filled[1]`, by the byte offset of its array. */
export function barrierName(kernel: ThreadKernel, object: number, index: number): string {
  const placed = placeBarriers(kernel).find(({ byteOffset }) => byteOffset === object);
  return `${placed?.barriers.name ?? 'barriers'}[${index}]`;
}

/** `256 invocations from 0 on wait for filled[1], parity 0 (phase 2: 49152 bytes missing) at line 30: ...`. */
export function describeWait(wait: WaitReport, kernel: ThreadKernel, at: (line: number) => string): string {
  const { kind, thread, count, line } = wait;
  const who = count === 1 ? `invocation ${thread} waits` : `${count} invocations from ${thread} on wait`;
  const what = kind === 3 ? describePhase(wait, kernel) : kind === 2 ? 'for their warp' : 'for all others';
  return `${who} ${what} at ${at(line)}`;
}

function describePhase({ object, index, parity, phase, arrivals, bytes }: WaitReport, kernel: ThreadKernel): string {
  const missing = [
    ...(arrivals === 0 ? [] : [`${arrivals} ${arrivals === 1 ? 'arrival' : 'arrivals'} missing`]),
    ...(bytes > 0 ? [`${bytes} bytes missing`] : bytes < 0 ? [`${-bytes} bytes not expected`] : []),
  ];
  return `for ${barrierName(kernel, object, index)}, parity ${parity} (phase ${phase}: ${missing.join(', ')})`;
}
