/** The weights of an artifact: pointers into the model's files, or packed copies beside the manifest. */
import { join } from 'node:path';
import { layOutSafetensors, locateSlice } from '../frontend/checkpoint/index.js';
import { openFileSource } from '../frontend/checkpoint/node/file-source.js';
import { writeFileAtomically } from '../frontend/checkpoint/node/write-file.js';
import { locateTensors } from '../models/flux2/compile-artifact.js';
import type { LoadedComponent, LoadedModel } from '../models/flux2/load-model.js';
import type { Component } from '../models/flux2/weights.js';
import { type ArtifactWeights, sha256, type WeightEntry, type WeightFile } from '../runtime/artifact.js';
import { describeWeightFile } from './artifact-folder.js';

export interface PlannedWeights {
  readonly weights: ArtifactWeights;
  /** Writes the packed files into the artifact's folder. */
  readonly write: (folder: string) => Promise<void>;
}

/** A piece of a file is read at a time; large tensors are not held whole. */
const PIECE_BYTES = 64 * 2 ** 20;

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

/** Copies what is used, unchanged, into one file a network. */
export async function packWeights(
  model: LoadedModel,
  used: ReadonlyMap<Component, readonly string[]>,
): Promise<PlannedWeights> {
  const files: WeightFile[] = [];
  const components = new Map<string, ReadonlyMap<string, WeightEntry>>();
  const writers: ((folder: string) => Promise<void>)[] = [];
  for (const [component, tensors] of used) {
    const loaded = componentOf(model, component);
    const slices = new Map(tensors.map((name) => [name, loaded.table.get(name)!]));
    const layout = layOutSafetensors(
      new Map([...slices].map(([name, { dtype, shape }]) => [name, { dtype: dtype!, shape }])),
    );
    const path = `weights-${component}.safetensors`;
    const index = files.length;
    files.push({ path, byteLength: layout.byteLength, modified: 0, headerSha256: await sha256(layout.header) });
    const entries = layout.tensors.map(({ name, offset, byteLength }): [string, WeightEntry] => {
      const { fileDType, shape } = slices.get(name)!;
      return [name, { dtype: fileDType, shape, parts: [[index, offset, byteLength]] }];
    });
    components.set(component, new Map(entries.sort(([a], [b]) => (a < b ? -1 : 1))));
    const order = layout.tensors.map(({ name }) => name);
    writers.push((folder) => writeFileAtomically(join(folder, path), streamTensors(loaded, layout.header, order)));
  }
  return {
    weights: { files, components },
    write: async (folder) => {
      for (const write of writers) await write(folder);
    },
  };
}

async function* streamTensors(
  { checkpoint, table }: LoadedComponent<unknown>,
  header: Uint8Array,
  order: readonly string[],
): AsyncGenerator<Uint8Array> {
  yield header;
  for (const name of order) {
    for (const { file, offset, byteLength } of locateSlice(checkpoint, table.get(name)!)) {
      const source = await openFileSource(file);
      try {
        for (let at = 0; at < byteLength; at += PIECE_BYTES) {
          yield await source.read(offset + at, Math.min(PIECE_BYTES, byteLength - at));
        }
      } finally {
        await source.close();
      }
    }
  }
}

function componentOf(model: LoadedModel, component: Component): LoadedComponent<unknown> {
  const loaded = model[component];
  if (loaded === undefined) throw new Error(`internal: the model has no ${component}`);
  return loaded;
}
