/** What all blocks of the transformer share: the embedding of time and guidance, modulations, rotary tables. */
import type { DimLike } from '../../ir/dim.js';
import type { Tensor } from '../../frontend/index.js';
import {
  add,
  concat,
  layerNorm,
  linear,
  mul,
  reshape,
  ropeTable,
  silu,
  split,
  timestepEmbedding,
} from '../../frontend/index.js';
import type { TransformerConfig } from './config.js';
import type { ComponentWeights } from './weights.js';

/** Of one sub-block, each f32[rows, 1, H]; rows is the batch, or 1 when all of it shares one time. */
export interface Modulation {
  readonly shift: Tensor<'f32', 3>;
  readonly scale: Tensor<'f32', 3>;
  readonly gate: Tensor<'f32', 3>;
}

/** The modulations that every double-stream block applies to one of its streams. */
export interface StreamModulation {
  readonly attention: Modulation;
  readonly feedForward: Modulation;
}

/** f32[tokens, headDim / 2] each. */
export interface RopeTable {
  readonly cos: Tensor<'f32', 2>;
  readonly sin: Tensor<'f32', 2>;
}

/** Sinusoids beyond this period are slower than any: diffusers' default. */
const MAX_PERIOD = 10_000;
/**
 * Time (0..1) and guidance (1..10) are embedded in thousandths. The product is taken in f32 as in diffusers; Black Forest
 * Labs' code takes it in the network's type, where bf16 would round 1000·t to multiples of 4.
 */
const TIME_SCALE = 1000;

/**
 * f32[rows, H], before the SiLU that every use of it begins with.
 * @param time f32[rows] in 0..1
 * @param guidance f32[rows] or f32[1], for networks with a guidance embedding
 */
export function embedTime(
  weights: ComponentWeights,
  config: TransformerConfig,
  time: Tensor<'f32', 1>,
  guidance: Tensor<'f32', 1> | undefined,
): Tensor<'f32', 2> {
  const embedded = embedScalar(weights, config, 'timestep_embedder', time);
  if (guidance === undefined) return embedded;
  return add(embedded, embedScalar(weights, config, 'guidance_embedder', guidance));
}

function embedScalar(
  weights: ComponentWeights,
  config: TransformerConfig,
  embedder: string,
  value: Tensor<'f32', 1>,
): Tensor<'f32', 2> {
  const { hidden, timestepChannels } = config;
  const path = `time_guidance_embed.${embedder}`;
  const wave = timestepEmbedding(value, { size: timestepChannels, maxPeriod: MAX_PERIOD, scale: TIME_SCALE });
  const inner = silu(linear(wave, weights.matrix(`${path}.linear_1`, hidden, timestepChannels)));
  return linear(inner, weights.matrix(`${path}.linear_2`, hidden, hidden));
}

/** The double-stream blocks' modulation of their image or their text stream. */
export function modulateStream(
  weights: ComponentWeights,
  config: TransformerConfig,
  stream: 'img' | 'txt',
  embedding: Tensor<'f32', 2>,
): StreamModulation {
  const parts = projectModulation(weights, config, `double_stream_modulation_${stream}.linear`, embedding, 6);
  return { attention: takeModulation(parts, 0), feedForward: takeModulation(parts, 3) };
}

/** The single-stream blocks' modulation. */
export function modulateSingle(
  weights: ComponentWeights,
  config: TransformerConfig,
  embedding: Tensor<'f32', 2>,
): Modulation {
  return takeModulation(projectModulation(weights, config, 'single_stream_modulation.linear', embedding, 3), 0);
}

/** The final layer: normalised, modulated and projected to f32[batch, tokens, outChannels]. */
export function projectOutput(
  weights: ComponentWeights,
  config: TransformerConfig,
  tokens: Tensor<'f32', 3>,
  embedding: Tensor<'f32', 2>,
): Tensor<'f32', 3> {
  // Scale before shift, here only: diffusers stores the halves in the other order than Black Forest Labs' files.
  const [scale, shift] = projectModulation(weights, config, 'norm_out.linear', embedding, 2) as [
    Tensor<'f32', 3>,
    Tensor<'f32', 3>,
  ];
  const normalized = normalizeModulated(config, tokens, { shift, scale });
  return linear(normalized, weights.matrix('proj_out', config.outChannels, config.hidden));
}

/** LayerNorm without affine, then (1 + scale)·x + shift. */
export function normalizeModulated(
  config: TransformerConfig,
  tokens: Tensor<'f32', 3>,
  { shift, scale }: Pick<Modulation, 'shift' | 'scale'>,
): Tensor<'f32', 3> {
  return add(mul(layerNorm(tokens, { eps: config.eps }), add(scale, 1)), shift);
}

/** Tables for i32[tokens, 4] position ids. */
export function buildRopeTable(config: TransformerConfig, ids: Tensor<'i32', 2>): RopeTable {
  const [cos, sin] = ropeTable(ids, { theta: config.ropeTheta, axisSizes: config.ropeAxes });
  return { cos, sin };
}

/** Tables of the streams apart, for the double-stream blocks, and of all tokens in order, for the single-stream ones. */
export interface JointRope {
  readonly text: RopeTable;
  readonly image: RopeTable;
  readonly joint: RopeTable;
}

export function buildJointRope(
  config: TransformerConfig,
  textIds: Tensor<'i32', 2>,
  imageIds: Tensor<'i32', 2>,
): JointRope {
  return {
    text: buildRopeTable(config, textIds),
    image: buildRopeTable(config, imageIds),
    joint: buildRopeTable(config, concat([textIds, imageIds], 0)),
  };
}

/** `count` pieces f32[rows, 1, H] of one linear layer of the embedding. */
function projectModulation(
  weights: ComponentWeights,
  config: TransformerConfig,
  layer: string,
  embedding: Tensor<'f32', 2>,
  count: number,
): readonly Tensor<'f32', 3>[] {
  const { hidden } = config;
  const width = count * hidden;
  const projected = linear(silu(embedding), weights.matrix(layer, width, hidden));
  const sizes: readonly DimLike[] = new Array<number>(count).fill(hidden);
  return split(reshape(projected, [embedding.size(0), 1, width]), 2, sizes);
}

function takeModulation(parts: readonly Tensor<'f32', 3>[], at: number): Modulation {
  const [shift, scale, gate] = parts.slice(at, at + 3) as [Tensor<'f32', 3>, Tensor<'f32', 3>, Tensor<'f32', 3>];
  return { shift, scale, gate };
}
