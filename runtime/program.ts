/** Graphs as programs on a device: `compile`, then `load` the weights, then `run`. */
import { kernelPrinter } from '../backends/print-kernel.js';
import type { Target } from '../backends/target.js';
import { Flux2cError } from '../ir/diagnostics.js';
import type { DType } from '../ir/dtype.js';
import type { Module } from '../ir/graph/graph.js';
import type { LaunchStep, Plan, PlanStep, PlanValue } from '../ir/plan.js';
import { compileModule, type CompileOptions } from '../passes/compile.js';
import type { CompiledKernel, CompiledModule } from '../passes/compiled.js';
import type { Device } from './device.js';
import type { HostArray } from './host-array.js';
import { type ByteBudget, sessionBudgetFor } from './memory/session-budget-for.js';
import { provideWeights, type ProgramWeights } from './program-weights.js';
import { type RunOptions, Session, type SessionMemoryReport, type SessionOptions } from './session.js';
import type { Values } from './tensor.js';
import { WeightStore } from './weight-store.js';

/**
 * Compiles a module's functions for a device, or for what one with these capabilities would be (to look at the
 * result: `compile(module, { target: portableWebgpu })`). Takes milliseconds to seconds and needs no weights. F2C1xx to
 * F2C3xx for modules that cannot be compiled.
 */
export function compile(
  module: Module,
  { target }: { readonly target: Target },
  options: Omit<CompileOptions, 'print'> = {},
): Program {
  return new Program(module, compileModule(module, target, { ...options, print: kernelPrinter(target) }));
}

export interface LoadOptions {
  /** Arrays by tensor name (`{ 'fc.weight': tensor(...) }`) or a checkpoint; may be left out by modules without weights. */
  readonly weights?: ProgramWeights;
  /** Take weights that the module does not ask for, instead of refusing them. */
  readonly allowLeftOver?: boolean;
  /**
   * What each function may take; weights that do not fit are streamed while it runs. With a budget weights are loaded when the sizes of a run
   * are known, and functions do not share them. Default: everything is on the device.
   */
  readonly memory?: ByteBudget;
  readonly onProgress?: NonNullable<SessionOptions['onProgress']>;
  /** Ends loading with F2C522 whose cause is the signal's reason; nothing stays on the device then. */
  readonly signal?: AbortSignal;
}

/** A compiled module. Serves any sizes, and any number of devices of its kind. */
export class Program {
  /** Made by `compile`. @internal */
  constructor(
    readonly module: Module,
    private readonly compiled: CompiledModule,
  ) {}

  /** What it was compiled for. */
  get target(): Target {
    return this.compiled.target;
  }

  /** By name; functions share kernels that are equal. */
  get kernels(): ReadonlyMap<string, CompiledKernel> {
    return this.compiled.kernels;
  }

  /** The plan of each function, by its name. */
  get plans(): ReadonlyMap<string, Plan> {
    return this.compiled.plans;
  }

  /** The kernels that a function launches, in order; those of a loop's body once. F2C529 without such a function. */
  launches(name: string): readonly LaunchStep[] {
    const launches: LaunchStep[] = [];
    const visit = (step: PlanStep): void => {
      if (step.kind === 'launch') launches.push(step);
      if (step.kind === 'loop') step.steps.forEach(visit);
    };
    pick(this.plans, name, 'function', 'the program').steps.forEach(visit);
    return launches;
  }

  /**
   * Puts weights and kernels on a device; `destroy` the model to free them.
   *
   * @throws F2C431 naming weights that are missing, left over or misshapen, F2C536 the device is of another kind, F2C50x
   *   no room; a run within a budget that is too small throws F2C317
   */
  async load(device: Device, options: LoadOptions = {}): Promise<Model> {
    const { weights = {}, allowLeftOver = false, memory, onProgress, signal } = options;
    this.checkDevice(device);
    const provider = provideWeights(this.module, weights, allowLeftOver);
    const { kernels } = this;
    const store = new WeightStore(device);
    const sessions = new Map<string, Session>();
    try {
      for (const [name, plan] of this.plans) {
        const parts = { plan, kernels, device, store, weights: provider };
        const budget = memory && { memory: sessionBudgetFor(parts, memory) };
        const watched = { ...(onProgress && { onProgress }), ...(signal && { signal }) };
        sessions.set(name, await Session.create({ ...parts, ...budget, ...watched }));
      }
    } catch (error) {
      await Promise.all([...sessions.values()].map((session) => session.destroy()));
      throw error;
    }
    return new Model(sessions);
  }

  private checkDevice({ target, description }: Device): void {
    const made = this.target;
    const differing = [...new Set([...Object.keys(made), ...Object.keys(target)])]
      .map((key) => key as keyof Target)
      .filter((key) => JSON.stringify(made[key]) !== JSON.stringify(target[key]));
    if (differing.length === 0) return;
    const show = (of: Target): string => differing.map((key) => `${key} ${JSON.stringify(of[key])}`).join(', ');
    throw new Flux2cError('F2C536', 'the program was compiled for another kind of device', {
      where: [description],
      expected: show(made),
      found: show(target),
      hint: 'Compile it for the device: compile(module, device).',
    });
  }
}

/** A program with its weights on a device. */
export class Model {
  /** Made by `Program.load`. @internal */
  constructor(private readonly sessions: ReadonlyMap<string, Session>) {}

  /** What a function takes, with sizes that may be symbols. F2C529 without such a function. */
  inputs(name: string): readonly PlanValue[] {
    return this.session(name).inputs;
  }

  /** Bytes on the device for a function; weights that functions share count in each. F2C529 without such a function. */
  memory(name: string): SessionMemoryReport {
    return this.session(name).memory;
  }

  /**
   * Runs a function on arrays by the names of its inputs, of any sizes that fit. Runs of a function come one after the
   * other.
   *
   * @throws F2C529 without such a function, F2C520, F2C521 and F2C161 to F2C163 for inputs that do not fit, F2C50x and
   *   F2C51x of the device, F2C522 when `options.signal` ends the run
   */
  async run(name: string, inputs: Readonly<Record<string, HostArray>>, options?: RunOptions): Promise<Results> {
    const session = this.session(name);
    return new Results(name, await session.run(new Map(Object.entries(inputs)), options));
  }

  /** Frees weights and memory once the runs asked for are over. The device stays open. */
  async destroy(): Promise<void> {
    await Promise.all([...this.sessions.values()].map((session) => session.destroy()));
  }

  private session(name: string): Session {
    return pick(this.sessions, name, 'function', 'the program');
  }
}

/** What a run gives: tensors by the names of the function's `output`. */
export class Results implements Iterable<readonly [string, HostArray]> {
  /** Made by `Model.run`. @internal */
  constructor(
    private readonly functionName: string,
    private readonly arrays: ReadonlyMap<string, HostArray>,
  ) {}

  get names(): readonly string[] {
    return [...this.arrays.keys()];
  }

  /** Element type, shape and a typed array; 16-bit floats as f32 values. F2C529 without such a result. */
  get(name: string): HostArray;
  /** The same for an element type that the caller knows: `get('y', 'f32').data` is a Float32Array. F2C528 for another. */
  get<const D extends DType>(name: string, dtype: D): Values<D>;
  get(name: string, dtype?: DType): HostArray {
    const found = pick(this.arrays, name, 'result', `'${this.functionName}'`);
    if (dtype === undefined || found.dtype === dtype) return found;
    throw new Flux2cError('F2C528', `the result '${name}' has another element type`, {
      where: [this.functionName, name],
      expected: dtype,
      found: `${found.dtype}[${found.shape.join(', ')}]`,
    });
  }

  [Symbol.iterator](): Iterator<readonly [string, HostArray]> {
    return this.arrays.entries();
  }
}

function pick<T>(from: ReadonlyMap<string, T>, name: string, what: string, whose: string): T {
  const found = from.get(name);
  if (found !== undefined) return found;
  throw new Flux2cError('F2C529', `${whose} has no ${what} '${name}'`, {
    expected: [...from.keys()].join(', '),
    found: name,
  });
}
