/** Functions of a model as sessions on a device. */
import type { Plan } from '../../ir/plan.js';
import type { Device } from '../../runtime/device.js';
import type { LoadableKernel } from '../../runtime/plan/bound-plan.js';
import { type HostArray, Session } from '../../runtime/session.js';
import type { WeightProvider } from '../../runtime/weight-provider.js';
import type { Network, NetworkInput, NetworkTensor, RunObserver } from './networks.js';
import type { ReportProgress } from './progress.js';

export interface NetworkParts {
  readonly plan: Plan;
  readonly kernels: ReadonlyMap<string, LoadableKernel>;
  readonly device: Device;
  readonly weights: WeightProvider;
}

/** Loads weights and kernels; errors as `Session.create`. */
export async function openSessionNetwork(
  parts: NetworkParts,
  report: ReportProgress | undefined,
  signal: AbortSignal | undefined,
): Promise<Network> {
  const session = await Session.create({
    ...parts,
    ...(signal && { signal }),
    onProgress: ({ stage, done, total }) =>
      report?.({ stage: stage === 'weights' ? 'load' : 'compile', step: done, of: total, secondsLeft: undefined }),
  });
  return {
    inputs: session.inputs.map(({ name, dtype, shape }): NetworkInput => {
      return { name, dtype: dtype === 'f32' ? 'f32' : 'i32', shape: shape.map((dim) => dim.text) };
    }),
    run: async (inputs, observer) => toTensors(await session.run(toArrays(inputs), toRunOptions(observer))),
    destroy: () => session.destroy(),
  };
}

function toRunOptions({ onStep, onStepDone, signal }: RunObserver = {}): Parameters<Session['run']>[1] {
  return {
    ...(signal && { signal }),
    ...(onStepDone && { onStepDone: ({ index }) => onStepDone(index) }),
    ...(onStep && {
      // The functions of the model carry one tensor: the latents.
      onStep: async ({ index, carried, read }) => onStep(index, await read(carried[0]!)),
    }),
  };
}

function toArrays(inputs: Readonly<Record<string, NetworkTensor>>): ReadonlyMap<string, HostArray> {
  const arrays = Object.entries(inputs).map(([name, { dtype, shape, values }]): [string, HostArray] => {
    return [name, { dtype, shape, data: values }];
  });
  return new Map(arrays);
}

function toTensors(results: ReadonlyMap<string, HostArray>): Readonly<Record<string, NetworkTensor>> {
  const tensors = [...results].map(([name, { shape, data }]): [string, NetworkTensor] => {
    if (data instanceof Float32Array) return [name, { dtype: 'f32', shape, values: data }];
    if (data instanceof Int32Array) return [name, { dtype: 'i32', shape, values: data }];
    throw new Error(`internal: the result ${name} is neither f32 nor i32`);
  });
  return Object.fromEntries(tensors);
}
