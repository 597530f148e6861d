/** Sessions whose weights are streamed, beside resident ones. */
import { Flux2cError } from '../../ir/diagnostics.js';
import type { DimBinding } from '../../ir/dim.js';
import type { Plan } from '../../ir/plan.js';
import type { Device, DeviceUsage } from '../../runtime/device.js';
import { instantiatePlan } from '../../runtime/instantiate.js';
import { planWithinBudget } from '../../runtime/memory/plan-memory.js';
import type { BoundPlan, LoadableKernel } from '../../runtime/plan/bound-plan.js';
import { type HostArray, Session, type SessionBudget } from '../../runtime/session.js';
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

export type Inputs = ReadonlyMap<string, HostArray>;

/** A session that plans naively, with as much room as its plans take. */
export function openStreamed(
  parts: StreamedParts,
  naive: NaiveOptions = {},
  budget: Partial<SessionBudget> = {},
): Promise<StreamedSession> {
  const { plan, device, kernels } = parts;
  const planSizes = (sizes: DimBinding): BoundPlan => {
    return streamNaively(instantiatePlan(plan, sizes, device.target, kernels), naive);
  };
  return open(parts, planSizes, { deviceBytes: 2 ** 30, ...budget });
}

/** A session with a budget that plans keep to. */
export function openBudgeted(
  parts: StreamedParts,
  budget: Pick<SessionBudget, 'deviceBytes' | 'hostBytes'>,
): Promise<StreamedSession> {
  const { plan, device, kernels } = parts;
  return open(parts, (sizes) => planWithinBudget(plan, sizes, device.target, kernels, budget).bound, budget);
}

async function open(
  { plan, kernels, device, weights }: StreamedParts,
  planSizes: SessionBudget['plan'],
  budget: Omit<SessionBudget, 'plan'>,
): Promise<StreamedSession> {
  const plans: BoundPlan[] = [];
  const note = (sizes: DimBinding): BoundPlan => {
    const bound = planSizes(sizes);
    plans.push(bound);
    return bound;
  };
  return {
    session: await Session.create({ plan, kernels, device, weights, memory: { ...budget, plan: note } }),
    plans,
  };
}

export function deviceBytesOf({ buffers }: BoundPlan): number {
  return buffers.reduce((sum, { byteLength }) => sum + byteLength, 0);
}

/** The results of a session that has all weights on the device. */
export async function runResident(parts: StreamedParts, inputs: Inputs): Promise<Inputs> {
  const session = await Session.create(parts);
  const results = await session.run(inputs);
  await session.destroy();
  return results;
}

/** The device's peak counts from now on. */
export function forgetPeak({ usage }: Device): void {
  const meter: { -readonly [K in keyof DeviceUsage]: DeviceUsage[K] } = usage;
  meter.peakBytes = meter.bytes;
}

export function isRefusal(error: unknown): boolean {
  return error instanceof Flux2cError && ['F2C303', 'F2C305', 'F2C306', 'F2C312'].includes(error.code);
}
