/** Models on disk: diffusers folders, a single network's folder, single files, and the checkpoint that is embedded. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openCheckpoint } from '../../../frontend/checkpoint/node/open-checkpoint.js';
import { Flux2cError } from '../../../ir/diagnostics.js';
import type { ComponentFiles, ComponentName, ModelFiles } from '../model-files.js';

export interface OpenModelOptions {
  /** Folders or files of components that the model does not bring, or that replace its own. */
  readonly vae?: string;
  readonly textEncoder?: string;
  readonly tokenizer?: string;
}

/** A component's text files are configurations; a larger one is something else. Tokenizers have up to 30 MB. */
const MOST_TEXT_BYTES = 128 * 2 ** 20;
const INDEX = 'model_index.json';
const folders: readonly ComponentName[] = ['transformer', 'vae', 'text_encoder', 'tokenizer'];

/** The option that provides a component. */
const optionOf: Readonly<Record<ComponentName, string>> = {
  transformer: '--model DIR with a transformer folder, or --model FILE',
  vae: '--vae DIR|FILE',
  text_encoder: '--text-encoder DIR|FILE',
  tokenizer: '--tokenizer DIR',
};

/** The folder of the checkpoint that comes with the package, from the sources as from `dist/`. F2C616 when it is gone. */
export function embeddedCheckpoint(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  for (let parent = dirname(folder); parent !== folder; parent = dirname(folder)) {
    const candidate = join(folder, 'models/flux2/checkpoint');
    if (existsSync(join(candidate, INDEX))) return candidate;
    folder = parent;
  }
  throw new Flux2cError('F2C616', 'the embedded checkpoint is missing', {
    expected: 'models/flux2/checkpoint in the package',
    hint: 'Install the package again, or name a model with --model.',
  });
}

/**
 * The files of the model at `path` (default: the embedded checkpoint): a folder with `model_index.json`, a folder of
 * component folders, one component's folder, or a safetensors or GGUF file of one component. Errors: F2C401 nothing there,
 * F2C617 not a model.
 */
export async function openModelFiles(path?: string, options: OpenModelOptions = {}): Promise<ModelFiles> {
  const root = path ?? embeddedCheckpoint();
  const status = await stat(root).catch(() => undefined);
  if (status === undefined) {
    throw new Flux2cError('F2C401', 'there is no such model', {
      where: [root],
      hint: '--model takes a folder in diffusers layout, a folder of one component or a safetensors or GGUF file.',
    });
  }
  const found = status.isDirectory() ? await openFolder(root) : await openSingle(root);
  return {
    name: path === undefined ? 'flux2-shapes' : basename(resolve(root)),
    ...(found.index && { index: found.index }),
    components: { ...found.components, ...(await openOverrides(options)) },
    hintFor: (component) => `Give one with ${optionOf[component]}.`,
  };
}

type Found = Pick<ModelFiles, 'index' | 'components'>;

async function openFolder(root: string): Promise<Found> {
  const entries = new Set(await readdir(root));
  const present = folders.filter((name) => entries.has(name));
  const indexText = await readTextFile(join(root, INDEX));
  if (present.length === 0) {
    if (indexText === undefined) return openSingle(root);
    throw notAModel(root, `${INDEX} without any of the folders it names`);
  }
  return {
    ...(indexText !== undefined && { index: { file: join(root, INDEX), text: indexText } }),
    components: Object.fromEntries(present.map((name) => [name, folderFiles(join(root, name))])),
  };
}

/** A file, or a folder with one component's weights: which one it is is read from the names of its tensors. */
async function openSingle(path: string): Promise<Found> {
  const files = (await stat(path)).isDirectory() ? folderFiles(path) : singleFile(path);
  const checkpoint = await files.openCheckpoint();
  try {
    const component = identifyComponent([...checkpoint.tensors.keys()]);
    if (component === undefined) {
      const sample = [...checkpoint.tensors.keys()].slice(0, 3).join(', ');
      throw notAModel(path, sample === '' ? 'no tensors' : `such tensors as ${sample}`);
    }
    return { components: { [component]: files } };
  } finally {
    await checkpoint.close();
  }
}

/** Which network has tensors of these names, in any of the layouts that checkpoints come in. */
export function identifyComponent(names: readonly string[]): Exclude<ComponentName, 'tokenizer'> | undefined {
  const some = (pattern: RegExp): boolean => names.some((name) => pattern.test(name));
  if (some(/(^|\.)(double_blocks|transformer_blocks|single_transformer_blocks|single_blocks)\.\d+\./)) {
    return 'transformer';
  }
  if (some(/(^|\.)embed_tokens\.weight$|^token_embd\.weight$/)) return 'text_encoder';
  return some(/(^|\.)decoder\.conv_(in|out)\./) ? 'vae' : undefined;
}

async function openOverrides(options: OpenModelOptions): Promise<Found['components']> {
  const given: [ComponentName, string | undefined][] = [
    ['vae', options.vae],
    ['text_encoder', options.textEncoder],
    ['tokenizer', options.tokenizer ?? tokenizerBeside(options.textEncoder)],
  ];
  const opened = given.flatMap(([component, path]) => (path === undefined ? [] : [{ component, path }]));
  const components: [ComponentName, ComponentFiles][] = [];
  for (const { component, path } of opened) {
    const status = await stat(path).catch(() => undefined);
    if (status === undefined) {
      throw new Flux2cError('F2C401', 'there is no such folder or file', { where: [optionOf[component], path] });
    }
    components.push([component, status.isDirectory() ? folderFiles(path) : singleFile(path)]);
  }
  return Object.fromEntries(components);
}

/** A text encoder's tokenizer is in its folder or in the folder beside it. */
function tokenizerBeside(textEncoder: string | undefined): string | undefined {
  if (textEncoder === undefined) return undefined;
  const candidates = [textEncoder, join(dirname(resolve(textEncoder)), 'tokenizer')];
  return candidates.find((folder) => existsSync(join(folder, 'tokenizer.json')));
}

function folderFiles(folder: string): ComponentFiles {
  return {
    name: folder,
    readText: (file) => readTextFile(join(folder, file)),
    openCheckpoint: () => openCheckpoint(folder),
  };
}

/** A single file's configuration may lie beside it, or a configuration of another file: the class it names decides. */
function singleFile(path: string): ComponentFiles {
  const readText = async (file: string): Promise<string | undefined> => {
    const text = await readTextFile(join(dirname(path), file));
    return text !== undefined && /"(Flux2Transformer2DModel|AutoencoderKLFlux2|mistral3?|qwen3)"/.test(text)
      ? text
      : undefined;
  };
  return { name: path, readText, openCheckpoint: () => openCheckpoint(path) };
}

async function readTextFile(path: string): Promise<string | undefined> {
  const status = await stat(path).catch(() => undefined);
  if (status === undefined || !status.isFile()) return undefined;
  if (status.size > MOST_TEXT_BYTES) {
    throw new Flux2cError('F2C617', 'the file is too large', {
      where: [path],
      expected: `at most ${MOST_TEXT_BYTES} bytes`,
      found: `${status.size} bytes`,
    });
  }
  return readFile(path, 'utf8');
}

function notAModel(path: string, found: string): Flux2cError {
  return new Flux2cError('F2C617', 'this is not a FLUX.2 model', {
    where: [path],
    expected:
      'a folder in diffusers layout (model_index.json, transformer, vae, text_encoder, tokenizer) or one component',
    found,
  });
}
