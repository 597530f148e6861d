/** The builds of an artifact: a model's functions, compiled for each kind of device. */
import { cudaSharedBytes } from '../backends/cuda/cuda.js';
import { cudaArchitectures } from '../backends/cuda/cuda-target.js';
import { familyOf, type Target } from '../backends/target.js';
import { compileFunctions, type CompiledFunctions, type CompileRequest } from '../models/flux2/compile-artifact.js';
import type { TileKernel } from '../ir/kernel/tile.js';
import { flattenTileStatements } from '../ir/kernel/tile-walk.js';
import { KernelCache } from '../passes/compile.js';
import type { CompiledKernel } from '../passes/compiled.js';
import { encodePlan } from '../runtime/artifact/plan-json.js';
import type { BuildTarget } from './target-options.js';

export interface CompiledBuild extends CompiledFunctions, BuildTarget {
  /** Its family, of what it needs of a device. */
  readonly name: string;
}

export interface BuildsRequest extends Omit<CompileRequest, 'target' | 'cache' | 'onFunction'> {
  readonly targets: readonly BuildTarget[];
  /** Before each function for each target, and at the end. `family` is the target's. */
  readonly onFunction: (done: number, of: number, family: string) => void;
}

/**
 * A build for each target; targets that make no difference to plans and kernels share one. The instruments see the passes
 * for the first target: graphs are the same for all of a backend. Errors of the stages.
 */
export function compileBuilds({
  targets,
  onFunction,
  instrumentsOf,
  ...request
}: BuildsRequest): readonly CompiledBuild[] {
  const cache = new KernelCache();
  const builds = new Map<string, CompiledBuild>();
  targets.forEach(({ target, architectures }, index) => {
    const compiled = compileFunctions({
      ...request,
      target,
      cache,
      ...(instrumentsOf && index === 0 && { instrumentsOf }),
      onFunction: (done, of) => onFunction(index * of + done, targets.length * of, familyOf(target)),
    });
    const twin = [...builds.values()].find((build) => areEqual(build, compiled));
    if (twin !== undefined) {
      builds.set(twin.name, {
        ...twin,
        architectures: cudaArchitectures.filter(
          (each) => twin.architectures.includes(each) || architectures.includes(each),
        ),
      });
      return;
    }
    const needed = neededOf(target, compiled.kernels);
    const name = familyOf(needed);
    if (builds.has(name)) throw new Error(`internal: two builds are called ${name}`);
    builds.set(name, { ...compiled, name, target: needed, architectures });
  });
  return [...builds.values()];
}

function areEqual(one: CompiledFunctions, other: CompiledFunctions): boolean {
  const names = [...one.kernels.keys()];
  if (names.length !== other.kernels.size || names.some((name) => !other.kernels.has(name))) return false;
  return [...one.functions].every(([name, { plan }]) => {
    const twin = other.functions.get(name);
    return twin !== undefined && encodePlan(twin.plan) === encodePlan(plan);
  });
}

function multipliesBytes({ body }: TileKernel): boolean {
  return [...flattenTileStatements(body)].some((statement) => statement.kind === 'contract' && statement.inBytes);
}

/** The target without what no kernel makes use of, so that GPUs that lack it run them. */
function neededOf(target: Target, kernels: ReadonlyMap<string, CompiledKernel>): Target {
  const all = [...kernels.values()];
  if (target.backend !== 'cuda') {
    const { packedDots: _, ...others } = target;
    return all.some(({ tile }) => multipliesBytes(tile)) ? target : others;
  }
  const units = new Set(all.map(({ schedule }) => schedule.matrix?.unit));
  const matrix = (['wgmma', 'mma'] as const).find((unit) => units.has(unit));
  const { matrix: _, tensorCopies: _copies, fp8: _fp8, ...rest } = target;
  const workgroupMemory = Math.max(0, ...all.map(({ thread }) => cudaSharedBytes(thread)));
  const copies = all.some(({ thread }) => thread.tensorMaps !== undefined) && { tensorCopies: true };
  // What products multiply and stores round is in buffers; between them, values are rounded by their bits, which any GPU does.
  const buffers = all.flatMap(({ thread }) => thread.buffers);
  const fp8 = buffers.some(({ storage }) => storage === 'f8e4m3') && { fp8: true };
  return { ...rest, ...(matrix && { matrix }), ...copies, ...fp8, workgroupMemory };
}
