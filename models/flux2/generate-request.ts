/** What to generate: the request, and the same with every default filled in and checked. */
import { Flux2cError } from '../../ir/diagnostics.js';
import { type AutoencoderConfig, pixelsPerToken, type TransformerConfig } from './config.js';
import { type Guidance, resolveGuidance } from './guidance.js';
import { drawNoise, type GivenTensor, type LatentGrid, packGivenNoise } from './initial-noise.js';
import type { PipelineConfig } from './pipeline-config.js';
import type { RgbImage } from './picture.js';
import type { TileOptions } from './tiles.js';

export interface GenerateRequest {
  /** Text, unless `promptEmbeds` are given. */
  readonly prompt?: string;
  /** `[1 or count, tokens, textWidth]`, in place of the text encoder's output. */
  readonly promptEmbeds?: GivenTensor;
  /** What to go away from with classifier-free guidance; default: the model's, as a rule "". */
  readonly negativePrompt?: string;
  readonly negativePromptEmbeds?: GivenTensor;
  /** Pictures to edit or to be inspired by, at most 10, in the order in which the prompt counts them. */
  readonly references?: readonly RgbImage[];
  /** Pixels, multiples of 16; default: the model's. */
  readonly width?: number;
  readonly height?: number;
  readonly steps?: number;
  readonly guidance?: number;
  readonly cfgScale?: number;
  /** Pictures to make. */
  readonly count?: number;
  /** One seed for all pictures as one batch, or one each; default: a random one. */
  readonly seeds?: readonly bigint[];
  /** Type that the noise is drawn in; the reference pipelines draw in bf16. */
  readonly noiseDType?: 'f32' | 'bf16';
  /** In place of noise from seeds: `[count, C, h, w]` or `[count, h * w, C]`. */
  readonly noise?: GivenTensor;
  /** Pictures denoised at once; default: as many as have the tokens of a 1024x1024 picture. */
  readonly batchSize?: number;
  /**
   * Decode in tiles when a side is longer than `size` tokens; `off` decodes whole. Default: 96 or what the device has room
   * for, overlapping by a quarter.
   */
  readonly tiles?: TileOptions | 'off';
}

/** Everything that decides the pictures. */
export interface ResolvedRequest {
  readonly width: number;
  readonly height: number;
  readonly steps: number;
  readonly guidance: Guidance;
  readonly count: number;
  /** None when the noise was given. */
  readonly seeds: readonly bigint[];
  readonly noiseDType: 'f32' | 'bf16';
  /** `[count, grid.height * grid.width, grid.channels]`. */
  readonly noise: Float32Array;
  readonly grid: LatentGrid;
  readonly batchSize: number;
  readonly tiles: TileOptions | undefined;
}

/** The configurations a request is resolved by. */
export interface GenerateConfigs {
  readonly transformer: TransformerConfig;
  readonly autoencoder: AutoencoderConfig;
  readonly pipeline: PipelineConfig;
  /** The largest tensor that the device holds. */
  readonly maxTensorBytes: number;
}

export const MOST_REFERENCES = 10;
const MOST_STEPS = 1000;
const MOST_PICTURES = 10000;
/** Position ids beyond a few hundred are outside of what any release was trained on; this also bounds memory. */
const LONGEST_SIDE = 8192;
/** One seed draws the noise of all pictures at once: 2 GiB of f32, 1024 pictures of 1024x1024. */
const MOST_LATENT_VALUES = 2 ** 29;
const TOKENS_AT_ONCE = 4096;
const LARGEST_DEFAULT_TILE = 96;
const SMALLEST_DEFAULT_TILE = 8;

/** Fills in the defaults. F2C666 for a number outside its range, F2C660 to F2C663 for guidance, seeds and noise. */
export function resolveRequest(request: GenerateRequest, configs: GenerateConfigs): ResolvedRequest {
  const { transformer, autoencoder, pipeline } = configs;
  const { sampling } = pipeline;
  const multiple = pixelsPerToken(autoencoder);
  const spatial = request.noise?.shape.length === 4 ? request.noise.shape : undefined;
  const width = request.width ?? (spatial ? spatial[3]! * multiple : sampling.width);
  const height = request.height ?? (spatial ? spatial[2]! * multiple : sampling.height);
  for (const [what, value] of Object.entries({ width, height })) {
    requireInteger(what, value, multiple, LONGEST_SIDE);
    if (value % multiple !== 0) throw outOfRange(what, `a multiple of ${multiple}`, value);
  }
  const steps = requireInteger('steps', request.steps ?? sampling.steps, 1, MOST_STEPS);
  const count = requireInteger('count', request.count ?? request.noise?.shape[0] ?? 1, 1, MOST_PICTURES);
  const references = request.references?.length ?? 0;
  if (references > MOST_REFERENCES) {
    throw outOfRange('number of reference pictures', `at most ${MOST_REFERENCES}`, references);
  }
  const grid = { channels: transformer.inChannels, height: height / multiple, width: width / multiple };
  requireInteger('number of latent values', count * grid.channels * grid.height * grid.width, 1, MOST_LATENT_VALUES);
  const noiseDType = request.noiseDType ?? 'f32';
  const seeds = request.noise === undefined ? (request.seeds ?? [randomSeed()]) : [];
  const noise = request.noise ? packGivenNoise(request.noise, count, grid) : drawNoise(seeds, count, grid, noiseDType);
  const atOnce = Math.max(1, Math.floor(TOKENS_AT_ONCE / (grid.height * grid.width)));
  return {
    width,
    height,
    steps,
    guidance: resolveGuidance(request, transformer, pipeline),
    count,
    seeds,
    noiseDType,
    noise,
    grid,
    batchSize: Math.min(count, requireInteger('batch size', request.batchSize ?? atOnce, 1, MOST_PICTURES)),
    tiles: resolveTiles(request.tiles, configs),
  };
}

function resolveTiles(tiles: GenerateRequest['tiles'], configs: GenerateConfigs): TileOptions | undefined {
  if (tiles === 'off') return undefined;
  const { size, overlap } = tiles ?? defaultTiles(configs);
  requireInteger('tile size', size, 4, LONGEST_SIDE);
  return { size, overlap: requireInteger('tile overlap', overlap, 1, size - 1) };
}

/** As large as fits: the decoder's largest activation has the channels of a level at the size it is upsampled to. */
function defaultTiles({ autoencoder, maxTensorBytes }: GenerateConfigs): TileOptions {
  const { decoderChannels } = autoencoder;
  const bytesOfLevel = decoderChannels.map((channels, level) => {
    const side = pixelsPerToken(autoencoder) / 2 ** Math.max(0, level - 1);
    return Float32Array.BYTES_PER_ELEMENT * channels * side ** 2;
  });
  const fitting = Math.floor(Math.sqrt(maxTensorBytes / Math.max(...bytesOfLevel)));
  const size = Math.max(SMALLEST_DEFAULT_TILE, Math.min(LARGEST_DEFAULT_TILE, fitting));
  return { size, overlap: Math.ceil(size / 4) };
}

/** 32 random bits: PyTorch's CPU generator uses no more of a seed. */
function randomSeed(): bigint {
  return BigInt(crypto.getRandomValues(new Uint32Array(1))[0]!);
}

function requireInteger(what: string, value: number, least: number, most: number): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw outOfRange(what, `an integer from ${least} to ${most}`, value);
}

function outOfRange(what: string, expected: string, found: number): Flux2cError {
  return new Flux2cError('F2C666', `the ${what} is out of range`, { expected, found: String(found) });
}
