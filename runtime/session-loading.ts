/** What a session puts on its device before it can run. */
import { Flux2cError } from '../ir/diagnostics.js';
import type { Plan, PlanStep } from '../ir/plan.js';
import type { DeviceKernel } from './device.js';
import { forEachParallel } from './for-each-parallel.js';
import type { LoadableKernel } from './plan/bound-plan.js';
import type { BudgetedMemory } from './session-budget.js';
import type { SessionOptions, SessionProgress } from './session-options.js';
import { throwIfAborted } from './step-runner.js';
import { countWeightBytes } from './weight-provider.js';
import type { LoadedWeight, WeightStore } from './weight-store.js';

/** Where weights go: a store, which gives each to `loaded` as it is there, also when something fails then; or a budget's memory. */
export type WeightGoal = { readonly store: WeightStore; readonly loaded: Map<string, LoadedWeight> } | BudgetedMemory;

/** Compiles the function's kernels and loads its weights, both at once. Errors as `Session.create`. */
export async function loadSession(options: SessionOptions, goal: WeightGoal): Promise<void> {
  const { plan, device, onProgress, memory } = options;
  const kernels = kernelsOf(plan, options.kernels);
  const order = new ProgressOrder(onProgress);
  const loadKernels = async (signal: AbortSignal): Promise<void> => {
    await device.loadKernels(kernels, (done, total) => onProgress?.({ stage: 'kernels', done, total }), signal);
    order.release();
  };
  const report = (progress: SessionProgress): void => order.report(progress);
  const putWeights = async (signal: AbortSignal): Promise<void> => {
    if ('store' in goal) await loadWeights({ ...options, onProgress: report, signal }, goal.store, goal.loaded);
    else if (memory?.sizes !== undefined)
      await goal.arrange(memory.sizes, (done, total) => report({ stage: 'weights', done, total }), signal);
  };
  await forEachParallel([loadKernels, putWeights], 2, (part, signal) => part(signal), options.signal);
}

/** Kernels take their time first: what is told of weights meanwhile is told after them. */
class ProgressOrder {
  private held: SessionProgress | undefined;
  private isOpen = false;

  constructor(private readonly onProgress: SessionOptions['onProgress']) {}

  report(progress: SessionProgress): void {
    if (this.isOpen) this.onProgress?.(progress);
    else this.held = progress;
  }

  release(): void {
    this.isOpen = true;
    if (this.held !== undefined) this.onProgress?.(this.held);
  }
}

/** The kernels that a plan launches, as a device loads them. F2C314 when one is missing. */
export function kernelsOf(plan: Plan, kernels: ReadonlyMap<string, LoadableKernel>): readonly DeviceKernel[] {
  const found = new Map<string, DeviceKernel>();
  const walk = (steps: readonly PlanStep[]): void => {
    for (const step of steps) {
      if (step.kind === 'loop') walk(step.steps);
      if (step.kind !== 'launch' || found.has(step.kernel)) continue;
      const kernel = kernels.get(step.kernel);
      if (kernel === undefined) {
        throw new Flux2cError('F2C314', 'the artifact lacks a kernel of the plan', {
          where: [step.label],
          expected: step.kernel,
          hint: 'Compile the module again.',
        });
      }
      const { thread, ...rest } = kernel;
      found.set(step.kernel, { ...rest, kernel: thread });
    }
  };
  walk(plan.steps);
  return [...found.values()];
}

async function loadWeights(
  { plan, weights, onProgress, signal }: SessionOptions,
  store: WeightStore,
  loaded: Map<string, LoadedWeight>,
): Promise<void> {
  const declarations = new Map(plan.weights.map((declaration) => [declaration.name, declaration]));
  const wanted = plan.storages.flatMap(({ kind, weight, storage }) => {
    const declaration = kind === 'weight' ? declarations.get(weight ?? '') : undefined;
    if (kind === 'weight' && declaration === undefined) throw new Error(`internal: @${weight} is not declared`);
    return declaration === undefined ? [] : [{ declaration, storage }];
  });
  const total = wanted.reduce((sum, { declaration }) => sum + countWeightBytes(declaration), 0);
  let done = 0;
  for (const { declaration, storage } of wanted) {
    throwIfAborted(signal);
    const weight = await store.acquire(declaration, storage, weights, (bytes) => {
      done += bytes;
      onProgress?.({ stage: 'weights', done, total });
    });
    loaded.set(declaration.name, weight);
  }
}
