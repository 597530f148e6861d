import type { Target } from '../backends/target.js';
import { byteSize, isFloat } from '../ir/dtype.js';
import type { Block, Module } from '../ir/graph/graph.js';
import { interpretFunction } from '../ir/graph/interpret.js';
import { compareTensors, type HostTensor } from '../ir/host-tensor.js';
import { compileModule } from '../passes/compile.js';
import type { CompiledModule } from '../passes/compiled.js';
import { createWeightReader } from '../passes/validate.js';
import { type PlanRun, runPlan } from './run-plan.js';

/** A function of a module with something to run it on. */
export interface PlanSample {
  readonly module: Module;
  readonly functionName: string;
  readonly inputs: ReadonlyMap<string, HostTensor>;
  /** A stored tensor by its name in the checkpoint. */
  readonly readTensor: (name: string) => HostTensor;
}

/** Sums come in another order than the interpreter's. */
const relativeTolerance = 1e-5;
/** A value of 16 or 8 bits that lies between two may go either way: a unit in the last place of bf16. */
const narrowTolerance = 2 ** -8;

/**
 * Compiles a sample for a target, executes its plan and holds every result against the graph interpreter: relative L2 of
 * 1e-5 (absolute where the result should vanish), integers and booleans exactly.
 *
 * @throws an error that names the first result that differs
 */
export function validatePlan(sample: PlanSample, target: Target): PlanRun & { readonly compiled: CompiledModule } {
  const { module, functionName, inputs, readTensor } = sample;
  const compiled = compileModule(module, target, { print: () => '' });
  const plan = compiled.plans.get(functionName);
  const packed = createWeightReader({ ...module, weights: new Map(plan?.weights.map((weight) => [weight.name, weight])) }, readTensor); // prettier-ignore
  const run = runPlan(compiled, functionName, inputs, ({ name }) => packed(name));
  const weights = createWeightReader(module, readTensor);
  const want = interpretFunction(module, functionName, inputs, weights, { precision: 'f32' });
  const isNarrow = [...module.functions.values()].some(({ body }) => computesNarrow(body));
  for (const [name, tensor] of want) {
    const got = run.results.get(name);
    if (got === undefined) throw new Error(`no result ${name}`);
    const { maxAbs, relativeL2 } = compareTensors(got, tensor);
    const tolerance = !isFloat(tensor.dtype) ? 0 : isNarrow ? narrowTolerance : relativeTolerance;
    if (relativeL2 <= tolerance || maxAbs <= tolerance) continue;
    const numbers = [...got.data.slice(0, 8)]
      .map((value, at) => `${value} for ${tensor.data[at] as number}`)
      .join(', ');
    throw new Error(`the result ${name} differs by ${relativeL2}, at most ${maxAbs}: ${numbers}`);
  }
  return { ...run, compiled };
}

/** Something that is not just read has a narrow type. */
function computesNarrow({ operations }: Block): boolean {
  return operations.some(
    ({ kind, results, body }) =>
      (kind !== 'weight' && results.some(({ type }) => isFloat(type.dtype) && byteSize(type.dtype) <= 2)) ||
      (body !== undefined && computesNarrow(body)),
  );
}
