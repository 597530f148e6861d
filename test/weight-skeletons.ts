/** Plans of which only the weights' uses and the launches' times matter, for tests of memory plans. */
import fc from 'fast-check';
import { portableWebgpu } from '../backends/target.js';
import { Dim } from '../ir/dim.js';
import type { Plan } from '../ir/plan.js';
import type { BoundLoop, BoundPlan, BoundStep, PlannedLaunch } from '../runtime/plan/bound-plan.js';

export interface SkeletonLaunch {
  /** Weights that it reads. */
  readonly weights: readonly number[];
  readonly seconds: number;
}

export interface Skeleton {
  /** Bytes of each weight. */
  readonly weights: readonly number[];
  readonly before: readonly SkeletonLaunch[];
  /** Loops one after the other. */
  readonly loops: readonly { readonly count: number; readonly body: readonly SkeletonLaunch[] }[];
  readonly after: readonly SkeletonLaunch[];
}

/** One operation takes a second. */
export const skeletonCosts = {
  flop: 1,
  memoryBytes: Infinity,
  uploadBytes: 1,
  diskBytes: Infinity,
  launches: Infinity,
};

export function bindSkeleton({ weights, before, loops, after }: Skeleton): BoundPlan {
  const buffers = weights.map((byteLength, index) => ({ kind: 'weight' as const, label: `w${index}`, byteLength, weight: { name: `w${index}`, segment: 0 } })); // prettier-ignore
  const launch = ({ weights: used, seconds }: SkeletonLaunch, index: number): PlannedLaunch => ({
    kind: 'launch',
    kernel: 'k',
    label: `launch ${index}`,
    bindings: used.map((buffer) => ({
      storage: buffer,
      access: 'read',
      buffer,
      byteOffset: 0,
      byteLength: weights[buffer]!,
    })),
    parameters: new Int32Array(0),
    workgroups: [1, 1, 1],
    flop: seconds,
    bytes: 0,
  });
  const bind = (launches: readonly SkeletonLaunch[]): readonly BoundStep[] => launches.map(launch);
  const bound = loops.map(({ count, body }, index): BoundLoop => {
    const steps = bind(body);
    return { kind: 'loop', symbol: `s${index}`, count, isUniform: true, iteration: () => steps, carried: [] };
  });
  const storages = weights.map((bytes, id) => ({ id, kind: 'weight' as const, storage: 'f32' as const, size: Dim.of(bytes / 4), label: `w${id}`, weight: `w${id}` })); // prettier-ignore
  const plan: Plan = { name: 'skeleton', inputs: [], results: [], storages, weights: [], steps: [] };
  const placements = weights.map((byteLength, buffer) => ({
    elementBytes: 4,
    segments: [{ buffer, byteOffset: 0, byteLength, start: 0, end: byteLength / 4 }],
  }));
  const weightBytes = weights.reduce((sum, bytes) => sum + bytes, 0);
  const memory = { arenas: [], arenaBytes: 0, lowerBoundBytes: 0, boundaryBytes: 0, weightBytes };
  const steps = [...bind(before), ...bound, ...bind(after)];
  return { plan, sizes: {}, target: portableWebgpu, buffers, placements, hostSteps: [], steps, memory };
}

/** Every weight is used by at least one launch; some by several, some by none of a loop. */
export const skeletons: fc.Arbitrary<Skeleton> = fc
  .record({
    sizes: fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 24 }),
    seed: fc.infiniteStream(fc.nat({ max: 1 << 30 })),
    loops: fc.integer({ min: 0, max: 2 }),
  })
  .map(({ sizes, seed, loops: loopCount }) => {
    const next = (limit: number): number => seed.next().value! % limit;
    const weights = sizes.map((size) => size * 256);
    const launches = (count: number): readonly SkeletonLaunch[] =>
      Array.from({ length: count }, () => ({
        weights: [...new Set(Array.from({ length: next(3) }, () => next(weights.length)))],
        seconds: 1 + next(2000),
      }));
    /** Through all weights in order, now and then one of those before again: what networks do. */
    const walk = (): readonly SkeletonLaunch[] =>
      weights.map((_, index) => ({
        weights: next(4) === 0 && index > 0 ? [index - 1, index] : [index],
        seconds: 1 + next(20000),
      }));
    const loops = Array.from({ length: loopCount }, () => ({ count: 1 + next(5), body: walk() }));
    return { weights, before: launches(next(6)), loops, after: launches(next(4)) };
  });
