import { Flux2cError } from '../ir/diagnostics.js';
import type { DimBinding } from '../ir/dim.js';
import type { GraphFunction, Module } from '../ir/graph/graph.js';
import { interpretFunction } from '../ir/graph/interpret.js';
import { printType } from '../ir/graph/types.js';
import { materializeWeight } from '../ir/graph/weights.js';
import { compareTensors, type HostTensor } from '../ir/host-tensor.js';

/** One call of a function whose results must stay. */
export interface ValidationCase {
  readonly functionName: string;
  readonly inputs: ReadonlyMap<string, HostTensor>;
  /** Sizes that no input determines. */
  readonly sizes?: DimBinding;
}

export interface ValidationOptions {
  readonly precision: 'f32' | 'f64';
  /** Largest |after - before| / |before| of a result; a result that should vanish may differ by as much absolutely. */
  readonly tolerance: number;
}

/**
 * Translation validation: interprets both modules on the same inputs and weights and compares every result. Weights that
 * a pass packed are packed from the tensors they name.
 *
 * @param readTensor a stored tensor by its name in the checkpoint
 * @throws F2C302 for the first result that differs, F2C303 when a function or its interface changed
 */
export function validateTranslation(
  before: Module,
  after: Module,
  cases: readonly ValidationCase[],
  readTensor: (name: string) => HostTensor,
  { precision, tolerance }: ValidationOptions,
): void {
  expectSameInterfaces(before, after);
  for (const { functionName, inputs, sizes } of cases) {
    const options = { precision, ...(sizes && { sizes }) };
    const [want, got] = [before, after].map((module) =>
      interpretFunction(module, functionName, inputs, createWeightReader(module, readTensor), options),
    ) as [ReadonlyMap<string, HostTensor>, ReadonlyMap<string, HostTensor>];
    for (const [name, tensor] of want) {
      const { maxAbs, relativeL2 } = compareTensors(got.get(name) as HostTensor, tensor);
      if (relativeL2 <= tolerance || maxAbs <= tolerance) continue;
      throw new Flux2cError('F2C302', `the result '${name}' of '${functionName}' is not what it was`, {
        where: [`function '${functionName}'`, `result '${name}'`],
        expected: `a relative difference of at most ${tolerance} in ${precision}`,
        found: `${relativeL2.toPrecision(3)}, at most ${maxAbs.toPrecision(3)} for one element`,
      });
    }
  }
}

/** The numbers of a module's declared weights, packed when first asked for. */
export function createWeightReader(
  module: Module,
  readTensor: (name: string) => HostTensor,
): (name: string) => HostTensor {
  const packed = new Map<string, HostTensor>();
  return (name) => {
    const known = packed.get(name);
    if (known !== undefined) return known;
    const declaration = module.weights.get(name);
    if (declaration === undefined) throw new Error(`internal: the module has no weight @${name}`);
    const tensor = materializeWeight(declaration, readTensor);
    packed.set(name, tensor);
    return tensor;
  };
}

/** Passes may change everything in a function but its parameters, the names of its results and their types. */
function expectSameInterfaces(before: Module, after: Module): void {
  const was = [...before.functions.values()].map(describeInterface);
  const is = [...after.functions.values()].map(describeInterface);
  const at = was.findIndex((text, index) => text !== is[index]);
  if (at < 0 && was.length === is.length) return;
  throw new Flux2cError('F2C303', 'a pass changed the interface of a function', {
    expected: was[at] ?? `${was.length} functions`,
    found: is[at] ?? `${is.length} functions`,
  });
}

function describeInterface({ name, resultNames, body }: GraphFunction): string {
  const parameters = body.parameters.map((value) => `%${value.name}: ${printType(value.type)}`);
  const results = body.results.map((value, at) => `${resultNames[at] ?? ''}: ${printType(value.type)}`);
  return `${name}(${parameters.join(', ')}) -> (${results.join(', ')})`;
}
