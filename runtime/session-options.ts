/** What sessions and their runs are given, and tell. */
import type { DimBinding } from '../ir/dim.js';
import type { Plan } from '../ir/plan.js';
import type { Device } from './device.js';
import type { LoadableKernel } from './plan/bound-plan.js';
import type { SessionBudget } from './session-budget.js';
import type { WeightProvider } from './weight-provider.js';
import type { WeightStore } from './weight-store.js';

export interface SessionOptions {
  readonly plan: Plan;
  /** At least those that the plan names. */
  readonly kernels: ReadonlyMap<string, LoadableKernel>;
  readonly device: Device;
  readonly weights: WeightProvider;
  /** Shares weights with other sessions of the device. Default: a store of its own. */
  readonly store?: WeightStore;
  /**
   * Bounds what the session takes. Its weights are its own then, not those of `store`, and what a run's sizes need is loaded in
   * the run. Default: all weights are on the device, and whatever else plans need.
   */
  readonly memory?: SessionBudget;
  readonly onProgress?: (progress: SessionProgress) => void;
  /** Ends `Session.create`, compilers that it has started included, with F2C522 whose cause is the signal's reason. */
  readonly signal?: AbortSignal;
}

/** Weights count bytes, kernels count kernels. */
export interface SessionProgress {
  readonly stage: 'weights' | 'kernels';
  readonly done: number;
  readonly total: number;
}

export interface RunOptions {
  /** Sizes that no input determines. */
  readonly sizes?: DimBinding;
  /** After each iteration of a loop; the next one waits for the promise. Not needed for progress: that is `onStepDone`. */
  readonly onStep?: (info: StepInfo) => void | Promise<void>;
  /** When an iteration of a loop has ended, in order. Nothing waits for it: the device is an iteration ahead. */
  readonly onStepDone?: (info: Pick<StepInfo, 'symbol' | 'index' | 'count'>) => void;
  /** While weights are loaded that a session with a budget needs for the sizes of this run. */
  readonly onLoad?: (progress: SessionProgress) => void;
  /** Ends the run before the next iteration, with F2C522 whose cause is the signal's reason. */
  readonly signal?: AbortSignal;
}

export interface StepInfo {
  /** The loop's symbol in the module. */
  readonly symbol: string;
  /** From 0. */
  readonly index: number;
  readonly count: number;
  /** Names that `read` takes. */
  readonly carried: readonly string[];
  /** A carried value as the iteration left it. Only until `onStep` is done. */
  read(name: string): Promise<Float32Array>;
}

/** Bytes on the device, but for the last two. */
export interface SessionMemoryReport {
  readonly weightBytes: number;
  /** Temporaries: what the arenas take, and the most that was live at once for the last run's sizes. */
  readonly arenaBytes: number;
  readonly lowerBoundBytes: number;
  /** Inputs, results and what the host computes. */
  readonly boundaryBytes: number;
  /** Places of weights that are streamed. */
  readonly ringBytes: number;
  /** The device's peak, other sessions' memory included. */
  readonly peakBytes: number;
  /** Host memory of weights that are streamed, and the most there was. */
  readonly hostBytes: number;
  readonly hostPeakBytes: number;
}
