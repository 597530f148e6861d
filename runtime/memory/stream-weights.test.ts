import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bindSkeleton, type Skeleton, skeletonCosts, skeletons } from '../../test/weight-skeletons.js';
import type { BoundLoop, BoundPlan, BoundStep } from '../plan/bound-plan.js';
import { simulate } from './simulate.js';
import { streamWeights } from './stream-weights.js';
import { verifyStream } from './verify-stream.js';

const kib = 1024;

/** Four weights of 1 KiB, in a loop of launches of a second. */
const even: Skeleton = {
  weights: [kib, kib, kib, kib],
  before: [],
  loops: [{ count: 5, body: [0, 1, 2, 3].map((weight) => ({ weights: [weight], seconds: 1 })) }],
  after: [],
};

const streamAll = (bound: BoundPlan, ...ring: number[]): BoundPlan | undefined =>
  streamWeights(bound, { isStreamed: () => true, ring });

function loopOf({ steps }: BoundPlan): BoundLoop {
  return steps.find((step): step is BoundLoop => step.kind === 'loop')!;
}

function show(steps: readonly BoundStep[]): readonly string[] {
  return steps.map((step) => {
    switch (step.kind) {
      case 'fetch':
        return `fetch ${step.piece}${step.isAhead ? ' ahead' : ''}`;
      case 'arrival':
        return `arrival ${step.piece}`;
      case 'loop':
        return 'loop';
      default:
        return step.label;
    }
  });
}

describe('weights that stream', () => {
  it('come into two places in turn, those of the next iteration at the end of the one before', () => {
    const streamed = streamAll(bindSkeleton(even), 2 * kib)!;
    expect(show(streamed.steps)).toEqual(['fetch 0', 'fetch 1', 'loop']);
    expect(show(loopOf(streamed).iteration(1))).toEqual([
      'arrival 0', 'launch 0', 'fetch 2', 'arrival 1', 'launch 1', 'fetch 3',
      'arrival 2', 'launch 2', 'fetch 0 ahead', 'arrival 3', 'launch 3', 'fetch 1 ahead',
    ]); // prettier-ignore
    verifyStream(streamed, 2 * kib);
  });

  it('have one place only where each launch waits for its copy', () => {
    const streamed = streamAll(bindSkeleton(even), kib)!;
    verifyStream(streamed, kib);
    const costs = { ...skeletonCosts, uploadBytes: kib };
    expect(simulate(streamed, { costs, isBeside: true }).stepSeconds).toBeCloseTo(8);
    const two = streamAll(bindSkeleton(even), 2 * kib)!;
    expect(simulate(two, { costs, isBeside: true })).toMatchObject({ stepSeconds: 4, idealStepSeconds: 4, computeSeconds: 4, streamedBytes: 4 * kib }); // prettier-ignore
    expect(simulate(two, { costs, isBeside: false }).stepSeconds).toBeCloseTo(8);
  });

  it('need room for what one launch reads at once', () => {
    const body = [
      { weights: [0, 1], seconds: 1 },
      { weights: [2, 3], seconds: 1 },
    ];
    const bound = bindSkeleton({ ...even, loops: [{ count: 2, body }] });
    expect(streamAll(bound, kib)).toBeUndefined();
    expect(streamAll(bound, 2 * kib - 1)).toBeUndefined();
    verifyStream(streamAll(bound, 2 * kib)!);
    verifyStream(streamAll(bound, kib, kib)!);
  });

  it('verify for any plan and any ring that is large enough', () => {
    fc.assert(
      fc.property(skeletons, fc.double({ min: 0, max: 1, noNaN: true }), fc.integer(), (skeleton, share, kept) => {
        const bound = bindSkeleton(skeleton);
        const total = skeleton.weights.reduce((sum, bytes) => sum + bytes, 0);
        const ring = Math.max(256, Math.ceil((share * total) / 256) * 256);
        const isStreamed = (buffer: number): boolean => ((kept >> (buffer % 31)) & 1) === 0;
        const streamed = streamWeights(bound, { isStreamed, ring: [ring] });
        if (streamed === undefined) {
          // With room for everything there is a plan.
          expect(streamWeights(bound, { isStreamed, ring: [total] })).toBeDefined();
          return;
        }
        const residents = skeleton.weights.reduce((sum, bytes, buffer) => sum + (isStreamed(buffer) ? 0 : bytes), 0);
        const unused = residents + ring;
        verifyStream(streamed, unused + total);
        expect(sequenceOf(streamed)).toEqual(sequenceOf(bound));
        const { stepSeconds, idealStepSeconds } = simulate(streamed, { costs: skeletonCosts, isBeside: true });
        expect(stepSeconds).toBeGreaterThanOrEqual(idealStepSeconds * (1 - 1e-9));
      }),
      { numRuns: 400 },
    );
  });

  it('are found out where a fetch comes a launch too early, or an arrival is left out', () => {
    const bugs = { early: 0, late: 0, missing: 0 };
    fc.assert(
      fc.property(skeletons, fc.nat(), (skeleton, choice) => {
        const bound = bindSkeleton(skeleton);
        const largest = Math.max(...skeleton.weights);
        const streamed = streamAll(bound, 2 * largest);
        if (streamed === undefined) return;
        for (const bug of ['early', 'late', 'missing'] as const) {
          const broken = plant(streamed, bug, choice);
          if (broken === undefined) continue;
          bugs[bug]++;
          expect(() => verifyStream(broken)).toThrow('a plan of memory is wrong');
        }
      }),
      { numRuns: 300 },
    );
    for (const count of Object.values(bugs)) expect(count).toBeGreaterThan(20);
  });
});

/** Launches with the weights they read, loops unrolled. */
function sequenceOf({ plan, steps }: BoundPlan): readonly string[] {
  const list = (part: readonly BoundStep[]): readonly string[] =>
    part.flatMap((step) => {
      if (step.kind === 'loop') return Array.from({ length: step.count }, (_, index) => list(step.iteration(index))).flat(); // prettier-ignore
      if (step.kind !== 'launch') return [];
      return [
        `${step.label}: ${step.bindings.map(({ storage, byteLength }) => `${plan.storages[storage]!.label} ${byteLength}`).join()}`,
      ];
    });
  return list(steps);
}

/** The plan with one of its loop's steps moved or left out, so that something goes wrong; undefined where none is of that kind. */
function plant(bound: BoundPlan, bug: 'early' | 'late' | 'missing', choice: number): BoundPlan | undefined {
  const loop = bound.steps.find((step): step is BoundLoop => step.kind === 'loop');
  if (loop === undefined || loop.count < 2) return undefined;
  const body = loop.iteration(0);
  const broken = bug === 'early' ? moveBeforeUse(body, bound, choice) : bug === 'late' ? moveBehindUse(body, choice) : body.filter((step) => step.kind !== 'arrival' || step.piece !== choice % bound.streamed!.length); // prettier-ignore
  if (broken === undefined || broken.length + 1 < body.length) return undefined;
  if (bug === 'missing' && broken.length === body.length) return undefined;
  const steps = bound.steps.map((step): BoundStep => (step === loop ? { ...loop, iteration: () => broken } : step));
  return { ...bound, steps };
}

/** A fetch in front of the launch that it stands behind because that reads what it overwrites. */
function moveBeforeUse(
  body: readonly BoundStep[],
  { streamed = [] }: BoundPlan,
  choice: number,
): readonly BoundStep[] | undefined {
  const at = [...body.keys()].filter((index) => {
    const [launch, fetch] = [body[index], body[index + 1]];
    if (launch?.kind !== 'launch' || fetch?.kind !== 'fetch' || fetch.isAhead) return false;
    const { buffer, byteOffset, byteLength } = streamed[fetch.piece]!;
    return launch.bindings.some((read) => read.buffer === buffer && read.byteOffset < byteOffset + byteLength && byteOffset < read.byteOffset + read.byteLength); // prettier-ignore
  });
  const chosen = at[choice % Math.max(1, at.length)];
  return chosen === undefined ? undefined : swap(body, chosen);
}

/** An arrival behind the launch that it stands in front of. */
function moveBehindUse(body: readonly BoundStep[], choice: number): readonly BoundStep[] | undefined {
  const at = [...body.keys()].filter((index) => body[index]?.kind === 'arrival' && body[index + 1]?.kind === 'launch');
  const chosen = at[choice % Math.max(1, at.length)];
  return chosen === undefined ? undefined : swap(body, chosen);
}

function swap(body: readonly BoundStep[], at: number): readonly BoundStep[] {
  const swapped = [...body];
  [swapped[at], swapped[at + 1]] = [body[at + 1]!, body[at]!];
  return swapped;
}
