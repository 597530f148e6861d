/** What `compile --memory-budget` promises: that a model runs within it, and how fast. */
import { smallerTile } from '../models/flux2/decode-picture.js';
import type { Flux2Description, NetworkName } from '../models/flux2/networks.js';
import type { ArtifactMemory } from '../runtime/artifact.js';
import { usualCosts } from '../runtime/memory/device-costs.js';
import { planWithinBudget } from '../runtime/memory/plan-memory.js';
import type { CompiledBuild } from './compile-builds.js';
import { type BudgetReport, describeBudget } from './inspect/memory-report.js';
import { bindSizesOf, type PictureSizes, resolveSizes } from './inspect/sizes.js';
import { type InspectedFunction, sizeDefaults } from './inspect/subject.js';
import type { MemoryOptions } from './memory-options.js';
import { contradiction, wrongValue } from './options.js';

export interface CompiledMemory {
  readonly budget: ArtifactMemory;
  /** The sizes for which functions were planned: those that the model is made for. */
  readonly sizes: PictureSizes;
  /** Of each build, by name, its functions in order. */
  readonly builds: ReadonlyMap<string, readonly PlannedFunction[]>;
}

export interface PlannedFunction extends BudgetReport {
  readonly name: NetworkName;
  /** Whether `stepSeconds` is a step's of several. */
  readonly hasSteps: boolean;
  /** Latent tokens of a side, where pictures are decoded in tiles. */
  readonly tile?: number;
}

/**
 * The budget that an artifact is to run within; undefined without one. F2C702 for `auto`, F2C703 for a budget of host memory alone: to be
 * asked before anything is compiled.
 */
export function compiledBudget({ memoryBudget, hostBudget }: MemoryOptions): ArtifactMemory | undefined {
  if (memoryBudget === undefined) {
    if (hostBudget === undefined) return undefined;
    throw contradiction(
      '--host-budget is for weights that are streamed, and all are on the device',
      'Take it together with --memory-budget.',
    );
  }
  if (memoryBudget === 'auto') {
    throw wrongValue(
      '--memory-budget',
      'a number of bytes such as 8GiB',
      'auto',
      'Where the artifact will run is not known yet; generate --memory-budget auto takes what is free there.',
    );
  }
  return { deviceBytes: memoryBudget, ...(hostBudget !== undefined && { hostBytes: hostBudget }) };
}

/**
 * A plan for every function of every build, each of which has the whole budget while it runs. F2C317 for a function that has none for the
 * model's own sizes, naming the smallest budget.
 */
export function planMemory(
  builds: readonly CompiledBuild[],
  description: Flux2Description,
  budget: ArtifactMemory,
): CompiledMemory {
  const sizes = resolveSizes({}, sizeDefaults(description));
  const planned = builds.map(({ name, target, functions, kernels }) => {
    const reports = [...functions].map(([fn, { plan }]) =>
      planFunction({ name: fn, plan, kernels }, target, sizes, budget),
    );
    return [name, reports] as const;
  });
  return { budget, sizes, builds: new Map(planned) };
}

function planFunction(
  fn: InspectedFunction,
  target: CompiledBuild['target'],
  sizes: PictureSizes,
  { deviceBytes, hostBytes }: ArtifactMemory,
): PlannedFunction {
  const costs = usualCosts(target);
  const plan = (of: PictureSizes): PlannedFunction => {
    const request = { deviceBytes, ...(hostBytes !== undefined && { hostBytes }), costs };
    const planned = planWithinBudget(fn.plan, bindSizesOf(fn.name, of), target, fn.kernels, request);
    const hasSteps = fn.plan.steps.some(({ kind }) => kind === 'loop');
    return { name: fn.name, hasSteps, ...describeBudget(deviceBytes, planned, costs) };
  };
  const longest = Math.max(sizes.rows, sizes.columns);
  for (let size: number | undefined = longest; ;) {
    try {
      if (size === longest) return plan(sizes);
      return { ...plan({ ...sizes, rows: Math.min(size, sizes.rows), columns: Math.min(size, sizes.columns) }), tile: size }; // prettier-ignore
    } catch (error) {
      // As pictures are decoded: in smaller and smaller tiles.
      const smaller: number | undefined = fn.name === 'vae_decoder' ? smallerTile(size, error) : undefined;
      if (smaller === undefined) throw error;
      size = smaller;
    }
  }
}
