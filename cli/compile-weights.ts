/** The weights of an artifact: pointers into the model's files, or packed copies beside the manifest. */
import { join } from 'node:path';
import { isPacked, layOutSafetensors, type WeightSlice } from '../frontend/checkpoint/index.js';
import { fileDTypeOf } from '../frontend/checkpoint/file-dtype.js';
import { writeFileAtomically } from '../frontend/checkpoint/node/write-file.js';
import { Dim } from '../ir/dim.js';
import { byteSize, type DType } from '../ir/dtype.js';
import { encodedFields, parseEncoding } from '../ir/encoding.js';
import type { WeightSource } from '../ir/graph/graph.js';
import { locateTensors } from '../models/flux2/compile-artifact.js';
import type { LoadedComponent, LoadedModel } from '../models/flux2/load-model.js';
import type { Component } from '../models/flux2/weights.js';
import { type ArtifactWeights, sha256, type WeightEntry, type WeightFile } from '../runtime/artifact.js';
import type { WeightProvider } from '../runtime/weight-provider.js';
import { checkpointWeights } from '../runtime/weights.js';
import { describeWeightFile } from './artifact-folder.js';

export interface PlannedWeights {
  readonly weights: ArtifactWeights;
  /** Writes the packed files into the artifact's folder. */
  readonly write: (folder: string) => Promise<void>;
}

/** Points into the files of the checkpoint, as they are now. */
export async function pointToWeights(
  model: LoadedModel,
  used: ReadonlyMap<Component, readonly string[]>,
): Promise<PlannedWeights> {
  const names: string[] = [];
  const indexOf = (file: string): number => {
    if (!names.includes(file)) names.push(file);
    return names.indexOf(file);
  };
  const components = new Map<string, ReadonlyMap<string, WeightEntry>>();
  for (const [component, tensors] of used) {
    components.set(component, locateTensors(componentOf(model, component), tensors, indexOf));
  }
  const files: WeightFile[] = [];
  for (const name of names) files.push(await describeWeightFile(name, false));
  return { weights: { files, components }, write: async () => undefined };
}

/** How plans want tensors encoded, by network. */
export type WantedEncodings = ReadonlyMap<Component, ReadonlyMap<string, string>>;

/** Whether there is nothing to point to: weights are to be encoded, or the files hold them so already. */
export function mustPack(
  model: LoadedModel,
  used: ReadonlyMap<Component, readonly string[]>,
  wanted: WantedEncodings,
): boolean {
  return [...used].some(([component, tensors]) => {
    const { checkpoint, table } = componentOf(model, component);
    return (wanted.get(component)?.size ?? 0) > 0 || tensors.some((name) => isPacked(checkpoint, table.get(name)!));
  });
}

/** Copies what is used into one file a network: numbers unchanged, encoded matrices as the arrays of their encodings. */
export async function packWeights(
  model: LoadedModel,
  used: ReadonlyMap<Component, readonly string[]>,
  wanted: WantedEncodings = new Map(),
): Promise<PlannedWeights> {
  const files: WeightFile[] = [];
  const components = new Map<string, ReadonlyMap<string, WeightEntry>>();
  const writers: ((folder: string) => Promise<void>)[] = [];
  for (const [component, tensors] of used) {
    const { checkpoint, table, encodingOf } = componentOf(model, component);
    const encodings = wanted.get(component);
    const packed = tensors.map((name) =>
      packedTensor(name, table.get(name)!, encodings?.get(name) ?? encodingOf(name)),
    );
    // Numbers first, the widest in front, so that they are aligned; arrays of a matrix together, so that its file is read once.
    packed.sort((a, b) => width(b) - width(a));
    const specs = packed.flatMap(({ arrays }) => arrays.map(({ name, dtype, shape }) => [name, { dtype, shape }] as const)); // prettier-ignore
    const layout = layOutSafetensors(new Map(specs), new Map(), 'as given');
    const path = `weights-${component}.safetensors`;
    const index = files.length;
    files.push({ path, byteLength: layout.byteLength, modified: 0, headerSha256: await sha256(layout.header) });
    const places = new Map(layout.tensors.map(({ name, offset, byteLength }) => [name, [index, offset, byteLength] as const])); // prettier-ignore
    const entries = packed.map(({ name, type, shape, arrays }): [string, WeightEntry] => {
      return [name, { dtype: type, shape, parts: arrays.map((array) => places.get(array.name)!) }];
    });
    components.set(component, new Map(entries.sort(([a], [b]) => (a < b ? -1 : 1))));
    const declarations = packed.flatMap(({ arrays }) => arrays);
    writers.push((folder) =>
      writeFileAtomically(join(folder, path), streamArrays(layout.header, checkpointWeights(checkpoint, table), declarations)),
    ); // prettier-ignore
  }
  return {
    weights: { files, components },
    write: async (folder) => {
      for (const write of writers) await write(folder);
    },
  };
}

interface PackedArray {
  /** In the file. */
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly source: WeightSource;
}

interface PackedTensor {
  readonly name: string;
  /** As the manifest says it. */
  readonly type: string;
  readonly shape: readonly number[];
  readonly arrays: readonly PackedArray[];
}

function packedTensor(name: string, { dtype, shape }: WeightSlice, encoded: string | undefined): PackedTensor {
  const source: WeightSource = { kind: 'tensor', tensor: name };
  if (encoded === undefined) {
    return { name, type: fileDTypeOf(dtype!), shape, arrays: [{ name, dtype: dtype!, shape, source }] };
  }
  const [rows, columns] = shape as readonly [number, number];
  const arrays = encodedFields(parseEncoding(encoded), columns).map((field): PackedArray => {
    const array: WeightSource = { kind: 'encoded_rows', of: { shape, source }, encoding: encoded, field: field.name };
    return { name: `${name}.${field.name}`, dtype: field.dtype, shape: [rows, field.columns], source: array };
  });
  return { name, type: encoded, shape, arrays };
}

/** What to sort by: bytes of a number, 0 for encoded matrices. */
function width({ arrays: [first, ...others] }: PackedTensor): number {
  return others.length > 0 ? 0 : byteSize(first!.dtype);
}

async function* streamArrays(
  header: Uint8Array,
  weights: WeightProvider,
  arrays: readonly PackedArray[],
): AsyncGenerator<Uint8Array> {
  yield header;
  for (const { name, dtype, shape, source } of arrays) {
    yield* weights.read({ name, type: { dtype, shape: shape.map((size) => Dim.of(size)) }, source });
  }
}

function componentOf(model: LoadedModel, component: Component): LoadedComponent<unknown> {
  const loaded = model[component];
  if (loaded === undefined) throw new Error(`internal: the model has no ${component}`);
  return loaded;
}
