import {
  canonicalizeAutoencoder,
  canonicalizeTextEncoder,
  canonicalizeTransformer,
  type Checkpoint,
  readSliceF32,
  type WeightTable,
} from '../frontend/checkpoint/index.js';
import { openCheckpoint } from '../frontend/checkpoint/node/open-checkpoint.js';
import type { DType } from '../ir/dtype.js';
import type { Module } from '../ir/graph/graph.js';
import { interpretFunction } from '../ir/graph/interpret.js';
import { materializeWeight } from '../ir/graph/weights.js';
import { compareTensors, type HostTensor } from '../ir/host-tensor.js';
import type { Component } from '../models/flux2/weights.js';
import type { GoldenFile } from './read-safetensors.js';

/** A network's weights in memory, under canonical names. */
export interface LoadedComponent {
  readonly component: Component;
  readonly table: WeightTable;
  readonly tensors: ReadonlyMap<string, HostTensor>;
}

const canonicalize: Readonly<Record<Component, (checkpoint: Checkpoint) => WeightTable>> = {
  transformer: canonicalizeTransformer,
  vae: canonicalizeAutoencoder,
  text_encoder: canonicalizeTextEncoder,
};

/** Reads a file or a folder as the compiler does: opened, renamed, widened. */
export async function loadComponent(component: Component, path: string): Promise<LoadedComponent> {
  const checkpoint = await openCheckpoint(path);
  try {
    const table = canonicalize[component](checkpoint);
    const tensors = new Map<string, HostTensor>();
    for (const [name, slice] of table) {
      // The training's counters are integers.
      if (slice.dtype === undefined || slice.dtype === 'i64') continue;
      const data = Float64Array.from(await readSliceF32(checkpoint, slice));
      tensors.set(name, { dtype: slice.dtype, shape: slice.shape, data });
    }
    return { component, table, tensors };
  } finally {
    await checkpoint.close();
  }
}

/** What models ask for the element types of their weights: those of the files. */
export function storedTypes(...components: readonly LoadedComponent[]): (name: string) => DType {
  return (name) => tensorOf(components, name).dtype;
}

function tensorOf(components: readonly LoadedComponent[], name: string): HostTensor {
  for (const { component, tensors } of components) {
    const tensor = name.startsWith(`${component}.`) ? tensors.get(name.slice(component.length + 1)) : undefined;
    if (tensor !== undefined) return tensor;
  }
  throw new Error(`no weight ${name}`);
}

/** Runs a function of a module on the reference interpreter. */
export function interpretWith(
  components: readonly LoadedComponent[],
  module: Module,
  name: string,
  inputs: Readonly<Record<string, HostTensor>>,
  precision: 'f32' | 'f64',
): ReadonlyMap<string, HostTensor> {
  const cache = new Map<string, HostTensor>();
  const readWeight = (weight: string): HostTensor => {
    const known = cache.get(weight);
    if (known !== undefined) return known;
    const declaration = module.weights.get(weight);
    if (declaration === undefined) throw new Error(`the module declares no ${weight}`);
    const prefix = weight.slice(0, weight.indexOf('.'));
    const tensor = materializeWeight(declaration, (tensor) => tensorOf(components, `${prefix}.${tensor}`));
    cache.set(weight, tensor);
    return tensor;
  };
  return interpretFunction(module, name, new Map(Object.entries(inputs)), readWeight, { precision });
}

/** A golden tensor as an input: integers become i32. */
export function goldenTensor(file: GoldenFile, name: string): HostTensor {
  const { dtype, shape, values } = file.tensor(name);
  return { dtype: dtype.startsWith('F') ? 'f32' : 'i32', shape, data: values };
}

/** Position ids without the batch, whose rows are all the same: i32[tokens, 4]. */
export function goldenIds(file: GoldenFile, name: string): HostTensor {
  const { shape, values } = file.tensor(name);
  const [, tokens = 0, axes = 0] = shape;
  return { dtype: 'i32', shape: [tokens, axes], data: values.slice(0, tokens * axes) };
}

/** A tensor of f32 or i32 numbers. */
export function tensorOfNumbers(dtype: 'f32' | 'i32', shape: readonly number[], values: ArrayLike<number>): HostTensor {
  return { dtype, shape, data: Float64Array.from(values) };
}

/** Largest difference and relative L2 of a result against a golden tensor. */
export function compareWithGolden(
  results: ReadonlyMap<string, HostTensor>,
  result: string,
  want: HostTensor,
): { readonly maxAbs: number; readonly relativeL2: number } {
  const got = results.get(result);
  if (got === undefined) throw new Error(`no result ${result}`);
  return compareTensors(got, want);
}
