/** Where each temporary lies in memory and how long: the picture of the arenas. */
import type { Storage } from '../../ir/plan.js';
import type { BoundPlan } from '../../runtime/plan/bound-plan.js';
import { findLifetimes } from '../../runtime/plan/liveness.js';
import { sizeSteps, SizeScope, type SizedStep } from '../../runtime/plan/size-plan.js';

export interface StorageSpan {
  readonly label: string;
  /** Positions of a walk over all steps, a loop walked once; both included. */
  readonly first: number;
  readonly last: number;
  /** Among the arenas laid end to end. */
  readonly byteOffset: number;
  readonly byteLength: number;
}

export interface MemoryTimeline {
  readonly spans: readonly StorageSpan[];
  /** Names of the steps by position; a loop's end and the function's end have none. */
  readonly steps: readonly string[];
  /** Bytes of live temporaries at each position. */
  readonly liveBytes: readonly number[];
  /** Where each arena begins, and the end of the last. */
  readonly arenaStarts: readonly number[];
  /** First and last position of each loop. */
  readonly loops: readonly { readonly first: number; readonly last: number }[];
}

/** Walks the plan as its placement was made: the same lifetimes give the same picture. */
export function traceMemory({ plan, sizes, buffers, placements, memory }: BoundPlan): MemoryTimeline {
  const sized = sizeSteps(plan.steps, new SizeScope(sizes));
  const { lifetimes, length } = findLifetimes(sized, new Set(plan.results.map(({ storage }) => storage)));
  const arenaStarts = [0];
  for (const bytes of memory.arenas) arenaStarts.push((arenaStarts.at(-1) ?? 0) + bytes);
  const firstArena = buffers.findIndex(({ kind }) => kind === 'arena');
  const spans: StorageSpan[] = [];
  for (const { id, kind, label } of plan.storages as readonly Storage[]) {
    const lifetime = lifetimes.get(id);
    const segment = placements[id]?.segments[0];
    if (kind !== 'temporary' || lifetime === undefined || segment === undefined) continue;
    const byteOffset = (arenaStarts[segment.buffer - firstArena] ?? 0) + segment.byteOffset;
    spans.push({ label, ...lifetime, byteOffset, byteLength: segment.byteLength });
  }
  const steps = new Array<string>(length).fill('');
  const loops: { first: number; last: number }[] = [];
  nameSteps(sized, 0, steps, loops);
  return { spans, steps, liveBytes: sumLive(spans, length), arenaStarts, loops };
}

/** Numbers steps as `findLifetimes` does: a loop's own position comes after its body. */
function nameSteps(
  sized: readonly SizedStep[],
  from: number,
  names: string[],
  loops: { first: number; last: number }[],
): number {
  let position = from;
  for (const step of sized) {
    if (step.kind === 'loop') {
      const first = position;
      const body = step.slots.map((slot) => slot.first);
      position = nameSteps(body, position, names, loops);
      loops.push({ first, last: position++ });
    } else names[position++] = step.step.label;
  }
  return position;
}

function sumLive(spans: readonly StorageSpan[], length: number): readonly number[] {
  const changes = new Array<number>(length + 1).fill(0);
  for (const { first, last, byteLength } of spans) {
    changes[first] = (changes[first] ?? 0) + byteLength;
    changes[last + 1] = (changes[last + 1] ?? 0) - byteLength;
  }
  let live = 0;
  return changes.slice(0, length).map((change) => (live += change));
}
