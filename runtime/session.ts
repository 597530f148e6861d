import { Flux2cError } from '../ir/diagnostics.js';
import type { DimBinding } from '../ir/dim.js';
import type { HostTensor } from '../ir/host-tensor.js';
import type { Plan, PlanValue, Storage } from '../ir/plan.js';
import type { DeviceBuffer } from './device.js';
import { decodeStorage, encodeStorage, fromHostTensor, toHostTensor } from './host-array.js';
import type { HostArray } from './host-array.js';
import { runHostSteps } from './host-steps.js';
import { instantiatePlan } from './instantiate.js';
import type { BoundLoop, BoundPlan } from './plan/bound-plan.js';
import { roundUp } from './plan/storage-layout.js';
import { bindInputs } from './session-inputs.js';
import { type Arrangement, BudgetedMemory, type OnLoad, sizesKey } from './session-budget.js';
import { loadSession } from './session-loading.js';
import { SessionMemory } from './session-memory.js';
import type { RunOptions, SessionMemoryReport, SessionOptions, StepInfo } from './session-options.js';
import { cancelled, StepRunner, throwIfAborted } from './step-runner.js';
import type { LoopObserver } from './step-runner.js';
import { WeightStore } from './weight-store.js';
import type { LoadedWeight } from './weight-store.js';

export type { HostArray } from './host-array.js';
export type { SessionBudget } from './session-budget.js';
export type { RunOptions, SessionMemoryReport, SessionOptions, SessionProgress, StepInfo } from './session-options.js';

interface Prepared {
  readonly bound: BoundPlan;
  readonly buffers: readonly DeviceBuffer[];
  readonly runner: StepRunner;
}

// Instantiations kept for sizes that come back. Each holds bind groups, so not all that ever came.
const maxPrepared = 4;

/** A function of a compiled module on a device, with its weights there and its kernels loaded. */
export class Session {
  private readonly prepared = new Map<string, Prepared>();
  private readonly memoryPool: SessionMemory;
  private lowerBoundBytes = 0;
  private queue: Promise<unknown> = Promise.resolve();
  private isDestroyed = false;

  private constructor(
    private readonly options: SessionOptions,
    private readonly store: WeightStore,
    private readonly loaded: ReadonlyMap<string, LoadedWeight>,
    private readonly budgeted: BudgetedMemory | undefined,
  ) {
    this.memoryPool = new SessionMemory(options.device);
  }

  /**
   * Puts the function's weights on the device and loads its kernels. With a budget: the weights that stay there for the expected
   * sizes, none if there are no such sizes.
   *
   * @throws F2C314 a kernel is missing, F2C52x weights that do not fit, F2C50x no room, F2C522 cancelled; nothing stays on the device then
   */
  static async create(options: SessionOptions): Promise<Session> {
    const { plan, device, signal } = options;
    const store = options.store ?? new WeightStore(device);
    const loaded = new Map<string, LoadedWeight>();
    const budgeted = options.memory && new BudgetedMemory(device, options.weights, options.memory);
    try {
      await loadSession(options, budgeted ?? { store, loaded });
      await device.finish();
    } catch (error) {
      budgeted?.destroy();
      await Promise.all([...loaded.keys()].map((name) => store.release(name)));
      throw nameFunction(signal?.aborted === true && error === signal.reason ? cancelled(error) : error, plan);
    }
    return new Session(options, store, loaded, budgeted);
  }

  get plan(): Plan {
    return this.options.plan;
  }

  get inputs(): readonly PlanValue[] {
    return this.options.plan.inputs;
  }

  get memory(): SessionMemoryReport {
    const { budgeted, lowerBoundBytes } = this;
    const slots = budgeted ?? this.memoryPool;
    let weightBytes = budgeted?.weightBytes ?? 0;
    for (const { byteLength } of this.loaded.values()) weightBytes += byteLength;
    return {
      weightBytes,
      arenaBytes: slots.countBytes('arena'),
      lowerBoundBytes,
      boundaryBytes: slots.countBytes('boundary'),
      ringBytes: slots.countBytes('ring'),
      peakBytes: this.options.device.usage.peakBytes,
      hostBytes: budgeted?.hostUsage.bytes ?? 0,
      hostPeakBytes: budgeted?.hostUsage.peakBytes ?? 0,
    };
  }

  /**
   * Runs the function. Runs of one session come one after the other.
   *
   * @param inputs an array for every input, by name
   * @returns the results by name
   * @throws F2C520, F2C521, F2C161..F2C163 inputs that do not fit, F2C31x sizes that do not fit the device, F2C50x,
   *   F2C51x from the device, F2C522 cancelled
   */
  run(inputs: ReadonlyMap<string, HostArray>, options: RunOptions = {}): Promise<ReadonlyMap<string, HostArray>> {
    const isLate = this.isDestroyed;
    const run = this.queue.then(() => {
      if (isLate) throw new Flux2cError('F2C526', 'the session has been destroyed');
      return this.runNow(inputs, options);
    });
    this.queue = run.catch(() => undefined);
    return run.catch((error: unknown) => {
      throw nameFunction(error, this.plan);
    });
  }

  /** Frees everything once the runs asked for are over; shared weights when their last session goes. */
  async destroy(): Promise<void> {
    if (this.isDestroyed) return;
    this.isDestroyed = true;
    await this.queue;
    this.forget();
    this.memoryPool.destroy();
    this.budgeted?.destroy();
    await Promise.all([...this.loaded.keys()].map((name) => this.store.release(name)));
  }

  private async runNow(
    inputs: ReadonlyMap<string, HostArray>,
    { sizes: known = {}, onStep, onStepDone, onLoad, signal }: RunOptions,
  ): Promise<ReadonlyMap<string, HostArray>> {
    const { device, plan, weights } = this.options;
    throwIfAborted(signal);
    const sizes = bindInputs(plan, inputs, known);
    const report = onLoad && ((done: number, total: number) => onLoad({ stage: 'weights', done, total }));
    const prepared = await this.prepare(sizes, report, signal);
    const { bound, runner } = prepared;
    this.lowerBoundBytes = bound.memory.lowerBoundBytes;
    const values = new Map<number, HostTensor>();
    if (bound.hostSteps.length > 0) {
      for (const { name, storage } of plan.inputs) values.set(storage, toHostTensor(inputs.get(name) as HostArray));
      await runHostSteps(bound.hostSteps, values, sizes, weights);
    }
    for (const { name, storage } of plan.inputs) this.upload(prepared, storage, inputs.get(name) as HostArray);
    for (const { results } of bound.hostSteps) {
      for (const { storage } of results) this.upload(prepared, storage, values.get(storage) as HostTensor);
    }
    const observer: LoopObserver = {
      ...(onStep && { onIteration: (loop, index) => onStep(this.describeStep(prepared, loop, index)) }),
      ...(onStepDone && { onDone: ({ symbol, count }, index) => onStepDone({ symbol, index, count }) }),
    };
    try {
      await runner.run(bound.steps, observer, signal);
    } finally {
      // Nothing may still be using the buffers when the next run or `destroy` comes.
      await device.finish();
    }
    const results = new Map<string, HostArray>();
    for (const result of plan.results) {
      const onHost = values.get(result.storage) ?? this.passedThrough(inputs, result);
      const isOnDevice = bound.placements[result.storage] !== undefined;
      results.set(
        result.name,
        isOnDevice || onHost === undefined ? await this.download(prepared, result) : fromHostTensor(onHost),
      );
    }
    return results;
  }

  private passedThrough(inputs: ReadonlyMap<string, HostArray>, { storage }: PlanValue): HostTensor | undefined {
    const input = this.plan.inputs.find((candidate) => candidate.storage === storage);
    return input === undefined ? undefined : toHostTensor(inputs.get(input.name) as HostArray);
  }

  private async prepare(sizes: DimBinding, onLoad?: OnLoad, signal?: AbortSignal): Promise<Prepared> {
    const key = sizesKey(sizes);
    let prepared = this.prepared.get(key);
    if (prepared === undefined) {
      const { bound, buffers, startTransfers } = await this.arrange(sizes, onLoad, signal);
      prepared = { bound, buffers, runner: new StepRunner(this.options.device, buffers, startTransfers) };
    }
    // Last in the map is last used.
    this.prepared.delete(key);
    this.prepared.set(key, prepared);
    for (const [oldest, { runner }] of this.prepared) {
      if (this.prepared.size <= maxPrepared) break;
      runner.destroy();
      this.prepared.delete(oldest);
    }
    return prepared;
  }

  private async arrange(sizes: DimBinding, onLoad?: OnLoad, signal?: AbortSignal): Promise<Arrangement> {
    const { plan, device, kernels } = this.options;
    if (this.budgeted !== undefined) {
      // Memory is arranged for one run's sizes at a time.
      this.forget();
      return this.budgeted.arrange(sizes, onLoad, signal);
    }
    const bound = instantiatePlan(plan, sizes, device.target, kernels);
    const buffers = this.memoryPool.provide(
      bound,
      ({ weight, label }) => {
        const buffer = weight && this.loaded.get(weight.name)?.buffers[weight.segment];
        if (buffer === undefined) throw new Error(`internal: the weight ${label} is not loaded`);
        return buffer;
      },
      () => this.forget(),
    );
    return { bound, buffers };
  }

  private forget(): void {
    for (const { runner } of this.prepared.values()) runner.destroy();
    this.prepared.clear();
  }

  private upload({ bound, buffers }: Prepared, storage: number, array: HostArray | HostTensor): void {
    const segment = bound.placements[storage]?.segments[0];
    if (segment === undefined || segment.end === 0) return;
    const bytes = encodeStorage(array, (this.plan.storages[storage] as Storage).storage);
    const words = new Uint8Array(roundUp(bytes.byteLength, 4));
    if (words.byteLength !== bytes.byteLength) words.set(bytes);
    const whole = words.byteLength === bytes.byteLength ? bytes : words;
    this.options.device.write(buffers[segment.buffer] as DeviceBuffer, segment.byteOffset, whole);
  }

  private async download({ bound, buffers }: Prepared, value: PlanValue): Promise<HostArray> {
    const { storage } = this.plan.storages[value.storage] as Storage;
    const shape = value.shape.map((dim) => dim.evaluate(bound.sizes));
    const placement = bound.placements[value.storage];
    const segment = placement?.segments[0];
    if (placement === undefined || segment === undefined) {
      // Nothing writes a result without elements.
      if (!shape.includes(0)) throw new Error(`internal: nothing makes the result ${value.name}`);
      return decodeStorage(new Uint8Array(0), storage, value.dtype, shape);
    }
    const byteLength = roundUp((segment.end - segment.start) * placement.elementBytes, 4);
    const buffer = buffers[segment.buffer] as DeviceBuffer;
    const bytes = await this.options.device.read(buffer, segment.byteOffset, byteLength);
    return decodeStorage(bytes, storage, value.dtype, shape);
  }

  private describeStep(prepared: Prepared, loop: BoundLoop, index: number): StepInfo {
    const { symbol, count, carried } = loop;
    return {
      symbol,
      index,
      count,
      carried: carried.map(({ name }) => name),
      read: async (name) => {
        const value = carried.find((candidate) => candidate.name === name);
        if (value === undefined) {
          throw new Flux2cError('F2C527', `the loop carries no '${name}'`, {
            expected: carried.map((candidate) => candidate.name).join(', '),
            found: name,
          });
        }
        return Float32Array.from((await this.download(prepared, value)).data as Float32Array);
      },
    };
  }
}

/** Puts the function's name in front of where an error happened. */
function nameFunction(error: unknown, plan: Plan): unknown {
  if (!(error instanceof Flux2cError) || error.detail.where?.[0] === plan.name) return error;
  const where = [plan.name, ...(error.detail.where ?? [])];
  return new Flux2cError(error.code, error.message, { ...error.detail, where });
}
