/** A compiled function with all sizes known, as `run.py` runs it. */
import { cudaEntryPoint, cudaSharedBytes } from '../../backends/cuda/cuda.js';
import type { DimBinding } from '../../ir/dim.js';
import type { HostTensor } from '../../ir/host-tensor.js';
import { bindTensorMaps } from '../../ir/kernel/launch.js';
import { storageBytes } from '../../ir/kernel/thread-interpret-memory.js';
import type { ThreadKernel } from '../../ir/kernel/thread.js';
import type { HostStep, PlanValue } from '../../ir/plan.js';
import { flux2InputValues } from './bundle-inputs.js';
import type { CompiledModule } from '../../passes/compiled.js';
import { encodeStorage, fromHostTensor, type HostArray, toHostTensor } from '../../runtime/host-array.js';
import { runHostSteps } from '../../runtime/host-steps.js';
import { instantiatePlan } from '../../runtime/instantiate.js';
import {
  type BoundPlan,
  type BoundStep,
  flattenSteps,
  type PlannedCopy,
  type PlannedLaunch,
} from '../../runtime/plan/bound-plan.js';
import type { WeightProvider } from '../../runtime/weight-provider.js';
import type {
  BundleBuffer,
  BundleCopy,
  BundleKernel,
  BundleLaunch,
  BundleProgram,
  BundleTensorMap,
  BundleValue,
  BundleWeight,
  DataPlace,
  ProgramForm,
  ProgramOperands,
} from './bundle.js';

/** Takes bytes for the bundle's data file; gives where they lie. */
export type KeepData = (bytes: Uint8Array) => DataPlace;

export interface ProgramDescription {
  readonly variant: string;
  readonly function: string;
  readonly sizes: DimBinding;
  readonly config: Readonly<Record<string, unknown>>;
  readonly form: ProgramForm;
  readonly of?: string;
  readonly operands: ProgramOperands;
}

/** What the driver needs to know of a kernel. */
export function describeInterface(
  thread: ThreadKernel,
): Pick<BundleKernel, 'entryPoint' | 'block' | 'shared' | 'buffers' | 'parameters' | 'tensorMaps' | 'walksTiles'> {
  return {
    entryPoint: cudaEntryPoint(thread),
    block: thread.workgroupSize,
    shared: cudaSharedBytes(thread),
    buffers: thread.buffers.map(({ name, storage, access }) => ({ name, storage, access })),
    parameters: thread.parameters,
    tensorMaps: (thread.tensorMaps ?? []).map(({ name }) => name),
    walksTiles: thread.walksTiles === true,
  };
}

export async function bundleProgram(
  { plans, kernels, target }: CompiledModule,
  description: ProgramDescription,
  keep: KeepData,
): Promise<BundleProgram> {
  const { sizes } = description;
  const plan = plans.get(description.function)!;
  const bound = instantiatePlan(plan, sizes, target, kernels);
  const launches: (BundleLaunch | BundleCopy)[] = [];
  const places = new Map<BoundStep, number>();
  const place = (step: PlannedLaunch | PlannedCopy): number => {
    const at =
      places.get(step) ??
      launches.push(
        step.kind === 'launch' ? describeLaunch(step, kernels.get(step.kernel)!.thread) : describeCopy(step),
      ) - 1;
    places.set(step, at);
    return at;
  };
  const loopAt = bound.steps.findIndex((step) => step.kind === 'loop');
  const loop = bound.steps[loopAt];
  const placeAll = (steps: readonly BoundStep[]): readonly number[] => [...flattenSteps(steps)].map(place);
  return {
    ...description,
    buffers: await describeBuffers(bound, keep),
    weights: Object.fromEntries(
      plan.weights.map(({ name, type, source }): [string, BundleWeight] => {
        const stored = plan.storages.find(({ weight }) => weight === name);
        const shape = type.shape.map((dim) => dim.evaluate({}));
        return [name, { storage: stored?.storage ?? type.dtype, shape, source }];
      }),
    ),
    inputs: plan.inputs.flatMap((value) => describeValue(bound, value)),
    values: Object.fromEntries(
      [...flux2InputValues(plan.inputs, sizes)].map(([name, array]) => {
        const bytes = encodeStorage(array, array.dtype === 'i32' ? 'i32' : 'f32');
        return [name, { storage: array.dtype, shape: array.shape, contents: keep(bytes) }];
      }),
    ),
    results: plan.results.flatMap((value) => describeValue(bound, value)),
    launches,
    before: placeAll(loop === undefined ? bound.steps : bound.steps.slice(0, loopAt)),
    iterations:
      loop?.kind === 'loop' ? Array.from({ length: loop.count }, (_, at) => placeAll(loop.iteration(at))) : [],
    after: loop === undefined ? [] : placeAll(bound.steps.slice(loopAt + 1)),
  };
}

function describeLaunch(launch: PlannedLaunch, thread: ThreadKernel): BundleLaunch {
  const { kernel, label, bindings, parameters, workgroups, flop, bytes } = launch;
  const block = /(?:^|\.)(double|single|single_transformer_blocks|transformer_blocks)\.(\d+)\./.exec(label);
  const kind = block?.[1] === 'transformer_blocks' ? 'double' : block?.[1]?.replace('_transformer_blocks', '');
  return {
    kernel,
    label,
    // What is made once for all steps stands before the loop and carries its block's name.
    ...(block !== null && !label.endsWith('.all') ? { block: `${kind}.${block[2]}` } : {}),
    bindings: bindings.map(({ buffer, byteOffset, byteLength }) => [buffer, byteOffset, byteLength]),
    parameters: [...parameters],
    tensorMaps: describeTensorMaps(thread, parameters),
    grid: workgroups,
    flop,
    bytes,
  };
}

function describeTensorMaps(thread: ThreadKernel, parameters: Int32Array): readonly BundleTensorMap[] {
  const values = Object.fromEntries(thread.parameters.map((name, at) => [name, parameters[at]!]));
  return bindTensorMaps(thread, values).map(({ buffer, offset, extents, strides, boxes }) => {
    const bytes = storageBytes(thread.buffers[buffer]!.storage);
    const byteStrides = strides.slice(1).map((stride) => stride * bytes);
    return { binding: buffer, offset: offset * bytes, extents, strides: byteStrides, boxes };
  });
}

function describeCopy({ label, from, to, byteLength }: PlannedCopy): BundleCopy {
  return {
    copy: label,
    from: [from.buffer, from.byteOffset],
    to: [to.buffer, to.byteOffset],
    bytes: byteLength,
  };
}

function describeValue({ plan, placements, sizes }: BoundPlan, value: PlanValue): readonly BundleValue[] {
  const segment = placements[value.storage]?.segments[0];
  if (segment === undefined) return [];
  const shape = value.shape.map((dim) => dim.evaluate(sizes));
  const { storage } = plan.storages[value.storage]!;
  return [{ name: value.name, storage, shape, buffer: segment.buffer, offset: segment.byteOffset }];
}

/** Small inputs and what the host computes have real contents; large inputs are random on the GPU. */
async function describeBuffers(bound: BoundPlan, keep: KeepData): Promise<readonly BundleBuffer[]> {
  const { plan, placements, sizes, hostSteps } = bound;
  const values = new Map<number, HostArray | HostTensor>();
  const known = new Map<number, HostTensor>();
  for (const [name, array] of flux2InputValues(plan.inputs, sizes)) {
    const { storage } = plan.inputs.find((input) => input.name === name)!;
    values.set(storage, array);
    known.set(storage, toHostTensor(array));
  }
  for (const step of hostSteps) await runIfKnown(step, known, sizes);
  for (const [storage, tensor] of known) if (!values.has(storage)) values.set(storage, fromHostTensor(tensor));
  const contents = new Map<number, BundleBuffer['contents']>();
  const storages = new Map<number, string>();
  placements.forEach((placement, storage) => {
    const segment = placement?.segments[0];
    if (segment === undefined) return;
    const { kind, storage: type } = plan.storages[storage]!;
    if (kind === 'temporary') return;
    storages.set(segment.buffer, type);
    const value = values.get(storage);
    if (value !== undefined) contents.set(segment.buffer, keep(encodeStorage(value, type)));
    else if (kind === 'host' || kind === 'input') contents.set(segment.buffer, 'normal');
  });
  return bound.buffers.map(({ kind, label, byteLength, weight }, at) => ({
    kind,
    label,
    bytes: byteLength,
    ...(weight && { weight: weight.name }),
    ...(contents.has(at) && { contents: contents.get(at)! }),
    ...(storages.has(at) && { storage: storages.get(at)! }),
  }));
}

const noWeights: WeightProvider = {
  async *read({ name }) {
    throw new Error(`the weight ${name} is not at hand`);
  },
};

async function runIfKnown(step: HostStep, known: Map<number, HostTensor>, sizes: DimBinding): Promise<void> {
  const isKnown = step.operands.every(
    (operand) => operand.kind === 'constant' || (operand.kind === 'storage' && known.has(operand.storage)),
  );
  if (isKnown) await runHostSteps([step], known, sizes, noWeights);
}
