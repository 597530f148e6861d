import { checkStrict, type Checkpoint, type WeightTable } from '../frontend/checkpoint/index.js';
import { buildWeightTable } from '../frontend/checkpoint/names.js';
import type { Module } from '../ir/graph/graph.js';
import { tensorsOf } from '../ir/graph/weight-ingredients.js';
import { isSameButForOnes } from '../ir/host-tensor.js';
import { checkLength, type HostArray, toHostTensor } from './host-array.js';
import { memoryWeights, type WeightProvider } from './weight-provider.js';
import { checkpointWeights } from './weights.js';

/** Weights as arrays by the names of their tensors, or in files. */
export type ProgramWeights = Readonly<Record<string, HostArray>> | Checkpoint;

/**
 * Checks that these are the weights a module asks for; element types may differ, they are converted.
 *
 * @param allowLeftOver take weights that the module does not ask for
 * @throws F2C431 naming everything that is missing, left over or misshapen, F2C521 an array is not as long as its shape
 */
export function provideWeights(module: Module, weights: ProgramWeights, allowLeftOver: boolean): WeightProvider {
  const ignorable = allowLeftOver ? [/(?:)/] : [];
  if (isCheckpoint(weights)) {
    const { name, tensors } = weights;
    const table = buildWeightTable(name, [...tensors.values()].map((tensor) => ({ name: tensor.name, tensor }))); // prettier-ignore
    checkStrict(table, listTensors(module, table), ignorable);
    return checkpointWeights(weights, table);
  }
  const arrays = new Map(Object.entries(weights));
  for (const [name, array] of arrays) checkLength(name, array);
  const table = tableOf(arrays);
  checkStrict(table, listTensors(module, table), ignorable);
  return memoryWeights({
    get: (name) => {
      const array = arrays.get(name);
      return array && toHostTensor(array);
    },
  });
}

function isCheckpoint(weights: ProgramWeights): weights is Checkpoint {
  // No array is a function, whatever its name.
  return typeof (weights as { readonly readRange?: unknown }).readRange === 'function';
}

function tableOf(arrays: ReadonlyMap<string, HostArray>): WeightTable {
  const slices = [...arrays].map(([name, { dtype, shape }]) => {
    return [name, { name, dtype, fileDType: dtype, shape, parts: [] }] as const;
  });
  return Object.assign(new Map(slices), { source: 'weights' });
}

/** The tensors that the weights are made of, with their shapes; further axes of size 1 are as the table has them. */
function listTensors({ weights }: Module, table: WeightTable): ReadonlyMap<string, readonly number[]> {
  const tensors = new Map<string, readonly number[]>();
  for (const { type, source } of weights.values()) {
    const part = { shape: type.shape.map((dim) => dim.evaluate({})), source };
    for (const { tensor, shape } of tensorsOf(part)) {
      const found = table.get(tensor)?.shape;
      tensors.set(tensor, found && isSameButForOnes(found, shape) ? found : shape);
    }
  }
  return tensors;
}
