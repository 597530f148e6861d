/** What the autoencoder's encoder and decoder are made of. Pictures are f32[batch, height, width, channels]. */
import type { Tensor } from '../../frontend/index.js';
import { add, attention, conv2d, groupNorm, linear, reshape, silu, transpose } from '../../frontend/index.js';
import type { AutoencoderConfig } from './config.js';
import type { ComponentWeights } from './weights.js';

export interface AutoencoderContext {
  readonly weights: ComponentWeights;
  readonly config: AutoencoderConfig;
}

export type Picture = Tensor<'f32', 4>;

export interface ConvolutionOptions {
  readonly stride?: number;
  /** [top, left, bottom, right]; by default what keeps the size. */
  readonly padding?: readonly [number, number, number, number];
}

/** Convolution with bias; the checkpoint's kernel is [outputs, inputs, size, size]. */
export function convolve(
  { weights }: AutoencoderContext,
  path: string,
  x: Picture,
  outputs: number,
  size: 1 | 3,
  options: ConvolutionOptions = {},
): Picture {
  const inputs = channelsOf(x);
  const kernel = transpose(weights.get(`${path}.weight`, [outputs, inputs, size, size]), [0, 2, 3, 1]);
  const bias = weights.get(`${path}.bias`, [outputs]);
  return conv2d(x, kernel, { bias, padding: (size - 1) / 2, ...options });
}

export function normalizeGroups({ weights, config }: AutoencoderContext, path: string, x: Picture): Picture {
  const channels = channelsOf(x);
  const [scale, shift] = [weights.get(`${path}.weight`, [channels]), weights.get(`${path}.bias`, [channels])];
  return groupNorm(x, scale, shift, { groups: config.normGroups, eps: config.normEps });
}

/** Two normalised convolutions beside a shortcut, which is a 1×1 convolution where the number of channels changes. */
export function applyResidualBlock(context: AutoencoderContext, path: string, x: Picture, outputs: number): Picture {
  const first = convolve(context, `${path}.conv1`, silu(normalizeGroups(context, `${path}.norm1`, x)), outputs, 3);
  const second = convolve(context, `${path}.conv2`, silu(normalizeGroups(context, `${path}.norm2`, first)), outputs, 3);
  const shortcut = channelsOf(x) === outputs ? x : convolve(context, `${path}.conv_shortcut`, x, outputs, 1);
  return add(shortcut, second);
}

/** The middle at the smallest size: a residual block, attention over all pixels, a residual block. */
export function applyMiddle(context: AutoencoderContext, path: string, x: Picture): Picture {
  const channels = channelsOf(x);
  const first = applyResidualBlock(context, `${path}.resnets.0`, x, channels);
  const attended = context.config.midAttention ? attendPixels(context, `${path}.attentions.0`, first) : first;
  return applyResidualBlock(context, `${path}.resnets.1`, attended, channels);
}

/** Attention with one head as wide as the picture has channels. */
function attendPixels(context: AutoencoderContext, path: string, x: Picture): Picture {
  const { weights } = context;
  const channels = channelsOf(x);
  const [batch, height, width] = [x.size(0), x.size(1), x.size(2)];
  const pixels = reshape(normalizeGroups(context, `${path}.group_norm`, x), [batch, 1, height.mul(width), channels]);
  const project = (layer: string, tokens: Tensor<'f32', 4>): Tensor<'f32', 4> =>
    linear(
      tokens,
      weights.matrix(`${path}.${layer}`, channels, channels),
      weights.get(`${path}.${layer}.bias`, [channels]),
    );
  const attended = attention(project('to_q', pixels), project('to_k', pixels), project('to_v', pixels));
  return add(x, reshape(project('to_out.0', attended), [batch, height, width, channels]));
}

/** The constant number of channels. */
export function channelsOf(x: Picture): number {
  return x.size(3).evaluate({});
}
