import type { Target } from '../backends/target.js';
import type { Module } from '../ir/graph/graph.js';
import type { ThreadKernel } from '../ir/kernel/thread.js';
import type { Schedule } from '../ir/kernel/tile.js';
import type { Plan } from '../ir/plan.js';
import type { CompiledModule } from './compiled.js';
import { graphPassesFor } from './pipeline.js';
import { runGraphPasses } from './pass.js';
import type { Instrument } from './pass.js';
import { buildPlan } from './plan/build-plan.js';
import { KernelStore } from './plan/kernel-store.js';

export interface CompileOptions {
  /** Prints a kernel for the target's backend; the driver's caller knows the backend, passes do not. */
  readonly print: (kernel: ThreadKernel) => string;
  readonly instruments?: readonly Instrument[];
  /** Schedules by kernel name, in place of the chosen ones. */
  readonly schedules?: ReadonlyMap<string, Schedule>;
  /** Only these functions; all by default. */
  readonly functions?: readonly string[];
}

/** Runs the whole way from a graph module to kernels and plans. Errors: F2C1xx to F2C3xx of the stages. */
export function compileModule(module: Module, target: Target, options: CompileOptions): CompiledModule {
  const wanted = options.functions;
  const functions = new Map([...module.functions].filter(([name]) => wanted === undefined || wanted.includes(name)));
  const fused = runGraphPasses({ ...module, functions }, graphPassesFor(target), target, options.instruments ?? []);
  const { print, schedules } = options;
  const kernels = new KernelStore(target, schedules === undefined ? { print } : { print, schedules });
  const plans = new Map<string, Plan>();
  for (const [name, fn] of fused.functions) plans.set(name, buildPlan(fused, fn, kernels));
  return { target, plans, kernels: kernels.kernels };
}
