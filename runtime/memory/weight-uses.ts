import type { BoundLoop, BoundPlan, BoundStep } from '../plan/bound-plan.js';

/** A part of a plan in order: steps that run once, or a loop's body. */
export interface Phase {
  readonly kind: 'once' | 'loop';
  readonly loop?: BoundLoop;
  /** The steps of the part, a loop's as its first iteration has them; loops inside of a body are one step. */
  readonly steps: readonly BoundStep[];
  /** Buffers of weights, in the order in which they are used first. */
  readonly uses: readonly WeightUse[];
}

/** First and last step of a phase that reads a buffer of weights. */
export interface WeightUse {
  readonly buffer: number;
  readonly first: number;
  readonly last: number;
}

/** Loops and what stands between them, with a part before every loop, if only an empty one. */
export function findPhases(bound: BoundPlan): readonly Phase[] {
  const phases: Phase[] = [];
  let once: BoundStep[] = [];
  const flush = (): void => {
    phases.push({ kind: 'once', steps: once, uses: findUses(bound, once) });
    once = [];
  };
  for (const step of bound.steps) {
    if (step.kind !== 'loop' || step.count === 0) {
      once.push(step);
      continue;
    }
    flush();
    const steps = step.iteration(0);
    phases.push({ kind: 'loop', loop: step, steps, uses: findUses(bound, steps) });
  }
  if (once.length > 0 || phases.length === 0) flush();
  return phases;
}

/** Which steps of a list read each buffer of weights. */
export function findUses(bound: BoundPlan, steps: readonly BoundStep[]): readonly WeightUse[] {
  const uses = new Map<number, WeightUse>();
  steps.forEach((step, at) => {
    for (const buffer of weightsOf(bound, step)) {
      uses.set(buffer, { buffer, first: uses.get(buffer)?.first ?? at, last: at });
    }
  });
  return [...uses.values()];
}

/** Buffers of weights that a step reads. */
function weightsOf(bound: BoundPlan, step: BoundStep): readonly number[] {
  switch (step.kind) {
    case 'launch':
      return step.bindings.map(({ buffer }) => buffer).filter((buffer) => bound.buffers[buffer]?.kind === 'weight');
    case 'copy':
      return [step.from.buffer].filter((buffer) => bound.buffers[buffer]?.kind === 'weight');
    case 'loop': {
      const inside = Array.from({ length: step.count }, (_, index) => step.iteration(index)).flat();
      return [...new Set(inside.flatMap((inner) => weightsOf(bound, inner)))];
    }
    case 'fetch':
    case 'arrival':
      return [];
  }
}
