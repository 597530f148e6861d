import type { Target } from '../backends/target.js';
import type { AccessMap } from '../ir/kernel/access.js';
import type { ThreadKernel } from '../ir/kernel/thread.js';
import type { Schedule, TileKernel } from '../ir/kernel/tile.js';
import type { Plan } from '../ir/plan.js';
import type { KernelFacts } from './kernel/from-group/facts.js';

/** What compiling a module gives: a plan for each function and the kernels they share. */
export interface CompiledModule {
  readonly target: Target;
  /** By function name. */
  readonly plans: ReadonlyMap<string, Plan>;
  /** By name; equal kernels are one. */
  readonly kernels: ReadonlyMap<string, CompiledKernel>;
}

export interface CompiledKernel {
  /** Of this kernel under this schedule. */
  readonly name: string;
  /** Of the kernel under any schedule, for any target: what tables of schedules know it by. Made when it is first asked for. */
  readonly key: () => string;
  /** What schedules are chosen by. */
  readonly facts: KernelFacts;
  readonly tile: TileKernel;
  readonly schedule: Schedule;
  readonly thread: ThreadKernel;
  readonly accesses: AccessMap;
  /** The backend's text (WGSL); empty for the CPU, which compiles the thread form when it loads. */
  readonly source: string;
}
