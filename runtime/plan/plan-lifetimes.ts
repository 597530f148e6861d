import type { Plan, PlanStep } from '../../ir/plan.js';
import { findLifetimes } from './liveness.js';
import type { Lifetime, LivenessStep } from './liveness.js';

/**
 * How long a plan's storages must keep their places whatever the sizes are: as if every launch had something to do. For
 * sizes that leave launches out, no storage is needed for longer.
 */
export function planLifetimes(plan: Plan): ReadonlyMap<number, Lifetime> {
  return findLifetimes(withoutSizes(plan.steps), new Set(plan.results.map(({ storage }) => storage))).lifetimes;
}

function withoutSizes(steps: readonly PlanStep[]): readonly LivenessStep[] {
  return steps.flatMap((step): readonly LivenessStep[] => {
    switch (step.kind) {
      case 'launch':
        return [step];
      case 'copy':
        return [{ kind: 'copy', step }];
      case 'loop':
        return [{ kind: 'loop', step, slots: withoutSizes(step.steps).map((first) => ({ first })) }];
      case 'host':
        return [];
    }
  });
}
