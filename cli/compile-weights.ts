/** The weights of an artifact: pointers into the model's files, or packed copies beside the manifest. */
import { join } from 'node:path';
import { locateTensor, type TensorUse } from '../models/flux2/compile-artifact.js';
import type { LoadedComponent, LoadedModel } from '../models/flux2/load-model.js';
import type { Component } from '../models/flux2/weights.js';
import { type ArtifactWeights, sha256, type WeightEntry, type WeightFile } from '../runtime/artifact.js';
import { forEachParallel } from '../runtime/for-each-parallel.js';
import { describeWeightFile } from './artifact-folder.js';
import { formOf, layOutPacked, type PackedFile, type TensorToPack } from './packed-weights.js';
import { writePlacedFile } from './placed-file.js';
import { createRowEncoder, encodeHere } from './row-encoder.js';

export interface PlannedWeights {
  readonly weights: ArtifactWeights;
  /** Of all packed files. */
  readonly packedBytes: number;
  /** Writes the packed files into the artifact's folder. Errors as `writePlacedFile`, and of the files that are read. */
  readonly write: (folder: string, observer?: PackObserver) => Promise<void>;
}

export interface PackObserver {
  readonly signal?: AbortSignal;
  /** Bytes of the packed files. */
  readonly onProgress?: (done: number, of: number) => void;
}

/** Pieces that are read and written at the same time where nothing is encoded. */
const COPIES = 3;

/**
 * Points into the files of the checkpoint, as they are now, and packs what cannot be pointed to: weights to be encoded, and those that are
 * stored in fewer bits than their numbers. With `packAll` everything that is used is packed. One file a network.
 */
export async function planWeights(
  model: LoadedModel,
  used: ReadonlyMap<Component, ReadonlyMap<string, TensorUse>>,
  packAll: boolean,
): Promise<PlannedWeights> {
  const pointed: string[] = [];
  const indexOf = (file: string): number => {
    if (!pointed.includes(file)) pointed.push(file);
    return pointed.indexOf(file);
  };
  const packed: (PackedFile & { readonly path: string; readonly component: Component })[] = [];
  const located = new Map<Component, ReadonlyMap<string, WeightEntry>>();
  for (const [component, tensors] of used) {
    const loaded = componentOf(model, component);
    const toPack = [...tensors].map(([name, use]) => formOf(loaded, name, use, packAll)).filter((one): one is TensorToPack => one !== undefined); // prettier-ignore
    const names = new Set(toPack.map(({ name }) => name));
    const others = [...tensors.keys()].filter((name) => !names.has(name));
    located.set(component, new Map(others.map((name) => [name, locateTensor(loaded, name, indexOf)])));
    if (toPack.length === 0) continue;
    packed.push({ ...layOutPacked(loaded, toPack), path: `weights-${component}.safetensors`, component });
  }
  const files: WeightFile[] = [];
  for (const name of pointed) files.push(await describeWeightFile(name, false));
  const entries = new Map<Component, ReadonlyMap<string, WeightEntry>>(located);
  for (const { path, component, byteLength, header, entriesOf } of packed) {
    const all = [...located.get(component)!, ...entriesOf(files.length)];
    entries.set(component, new Map(all.sort(([a], [b]) => (a < b ? -1 : 1))));
    files.push({ path, byteLength, modified: 0, headerSha256: await sha256(header) });
  }
  return {
    weights: { files, components: entries },
    packedBytes: packed.reduce((sum, { byteLength }) => sum + byteLength, 0),
    write: (folder, observer) => writePacked(folder, packed, observer),
  };
}

async function writePacked(
  folder: string,
  files: readonly (PackedFile & { readonly path: string })[],
  { signal, onProgress }: PackObserver = {},
): Promise<void> {
  const total = files.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const needsEncoder = files.some(({ pieces }) => pieces.some((piece) => piece.needsEncoder));
  const encoder = needsEncoder ? createRowEncoder() : encodeHere;
  let done = 0;
  const advance = (bytes: number): void => onProgress?.((done += bytes), total);
  try {
    for (const { path, byteLength, header, pieces } of files) {
      await writePlacedFile(join(folder, path), byteLength, async (put) => {
        await put(0, header);
        advance(header.byteLength);
        // One more than threads encode is read meanwhile.
        const atOnce = Math.max(COPIES, encoder.parallelism + 1);
        const write = async (piece: PackedFile['pieces'][number]): Promise<void> => {
          await piece.write(put, encoder);
          advance(piece.byteLength);
        };
        await forEachParallel(pieces, atOnce, write, signal);
      });
    }
  } finally {
    await encoder.close();
  }
}

function componentOf(model: LoadedModel, component: Component): LoadedComponent<unknown> {
  const loaded = model[component];
  if (loaded === undefined) throw new Error(`internal: the model has no ${component}`);
  return loaded;
}
