/** Sessions whose weights are streamed, beside resident ones. */
import { Flux2cError } from '../../ir/diagnostics.js';
import type { DimBinding } from '../../ir/dim.js';
import type { Plan } from '../../ir/plan.js';
import type { Device } from '../../runtime/device.js';
import { instantiatePlan } from '../../runtime/instantiate.js';
import type { BoundPlan, LoadableKernel } from '../../runtime/plan/bound-plan.js';
import { type HostArray, Session, type SessionOptions } from '../../runtime/session.js';
import type { WeightProvider } from '../../runtime/weight-provider.js';
import { type NaiveOptions, streamNaively } from './naive-stream.js';

export interface StreamedParts {
  readonly plan: Plan;
  readonly kernels: ReadonlyMap<string, LoadableKernel>;
  readonly device: Device;
  readonly weights: WeightProvider;
}

export interface StreamedSession {
  readonly session: Session;
  /** Of all plans so far. */
  readonly plans: readonly BoundPlan[];
}

/** A session whose budget is what its plans take, at most `deviceBytes`. */
export async function openStreamed(
  { plan, kernels, device, weights }: StreamedParts,
  naive: NaiveOptions = {},
  budget: Partial<NonNullable<SessionOptions['memory']>> = {},
): Promise<StreamedSession> {
  const plans: BoundPlan[] = [];
  const planSizes = (sizes: DimBinding): BoundPlan => {
    const bound = streamNaively(instantiatePlan(plan, sizes, device.target, kernels), naive);
    plans.push(bound);
    return bound;
  };
  const memory = { deviceBytes: 2 ** 30, plan: planSizes, ...budget };
  return { session: await Session.create({ plan, kernels, device, weights, memory }), plans };
}

export function deviceBytesOf({ buffers }: BoundPlan): number {
  return buffers.reduce((sum, { byteLength }) => sum + byteLength, 0);
}

/** The results of a session that has all weights on the device. */
export async function runResident(
  parts: StreamedParts,
  inputs: ReadonlyMap<string, HostArray>,
): Promise<ReadonlyMap<string, HostArray>> {
  const session = await Session.create(parts);
  const results = await session.run(inputs);
  await session.destroy();
  return results;
}

export function isRefusal(error: unknown): boolean {
  return error instanceof Flux2cError && ['F2C303', 'F2C305', 'F2C306', 'F2C312'].includes(error.code);
}
