import type { BoundLoop, BoundStep } from '../plan/bound-plan.js';

/**
 * The iterations of a run's loops. Those that depend on their number are bound anew each time they are asked for, and both who runs
 * them and who reads ahead of it ask: the last few are remembered.
 */
export class Iterations {
  private readonly known = new WeakMap<BoundLoop, Map<number, readonly BoundStep[]>>();

  of(loop: BoundLoop, index: number): readonly BoundStep[] {
    const iterations = this.known.get(loop) ?? new Map<number, readonly BoundStep[]>();
    this.known.set(loop, iterations);
    const steps = iterations.get(index) ?? loop.iteration(index);
    iterations.set(index, steps);
    for (const other of iterations.keys()) if (other < index - 2) iterations.delete(other);
    return steps;
  }
}

/** The pieces that a run fetches, in its order. */
export function* fetchOrder(steps: readonly BoundStep[], iterations: Iterations, isLast = true): Generator<number> {
  for (const step of steps) {
    if (step.kind === 'fetch' && !(step.isAhead && isLast)) yield step.piece;
    else if (step.kind === 'loop') {
      for (let index = 0; index < step.count; index++)
        yield* fetchOrder(iterations.of(step, index), iterations, index + 1 === step.count);
    }
  }
}
