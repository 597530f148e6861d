/** The options of `generate`, and the request they make. */
import type { MemoryOptions } from './memory-options.js';
import type { QuantizeCliOptions } from './quantize-options.js';
import { Flux2cError } from '../ir/diagnostics.js';
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { GenerateRequest } from '../models/flux2/generate-request.js';
import { readImage } from '../models/flux2/node/image-files.js';
import type { RgbImage } from '../models/flux2/picture.js';
import { type ComponentOptions, contradiction, type DeviceOptions, integerOf, type ReportOptions } from './options.js';
import type { ScheduleOptions } from './schedule-options.js';
import { TensorFile } from './tensor-files.js';

export interface GenerateOptions
  extends DeviceOptions, ComponentOptions, MemoryOptions, QuantizeCliOptions, ReportOptions, ScheduleOptions {
  readonly model?: string;
  readonly output?: string;
  readonly image?: readonly string[];
  readonly width?: number;
  readonly height?: number;
  readonly steps?: number;
  readonly seed?: readonly bigint[];
  readonly count?: number;
  readonly guidance?: number;
  readonly cfgScale?: number;
  readonly negativePrompt?: string;
  readonly noise?: string;
  readonly noiseDtype: 'f32' | 'bf16';
  readonly promptEmbeds?: string;
  readonly saveLatents?: string;
  readonly batchSize?: number;
  readonly tile?: 'off' | number;
  readonly preview?: string | true;
  readonly previewEvery?: number;
  readonly show?: boolean;
}

/** Reads `--tile`: a size in tokens or `off`. */
export function tileOf(text: string): 'off' | number {
  return text === 'off' ? text : integerOf('--tile', 4)(text);
}

/** What can be found out before minutes of computing: folders of outputs, options that exclude each other. */
export async function checkGenerateOptions(
  prompt: string | undefined,
  output: string,
  options: GenerateOptions,
): Promise<void> {
  await requireFolderOf(output);
  if (options.saveLatents !== undefined) await requireFolderOf(options.saveLatents);
  if (options.noise !== undefined && options.seed !== undefined) {
    throw contradiction('the noise is given, so no seed draws it', 'Leave out --seed or --noise.');
  }
  if (options.promptEmbeds !== undefined && prompt !== undefined) {
    throw contradiction('a prompt and its embeddings are given', 'Leave out the prompt or --prompt-embeds.');
  }
  if (options.promptEmbeds === undefined && prompt === undefined) {
    throw new Flux2cError('F2C703', 'there is nothing to draw', {
      expected: 'a prompt, or --prompt-embeds',
      hint: 'Say what to draw: flux2c generate "a red circle on a white background".',
    });
  }
  if (options.previewEvery !== undefined && options.preview === undefined) {
    throw contradiction('--preview-every has no effect without --preview', 'Add --preview FOLDER.');
  }
}

/** F2C707 for a file that could not be written when all work is done. */
export async function requireFolderOf(path: string): Promise<void> {
  const status = await stat(dirname(path)).catch(() => undefined);
  if (status?.isDirectory() === true) return;
  throw new Flux2cError('F2C707', 'the folder of the output does not exist', {
    where: [path],
    hint: `Make it first: mkdir -p ${dirname(path)}`,
  });
}

/** Reads the files that the options name. Errors of pictures and tensor files name them. */
export async function readGenerateRequest(
  prompt: string | undefined,
  options: GenerateOptions,
): Promise<GenerateRequest> {
  const embeds = await readOptional(options.promptEmbeds, ['prompt_embeds', 'negative_prompt_embeds']);
  const noise = await readOptional(options.noise, ['noise']);
  const references: RgbImage[] = [];
  for (const path of options.image ?? []) references.push(await readImage(path));
  const { width, height, steps, guidance, cfgScale, count, seed, negativePrompt, batchSize, tile } = options;
  return {
    ...(prompt !== undefined && { prompt }),
    ...(embeds && { promptEmbeds: embeds.floats('prompt_embeds') }),
    ...(embeds?.has('negative_prompt_embeds') === true && {
      negativePromptEmbeds: embeds.floats('negative_prompt_embeds'),
    }),
    ...(negativePrompt !== undefined && { negativePrompt }),
    references,
    ...(width !== undefined && { width }),
    ...(height !== undefined && { height }),
    ...(steps !== undefined && { steps }),
    ...(guidance !== undefined && { guidance }),
    ...(cfgScale !== undefined && { cfgScale }),
    ...(count !== undefined && { count }),
    ...(seed !== undefined && { seeds: seed }),
    noiseDType: options.noiseDtype,
    ...(noise && { noise: noise.floats('noise') }),
    ...(batchSize !== undefined && { batchSize }),
    ...(tile !== undefined && { tiles: tile === 'off' ? tile : { size: tile, overlap: Math.ceil(tile / 4) } }),
  };
}

async function readOptional(path: string | undefined, names: readonly string[]): Promise<TensorFile | undefined> {
  return path === undefined ? undefined : TensorFile.read(path, names);
}
