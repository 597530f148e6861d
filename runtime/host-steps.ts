import { Flux2cError } from '../ir/diagnostics.js';
import type { DimBinding } from '../ir/dim.js';
import { byteSize } from '../ir/dtype.js';
import type { OpKind } from '../ir/graph/attributes.js';
import type { TensorType, WeightDeclaration } from '../ir/graph/graph.js';
import type { OpDefinition } from '../ir/graph/op-table.js';
import { opTable } from '../ir/graph/ops/index.js';
import { countElements, hostTensorFromBytes } from '../ir/host-tensor.js';
import type { HostTensor } from '../ir/host-tensor.js';
import type { HostOperand, HostStep, HostStepOf } from '../ir/plan.js';
import { readWhole } from './weight-provider.js';
import type { WeightProvider } from './weight-provider.js';

/**
 * Runs the host's share of a function by the reference semantics: computed in doubles, every result rounded to its type.
 *
 * @param values tensors by storage: the inputs at the start, all results at the end
 * @throws F2C168 an id that a table has no row for, and what the operations themselves throw
 */
export async function runHostSteps(
  steps: readonly HostStep[],
  values: Map<number, HostTensor>,
  sizes: DimBinding,
  weights: WeightProvider,
): Promise<void> {
  for (const step of steps) {
    const operands =
      step.operation === 'gather' && step.operands[0]?.kind === 'weight'
        ? await gatherRows(step.operands[0].weight, step.operands[1], values, sizes, weights)
        : await Promise.all(step.operands.map((operand) => readOperand(operand, values, sizes, weights)));
    const results = evaluate(step, operands, sizes);
    step.results.forEach(({ storage }, index) => values.set(storage, results[index] as HostTensor));
  }
}

async function readOperand(
  operand: HostOperand | undefined,
  values: ReadonlyMap<number, HostTensor>,
  sizes: DimBinding,
  weights: WeightProvider,
): Promise<HostTensor> {
  switch (operand?.kind) {
    case 'storage': {
      const tensor = values.get(operand.storage);
      if (tensor === undefined) throw new Error(`internal: storage ${operand.storage} is not known on the host`);
      // A storage may be seen under another shape.
      return { ...tensor, shape: operand.shape.map((dim) => dim.evaluate(sizes)) };
    }
    case 'weight': {
      const { type } = operand.weight;
      const shape = type.shape.map((dim) => dim.evaluate({}));
      return hostTensorFromBytes(type.dtype, shape, await readWhole(weights, operand.weight));
    }
    case 'constant': {
      const shape = operand.shape.map((dim) => dim.evaluate(sizes));
      const count = countElements(shape);
      const [first] = operand.values;
      const isSplat = operand.values.length === 1;
      const data = Float64Array.from({ length: count }, (_, index) => (isSplat ? first : operand.values[index]) ?? NaN);
      return { dtype: operand.dtype, shape, data };
    }
    case undefined:
      throw new Error('internal: a host step lacks an operand');
  }
}

/** The rows of a weight that the ids name, and the ids of those rows among them: the table itself stays in the file. */
async function gatherRows(
  weight: WeightDeclaration,
  idOperand: HostOperand | undefined,
  values: ReadonlyMap<number, HostTensor>,
  sizes: DimBinding,
  weights: WeightProvider,
): Promise<readonly [table: HostTensor, ids: HostTensor]> {
  const ids = await readOperand(idOperand, values, sizes, weights);
  const { dtype } = weight.type;
  const [rows, ...tail] = weight.type.shape.map((dim) => dim.evaluate({})) as [number, ...number[]];
  const rowBytes = countElements(tail) * byteSize(dtype);
  ids.data.forEach((id, index) => {
    if (id >= 0 && id < rows) return;
    throw new Flux2cError('F2C168', `gather: the id ${id} at position ${index} is not in the table`, {
      where: [`@${weight.name}`],
      expected: `0..${rows - 1}`,
      found: `${id}`,
    });
  });
  const wanted = [...new Set(ids.data)].sort((a, b) => a - b);
  const places = new Map(wanted.map((id, place) => [id, place]));
  const bytes = new Uint8Array(wanted.length * rowBytes);
  for (let place = 0; place < wanted.length;) {
    const first = wanted[place] as number;
    let count = 1;
    while (wanted[place + count] === first + count) count++;
    const range = { byteOffset: first * rowBytes, byteLength: count * rowBytes };
    bytes.set(await readWhole(weights, weight, range), place * rowBytes);
    place += count;
  }
  const table = hostTensorFromBytes(dtype, [wanted.length, ...tail], bytes);
  return [table, { ...ids, data: ids.data.map((id) => places.get(id) as number) }];
}

function evaluate<K extends OpKind>(
  step: HostStepOf<K>,
  operands: readonly HostTensor[],
  sizes: DimBinding,
): readonly HostTensor[] {
  const definition: OpDefinition<K> = opTable[step.operation];
  if (definition.evaluate === undefined) throw new Error(`internal: the host cannot run '${step.operation}'`);
  const types = step.results.map(({ dtype, shape }): TensorType => ({ dtype, shape }));
  const weight = (name: string): never => {
    throw new Error(`internal: a host step asks for the weight ${name}`);
  };
  return definition.evaluate(operands, step.attributes, types, { sizes, precision: 'f32', weight });
}
