import type { BufferBinding, CopyStep, LoopStep } from '../../ir/plan.js';

/** What of a step decides how long storages live: a `SizedStep` is one. */
export type LivenessStep =
  | { readonly kind: 'launch'; readonly bindings: readonly Pick<BufferBinding, 'storage' | 'access'>[] }
  | { readonly kind: 'copy'; readonly step: Pick<CopyStep, 'from' | 'to'> }
  | {
      readonly kind: 'loop';
      readonly step: Pick<LoopStep, 'carried'>;
      readonly slots: readonly { readonly first: LivenessStep }[];
    };

/** From the first to the last step that needs the storage, both included, in numbers of a walk over all steps. */
export interface Lifetime {
  readonly first: number;
  readonly last: number;
}

export interface Liveness {
  /** Of the storages that device steps use. */
  readonly lifetimes: ReadonlyMap<number, Lifetime>;
  /** Storages that must not lie in one buffer without `Target.mixedAccess`: one is read and the other written by the same step. */
  readonly conflicts: ReadonlyMap<number, ReadonlySet<number>>;
  /** Steps in the walk. */
  readonly length: number;
}

interface LoopRange {
  readonly first: number;
  last: number;
}

interface Access {
  readonly position: number;
  /** Whether the storage's first access is one decides whether a loop's iteration needs the last one's contents. */
  readonly isPureWrite: boolean;
  readonly loops: readonly LoopRange[];
}

/**
 * Finds how long each storage must keep its place. A loop is walked once: what is used inside and outside of it lives
 * through all of it, and so does what an iteration reads before it writes it, because that is the previous iteration's.
 *
 * @param kept storages that are read after the last step
 */
export function findLifetimes(steps: readonly LivenessStep[], kept: ReadonlySet<number>): Liveness {
  const walk = new Walk();
  walk.steps(steps, []);
  const end = walk.position++;
  for (const storage of kept) if (walk.accesses.has(storage)) walk.access(storage, end, false, []);
  const lifetimes = new Map([...walk.accesses].map(([storage, accesses]) => [storage, joinAccesses(accesses)]));
  return { lifetimes, conflicts: walk.conflicts, length: walk.position };
}

class Walk {
  position = 0;
  readonly accesses = new Map<number, Access[]>();
  readonly conflicts = new Map<number, Set<number>>();

  steps(steps: readonly LivenessStep[], loops: readonly LoopRange[]): void {
    for (const step of steps) this.step(step, loops);
  }

  private step(step: LivenessStep, loops: readonly LoopRange[]): void {
    const here = this.position;
    switch (step.kind) {
      case 'launch': {
        const read = step.bindings.filter(({ access }) => access === 'read').map(({ storage }) => storage);
        const used = new Set(step.bindings.filter(({ access }) => access !== 'write').map(({ storage }) => storage));
        for (const { storage, access } of step.bindings) {
          this.access(storage, here, !used.has(storage), loops);
          if (access !== 'read') this.conflict(storage, read);
        }
        this.position = here + 1;
        return;
      }
      case 'copy': {
        const { from, to } = step.step;
        this.access(from.storage, here, false, loops);
        this.access(to.storage, here, from.storage !== to.storage, loops);
        this.conflict(to.storage, [from.storage]);
        this.position = here + 1;
        return;
      }
      case 'loop': {
        const range: LoopRange = { first: here, last: here };
        const inside = [...loops, range];
        for (const { first } of step.slots) this.step(first, inside);
        for (const { storage } of step.step.carried) this.access(storage, this.position, false, inside);
        range.last = this.position++;
      }
    }
  }

  access(storage: number, position: number, isPureWrite: boolean, loops: readonly LoopRange[]): void {
    const list = this.accesses.get(storage);
    if (list === undefined) this.accesses.set(storage, [{ position, isPureWrite, loops }]);
    else list.push({ position, isPureWrite, loops });
  }

  private conflict(written: number, read: readonly number[]): void {
    for (const other of read) {
      if (other === written) continue;
      for (const [one, two] of [
        [written, other],
        [other, written],
      ] as const) {
        const known = this.conflicts.get(one);
        if (known === undefined) this.conflicts.set(one, new Set([two]));
        else known.add(two);
      }
    }
  }
}

function joinAccesses(accesses: readonly Access[]): Lifetime {
  let home: readonly LoopRange[] = (accesses[0] as Access).loops;
  for (const { loops } of accesses) home = home.filter((range, depth) => loops[depth] === range);
  const firstPosition = (accesses[0] as Access).position;
  const isRewritten = accesses.every(({ position, isPureWrite }) => position !== firstPosition || isPureWrite);
  const outermost = home[0];
  if (outermost !== undefined && !isRewritten) return outermost;
  let first = Infinity;
  let last = -Infinity;
  for (const { position, loops } of accesses) {
    const inside = loops[home.length];
    first = Math.min(first, inside?.first ?? position);
    last = Math.max(last, inside?.last ?? position);
  }
  return { first, last };
}
