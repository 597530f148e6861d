/** The inputs of the denoising functions for a batch of pictures. */
import { Flux2cError } from '../../ir/diagnostics.js';
import type { ResolvedRequest } from './generate-request.js';
import type { GivenTensor } from './initial-noise.js';
import type { NetworkName, NetworkTensor } from './networks.js';
import { imagePositionIds, referencePositionIds, textPositionIds } from './position-ids.js';
import type { Schedule } from './schedule.js';

export interface DenoiseRequest {
  readonly settings: ResolvedRequest;
  /** The pictures `first` to `first + count` of the request's. */
  readonly first: number;
  readonly count: number;
  /** `[1 or settings.count, tokens, textWidth]`. */
  readonly prompt: GivenTensor;
  readonly negative: GivenTensor | undefined;
  readonly references: readonly { readonly tokens: Float32Array; readonly height: number; readonly width: number }[];
  readonly textWidth: number;
}

/** Which function runs a request with classifier-free guidance or without, with references or without. */
export function denoiseFunction(isGuided: boolean, hasReferences: boolean, cachedReferences: boolean): NetworkName {
  if (isGuided) return 'denoise_cfg';
  return cachedReferences && hasReferences ? 'denoise_cached' : 'denoise';
}

/**
 * Which function runs the request and what it takes; shapes as `addDenoise` has them. F2C668 when embeddings do not fit
 * the transformer, the number of pictures or each other.
 */
export function denoiseInputs(
  request: DenoiseRequest,
  schedule: Schedule,
  cachedReferences: boolean,
): { readonly name: NetworkName; readonly inputs: Readonly<Record<string, NetworkTensor>> } {
  const { settings, first, count, prompt, negative, references } = request;
  const { grid, guidance, steps } = settings;
  const { channels, height, width } = grid;
  const tokens = height * width;
  const perPicture = tokens * channels;
  const referenceTokens = references.reduce((sum, one) => sum + one.height * one.width, 0);
  const embeds = selectEmbeds(prompt, request, 'prompt');
  const textTokens = embeds.shape[1]!;
  const inputs: Record<string, NetworkTensor> = {
    noise: floats([count, tokens, channels], settings.noise.slice(first * perPicture, (first + count) * perPicture)),
    prompt_embeds: embeds,
    reference_latents: floats([count, referenceTokens, channels], repeatReferences(request, referenceTokens)),
    img_ids: integers([tokens, 4], imagePositionIds(height, width)),
    ref_ids: integers([referenceTokens, 4], referencePositionIds(references)),
    txt_ids: integers([textTokens, 4], textPositionIds(textTokens)),
    timesteps: floats([steps], schedule.modelTimesteps),
    sigma_deltas: floats([steps], differences(schedule.sigmas)),
  };
  if (guidance.embedded !== undefined) inputs['guidance'] = floats([1], Float32Array.of(guidance.embedded));
  const isGuided = guidance.cfgScale !== undefined && negative !== undefined;
  const name = denoiseFunction(isGuided, referenceTokens > 0, cachedReferences);
  if (!isGuided) return { name, inputs };
  const negativeEmbeds = selectEmbeds(negative, request, 'negative prompt');
  if (negativeEmbeds.shape[1] !== textTokens) {
    throw new Flux2cError('F2C668', 'the embeddings of the prompt and of the negative prompt differ in length', {
      expected: `${textTokens} tokens each`,
      found: `${negativeEmbeds.shape[1]} tokens in the negative prompt's`,
      hint: 'Encode both with the same padding.',
    });
  }
  inputs['negative_prompt_embeds'] = negativeEmbeds;
  inputs['cfg_scale'] = floats([], Float32Array.of(guidance.cfgScale));
  return { name, inputs };
}

/** The rows of the batch's pictures; one row does for all. */
function selectEmbeds(embeds: GivenTensor, request: DenoiseRequest, what: string): NetworkTensor {
  const { first, count, settings, textWidth } = request;
  const [rows = 0, tokens = 0, width = 0] = embeds.shape;
  const fits = embeds.shape.length === 3 && tokens > 0 && width === textWidth;
  if (!fits || (rows !== 1 && rows !== settings.count)) {
    throw new Flux2cError('F2C668', `the embeddings of the ${what} do not fit`, {
      expected: `[${settings.count === 1 ? '1' : `1 or ${settings.count}`}, tokens, ${textWidth}]`,
      found: `[${embeds.shape.join(', ')}]`,
    });
  }
  const size = tokens * width;
  const values = new Float32Array(count * size);
  for (let i = 0; i < count; i++) {
    const row = rows === 1 ? 0 : first + i;
    values.set(embeds.values.subarray(row * size, (row + 1) * size), i * size);
  }
  return floats([count, tokens, width], values);
}

/** All references' tokens one after another, once for each picture. */
function repeatReferences({ references, count, settings }: DenoiseRequest, tokens: number): Float32Array {
  const size = tokens * settings.grid.channels;
  const values = new Float32Array(count * size);
  let offset = 0;
  for (const reference of references) {
    values.set(reference.tokens, offset);
    offset += reference.tokens.length;
  }
  for (let i = 1; i < count; i++) values.copyWithin(i * size, 0, size);
  return values;
}

/** In f32, as the reference's scheduler subtracts. */
function differences(values: Float32Array): Float32Array {
  return Float32Array.from({ length: values.length - 1 }, (_, i) => values[i + 1]! - values[i]!);
}

function floats(shape: readonly number[], values: Float32Array): NetworkTensor {
  return { dtype: 'f32', shape, values };
}

function integers(shape: readonly number[], values: Int32Array): NetworkTensor {
  return { dtype: 'i32', shape, values };
}
