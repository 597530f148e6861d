import type { Plan } from '../../ir/plan.js';
import type { Device } from '../device.js';
import type { PlannedKernel } from '../instantiate.js';
import type { SessionBudget } from '../session-budget.js';
import { type PlannedMemory, planWithinBudget } from './plan-memory.js';

/** A function that is to run within a budget, and where. */
export interface BudgetedFunction {
  readonly plan: Plan;
  readonly kernels: ReadonlyMap<string, PlannedKernel>;
  readonly device: Device;
}

export interface ByteBudget {
  /** Most bytes on the device. May change: the next plan keeps to what it is then. */
  readonly deviceBytes: number;
  /** Most bytes of weights that are not on the device in host memory. Default: all of them. */
  readonly hostBytes?: number | undefined;
}

/** What a session needs to keep to a budget: a plan for any sizes, made when a run has them. `onPlan` is told of each. */
export function sessionBudgetFor(
  { plan, kernels, device }: BudgetedFunction,
  budget: ByteBudget,
  onPlan?: (planned: PlannedMemory) => void,
): SessionBudget {
  const { hostBytes } = budget;
  const host = hostBytes === undefined ? {} : { hostBytes };
  return {
    get deviceBytes() {
      return budget.deviceBytes;
    },
    ...host,
    plan: (sizes) => {
      const request = { deviceBytes: budget.deviceBytes, ...host, isBeside: device.uploads !== undefined };
      const planned = planWithinBudget(plan, sizes, device.target, kernels, request);
      onPlan?.(planned);
      return planned.bound;
    },
  };
}
