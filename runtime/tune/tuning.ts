/** What is asked of the tuner, and what it says. */
import type { DimBinding } from '../../ir/dim.js';
import type { Schedule } from '../../ir/kernel/tile.js';
import type { CompiledModule } from '../../passes/compiled.js';
import type { Device } from '../device.js';
import type { TunedKernel } from '../schedules/schedule-table.js';

export interface TuneRequest {
  /** The function's name in the module. */
  readonly name: string;
  /** Compiles the module under schedules, as `prepareModule` gives it. */
  readonly make: (schedules?: ReadonlyMap<string, Schedule>) => CompiledModule;
  readonly sizes: DimBinding;
  readonly device: Device;
  /** Known already, by kernel key: they are left out. */
  readonly known?: ReadonlySet<string>;
  /** Milliseconds that may pass; what has been begun is ended. */
  readonly milliseconds: number;
  /** Ends the search with what was found. */
  readonly signal?: AbortSignal;
  readonly onKernel?: (report: KernelTuning) => void;
  /** Milliseconds; default: `performance.now`. */
  readonly now?: () => number;
}

/** What came out for one kernel. */
export interface KernelTuning {
  readonly key: string;
  readonly label: string;
  /** Launches of it in the function, or in a step of its loop. */
  readonly launches: number;
  readonly chosen: Schedule;
  readonly chosenMilliseconds: number;
  /** How many schedules were timed, besides the chosen one. */
  readonly tried: number;
  /** Absent where none is faster. */
  readonly found?: TunedKernel;
  /** Schedules under which the kernel computes something else: bugs. */
  readonly wrong: readonly Schedule[];
}
