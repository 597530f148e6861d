import { Flux2cError } from '../../ir/diagnostics.js';
import { listFirst, quoteName } from './quote.js';
import type { SafetensorsFile } from './safetensors.js';
import { parseStrictJson, type JsonObject } from './strict-json.js';

/** Which file of a folder has which tensor: a `*.safetensors.index.json`. */
export interface ShardIndex {
  readonly name: string;
  /** Tensor name → name of a file in the folder of the index. */
  readonly weightMap: ReadonlyMap<string, string>;
  /** The files, each once, in the order in which the index names them. */
  readonly shards: readonly string[];
}

/** The index of dev's text encoder, the largest of the family, is under 100 kB. */
export const MAXIMUM_INDEX_BYTES = 32_000_000;
// The object "metadata" holds numbers today; some depth is left for what may come.
const INDEX_LIMITS = { depth: 8, values: 1_000_000 };
// The largest released component has under 20 shards; each costs an open file.
const MAXIMUM_SHARDS = 500;

/**
 * Parses a shard index and checks that it names nothing but safetensors files of its own folder.
 * @throws Flux2cError F2C420
 */
export function parseShardIndex(bytes: Uint8Array, name: string): ShardIndex {
  const fail = (message: string, expected: string, found: string, key?: string): never => {
    const where = key === undefined ? [name] : [name, quoteName(key)];
    throw new Flux2cError('F2C420', message, { where, expected, found });
  };
  if (bytes.byteLength > MAXIMUM_INDEX_BYTES) {
    return fail('the index is too large', `at most ${MAXIMUM_INDEX_BYTES} bytes`, `${bytes.byteLength} bytes`);
  }
  const index = parseStrictJson(bytes, name, 'F2C420', INDEX_LIMITS);
  const entries = index instanceof Map ? (index as JsonObject).get('weight_map') : undefined;
  if (!(entries instanceof Map)) {
    return fail('the index is malformed', 'an object with "weight_map": {tensor: file}', 'something else');
  }
  const weightMap = new Map<string, string>();
  const shards = new Set<string>();
  for (const [tensor, file] of entries as JsonObject) {
    if (typeof file !== 'string' || !isPlainFileName(file)) {
      const found = typeof file === 'string' ? `"${quoteName(file)}"` : 'no string';
      return fail('the index points to a file it must not', 'a *.safetensors file of its folder', found, tensor);
    }
    weightMap.set(tensor, file);
    shards.add(file);
  }
  if (shards.size === 0 || shards.size > MAXIMUM_SHARDS) {
    return fail('the index names too few or too many files', `1 .. ${MAXIMUM_SHARDS}`, `${shards.size}`);
  }
  return { name, weightMap, shards: [...shards] };
}

/**
 * Checks that the files hold exactly the tensors the index says, each in the file it says.
 * @param files by their names in the index
 * @throws Flux2cError F2C421 listing the first tensors that differ
 */
export function checkShards(index: ShardIndex, files: ReadonlyMap<string, SafetensorsFile>): void {
  const missing: string[] = [];
  for (const [tensor, file] of index.weightMap) {
    if (files.get(file)?.tensors.has(tensor) !== true) missing.push(`${quoteName(tensor)} in ${quoteName(file)}`);
  }
  const unlisted: string[] = [];
  for (const [file, { tensors }] of files) {
    for (const tensor of tensors.keys()) {
      if (index.weightMap.get(tensor) !== file) unlisted.push(`${quoteName(tensor)} in ${quoteName(file)}`);
    }
  }
  if (missing.length === 0 && unlisted.length === 0) return;
  const found = [
    missing.length > 0 ? `${missing.length} listed but not there: ${listFirst(missing, 5)}` : '',
    unlisted.length > 0 ? `${unlisted.length} there but not listed: ${listFirst(unlisted, 5)}` : '',
  ];
  throw new Flux2cError('F2C421', 'the index and its files do not agree on the tensors', {
    where: [index.name],
    expected: 'every tensor in the file that the index says, and no other',
    found: found.filter((text) => text !== '').join('; '),
    hint: 'Files of two versions may have been mixed: fetch the index and all its files again.',
  });
}

/** No folders, no `..`, no absolute paths, no NUL. Links are fine: download caches keep files behind links. */
function isPlainFileName(file: string): boolean {
  return file.endsWith('.safetensors') && file.length <= 255 && !/[/\\:\u0000-\u001f]/.test(file);
}
