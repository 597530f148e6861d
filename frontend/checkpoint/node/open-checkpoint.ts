import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { Flux2cError } from '../../../ir/diagnostics.js';
import type { ByteSource } from '../byte-source.js';
import { joinFiles, type Checkpoint } from '../checkpoint.js';
import { readCheckpoint } from '../read-checkpoint.js';
import { listFirst, quoteName } from '../quote.js';
import { recognizePackedTensors } from '../recognize-packed.js';
import { readSafetensorsHeader, type SafetensorsFile } from '../safetensors.js';
import { checkShards, MAXIMUM_INDEX_BYTES, parseShardIndex } from '../shard-index.js';
import { explainFailure, openFileSource } from './file-source.js';

const INDEX_SUFFIX = '.safetensors.index.json';
const SHARD_NAME = /-\d+-of-\d+\.safetensors$/;

/**
 * Opens a checkpoint: a safetensors or GGUF file, a shard index, or a folder (such as `transformer` of a diffusers checkpoint)
 * with one of either. In a folder with several, `diffusion_pytorch_model` and `model` win over variants of these
 * (`model.fp16`), and those over other names.
 * @throws Flux2cError F2C401 (file system), F2C41x (a file), F2C420/F2C421 (the index), F2C422 (nothing there or
 * ambiguous)
 */
export async function openCheckpoint(path: string): Promise<Checkpoint> {
  const status = await explainFailure(path, 'opened', () => stat(path));
  const file = status.isDirectory() ? join(path, await chooseFile(path)) : path;
  if (file.endsWith(INDEX_SUFFIX)) return openShards(path, file);
  return readCheckpoint(await openFileSource(file));
}

async function chooseFile(folder: string): Promise<string> {
  // Files that begin with a dot are left behind by archivers and downloads.
  const entries = (await explainFailure(folder, 'listed', () => readdir(folder))).filter(
    (name) => !name.startsWith('.'),
  );
  const files = entries.filter((name) => name.endsWith('.safetensors'));
  const shards = files.filter((name) => SHARD_NAME.test(name));
  const candidates = [
    ...entries.filter((name) => name.endsWith(INDEX_SUFFIX)),
    ...files.filter((name) => !SHARD_NAME.test(name)),
    ...entries.filter((name) => name.endsWith('.gguf')),
  ].sort();
  const best = Math.min(...candidates.map(preference));
  const preferred = candidates.filter((name) => preference(name) === best);
  const [choice] = preferred;
  if (choice !== undefined && preferred.length === 1) return choice;
  if (choice !== undefined) {
    throw new Flux2cError('F2C422', 'the folder has several checkpoints', {
      where: [folder],
      found: listFirst(preferred.map(quoteName), 10),
      hint: 'Name the one you mean instead of the folder.',
    });
  }
  throw new Flux2cError('F2C422', 'the folder has no checkpoint', {
    where: [folder],
    expected: `a *.safetensors or *.gguf file, or shards and their *${INDEX_SUFFIX}`,
    found: shards.length > 0 ? `shards without an index: ${listFirst(shards.map(quoteName), 5)}` : 'neither',
    ...(entries.includes('model_index.json')
      ? { hint: 'This is the folder of a whole pipeline: name a component in it, such as transformer or vae.' }
      : {}),
  });
}

/** 0 is best. */
function preference(file: string): number {
  if (/^(diffusion_pytorch_model|model)\.safetensors(\.index\.json)?$/.test(file)) return 0;
  return /^(diffusion_pytorch_model|model)/.test(file) ? 1 : 2;
}

async function openShards(name: string, indexPath: string): Promise<Checkpoint> {
  const index = parseShardIndex(await readIndex(indexPath), indexPath);
  const folder = dirname(indexPath);
  const present = new Set(await explainFailure(folder, 'listed', () => readdir(folder)));
  const missing = index.shards.filter((shard) => !present.has(shard));
  if (missing.length > 0) {
    throw new Flux2cError('F2C421', `${missing.length} of ${index.shards.length} files of the checkpoint are missing`, {
      where: [indexPath],
      found: `no ${listFirst(missing.map(quoteName), 10)}`,
      hint: `Fetch the missing files into the folder of ${basename(indexPath)}.`,
    });
  }
  const opened: ByteSource[] = [];
  try {
    const files = new Map<string, SafetensorsFile>();
    for (const shard of index.shards) {
      const source = await openFileSource(join(folder, shard));
      opened.push(source);
      files.set(shard, await readSafetensorsHeader(source));
    }
    checkShards(index, files);
    return await recognizePackedTensors(joinFiles(name, [...files.values()]));
  } catch (error) {
    await Promise.all(opened.map((source) => source.close()));
    throw error;
  }
}

async function readIndex(path: string): Promise<Uint8Array> {
  const source = await openFileSource(path);
  try {
    if (source.size > MAXIMUM_INDEX_BYTES) {
      throw new Flux2cError('F2C420', 'the index is too large', {
        where: [path],
        expected: `at most ${MAXIMUM_INDEX_BYTES} bytes`,
        found: `${source.size} bytes`,
      });
    }
    return await source.read(0, source.size);
  } finally {
    await source.close();
  }
}
