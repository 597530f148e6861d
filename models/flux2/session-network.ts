/** Functions of a model as sessions on a device. */
import { Flux2cError } from '../../ir/diagnostics.js';
import type { Plan } from '../../ir/plan.js';
import type { Device } from '../../runtime/device.js';
import type { LoadableKernel } from '../../runtime/plan/bound-plan.js';
import { sessionBudgetFor } from '../../runtime/memory/session-budget-for.js';
import {
  type HostArray,
  type RunOptions,
  Session,
  type SessionBudget,
  type SessionProgress,
} from '../../runtime/session.js';
import { countWeightBytes, type WeightProvider } from '../../runtime/weight-provider.js';
import type { MemoryShare } from './memory-shares.js';
import type { Network, NetworkInput, NetworkTensor, RunObserver } from './networks.js';
import type { ReportProgress } from './progress.js';

export interface NetworkParts {
  readonly plan: Plan;
  readonly kernels: ReadonlyMap<string, LoadableKernel>;
  readonly device: Device;
  readonly weights: WeightProvider;
  /** What the function may take; it is given back when the network is destroyed. Default: as much as it needs. */
  readonly memory?: MemoryShare | undefined;
}

/** Loads weights and kernels, with a budget kernels only: what stays on the device depends on a run's sizes. Errors as `Session.create`. */
export async function openSessionNetwork(
  parts: NetworkParts,
  report: ReportProgress | undefined,
  signal: AbortSignal | undefined,
): Promise<Network> {
  const opened = new FunctionSession(parts, ({ stage, done, total }) =>
    report?.({ stage: stage === 'weights' ? 'load' : 'compile', step: done, of: total, secondsLeft: undefined }),
  );
  try {
    await opened.open(signal);
  } catch (error) {
    parts.memory?.release();
    throw error;
  }
  return {
    inputs: parts.plan.inputs.map(({ name, dtype, shape }): NetworkInput => {
      return { name, dtype: dtype === 'f32' ? 'f32' : 'i32', shape: shape.map((dim) => dim.text) };
    }),
    run: async (inputs, observer) => toTensors(await opened.run(toArrays(inputs), toRunOptions(observer))),
    destroy: async () => {
      await opened.close();
      parts.memory?.release();
    },
  };
}

/** How often a guess of the device's memory is lowered, and by how much. */
const mostAttempts = 8;
const shrinkBy = 0.8;

/** A session that goes on with less memory where a guess of it was too high. */
class FunctionSession {
  private session: Session | undefined;
  private hasBudget: boolean;
  private attempts = 0;

  constructor(
    private readonly parts: NetworkParts,
    private readonly onProgress: (progress: SessionProgress) => void,
  ) {
    const { memory, plan } = parts;
    const fits = (bytes: number): boolean => plan.weights.reduce((sum, weight) => sum + countWeightBytes(weight), 0) <= bytes; // prettier-ignore
    this.hasBudget = memory !== undefined && !(memory.budget.triesWhole === true && fits(memory.deviceBytes));
  }

  async open(signal: AbortSignal | undefined): Promise<Session> {
    const { memory: share, ...parts } = this.parts;
    for (;;) {
      const memory = this.hasBudget && share ? { memory: budgetOf(this.parts, share) } : {};
      try {
        this.session = await Session.create({ ...parts, ...memory, ...(signal && { signal }), onProgress: this.onProgress }); // prettier-ignore
        return this.session;
      } catch (error) {
        this.lower(error);
      }
    }
  }

  async run(inputs: ReadonlyMap<string, HostArray>, options: RunOptions): Promise<ReadonlyMap<string, HostArray>> {
    for (;;) {
      const session = this.session ?? (await this.open(options.signal));
      const hadBudget = this.hasBudget;
      try {
        return await session.run(inputs, { ...options, onLoad: this.onProgress });
      } catch (error) {
        this.lower(error);
        // One with a budget plans anew by itself.
        if (!hadBudget) await this.close();
      }
    }
  }

  async close(): Promise<void> {
    await this.session?.destroy();
    this.session = undefined;
  }

  /** Takes less from now on; throws the error where that is no help. */
  private lower(error: unknown): void {
    const { memory: share, device } = this.parts;
    const isShort = error instanceof Flux2cError && error.code === 'F2C502';
    if (!isShort || share?.budget.isGuess !== true || this.attempts++ >= mostAttempts) throw error;
    this.hasBudget = true;
    share.shrink(Math.floor(shrinkBy * Math.min(share.deviceBytes, device.usage.peakBytes)));
  }
}

function budgetOf(parts: NetworkParts, share: MemoryShare): SessionBudget {
  const { hostBytes, onPlan } = share.budget;
  const budget = {
    get deviceBytes() {
      return share.deviceBytes;
    },
    hostBytes,
  };
  return sessionBudgetFor(parts, budget, (planned) => onPlan?.(parts.plan.name, planned));
}

function toRunOptions({ onStep, onStepDone, signal }: RunObserver = {}): RunOptions {
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
