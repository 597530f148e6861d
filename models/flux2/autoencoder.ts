/**
 * FLUX.2's autoencoder. Pictures and latents come and go channels first, as diffusers has them; inside, channels are
 * last. `h` and `w` count latent tokens of 16×16 pixels.
 */
import { Dim } from '../../ir/dim.js';
import type { ModuleGraph, Tensor } from '../../frontend/index.js';
import {
  add,
  cast,
  div,
  mul,
  reshape,
  silu,
  slice,
  sqrt,
  sub,
  transpose,
  upsampleNearest,
} from '../../frontend/index.js';
import {
  applyMiddle,
  applyResidualBlock,
  type AutoencoderContext,
  convolve,
  normalizeGroups,
  type Picture,
} from './autoencoder-blocks.js';
import { type AutoencoderConfig, pixelsPerToken } from './config.js';
import { ComponentWeights, type WeightDTypes } from './weights.js';

/** Weights of an autoencoder that neither function uses: a counter of the training. */
export const unusedAutoencoderWeights: readonly RegExp[] = [/^bn\.num_batches_tracked$/];

/** Weights of the half of an autoencoder that a module without the other function does not use. */
export const encoderOnlyWeights: readonly RegExp[] = [/^encoder\./, /^quant_conv\./];
export const decoderOnlyWeights: readonly RegExp[] = [/^decoder\./, /^post_quant_conv\./];

/**
 * Adds the function `vae_encoder`, shapes for the released model's 16 pixels a token and 32 latent channels:
 *
 *     (image f32[batch, 3, 16·h, 16·w] in -1..1) -> mode f32[batch, 32, 2·h, 2·w], the posterior's mean;
 *     normalized f32[batch, 128, h, w], the same in 2×2 patches and normalised: what the transformer takes
 */
export function addVaeEncoder(module: ModuleGraph, config: AutoencoderConfig, dtypes: WeightDTypes): void {
  const graph = module.function('vae_encoder');
  const pixels = pixelsPerToken(config);
  const image = graph.input('image', 'f32', ['batch', config.imageChannels, `${pixels}*h`, `${pixels}*w`]);
  const context = { weights: new ComponentWeights(graph, 'vae', dtypes), config };
  const moments = encode(context, transpose(image, [0, 2, 3, 1]));
  const mean = slice(moments, 3, 0, config.latentChannels);
  const { mean: center, deviation } = latentStatistics(context);
  graph.output({
    mode: transpose(mean, [0, 3, 1, 2]),
    normalized: div(sub(gatherPatches(config, mean), center), deviation),
  });
}

/**
 * Adds the function `vae_decoder`, shapes as of `vae_encoder`:
 *
 *     (latents f32[batch, 128, h, w], normalised) -> image f32[batch, 3, 16·h, 16·w], about -1..1
 */
export function addVaeDecoder(module: ModuleGraph, config: AutoencoderConfig, dtypes: WeightDTypes): void {
  const graph = module.function('vae_decoder');
  const latents = graph.input('latents', 'f32', ['batch', patchChannels(config), 'h', 'w']);
  const context = { weights: new ComponentWeights(graph, 'vae', dtypes), config };
  const { mean, deviation } = latentStatistics(context);
  const picture = decode(context, spreadPatches(config, add(mul(latents, deviation), mean)));
  graph.output({ image: transpose(picture, [0, 3, 1, 2]) });
}

function encode(context: AutoencoderContext, image: Picture): Picture {
  const { config } = context;
  const { graph } = context.weights;
  const levels = config.encoderChannels;
  let x = convolve(context, 'encoder.conv_in', image, levels[0] as number, 3);
  levels.forEach((channels, level) => {
    const path = `encoder.down_blocks.${level}`;
    x = graph.scope(`down.${level}`, () => {
      let y = x;
      for (let block = 0; block < config.layersPerBlock; block++) {
        y = applyResidualBlock(context, `${path}.resnets.${block}`, y, channels);
      }
      if (level === levels.length - 1) return y;
      // Padded on the far sides only, as trained.
      const downsampling = { stride: 2, padding: [0, 0, 1, 1] } as const;
      return convolve(context, `${path}.downsamplers.0.conv`, y, channels, 3, downsampling);
    });
  });
  x = graph.scope('mid', () => applyMiddle(context, 'encoder.mid_block', x));
  const moments = 2 * config.latentChannels;
  x = convolve(context, 'encoder.conv_out', silu(normalizeGroups(context, 'encoder.conv_norm_out', x)), moments, 3);
  return config.quantConv ? convolve(context, 'quant_conv', x, moments, 1) : x;
}

function decode(context: AutoencoderContext, latents: Picture): Picture {
  const { config } = context;
  const { graph } = context.weights;
  const levels = [...config.decoderChannels].reverse();
  let x = config.postQuantConv ? convolve(context, 'post_quant_conv', latents, config.latentChannels, 1) : latents;
  x = convolve(context, 'decoder.conv_in', x, levels[0] as number, 3);
  x = graph.scope('mid', () => applyMiddle(context, 'decoder.mid_block', x));
  levels.forEach((channels, level) => {
    const path = `decoder.up_blocks.${level}`;
    x = graph.scope(`up.${level}`, () => {
      let y = x;
      for (let block = 0; block <= config.layersPerBlock; block++) {
        y = applyResidualBlock(context, `${path}.resnets.${block}`, y, channels);
      }
      if (level === levels.length - 1) return y;
      return convolve(context, `${path}.upsamplers.0.conv`, upsampleNearest(y, 2), channels, 3);
    });
  });
  const normalized = silu(normalizeGroups(context, 'decoder.conv_norm_out', x));
  return convolve(context, 'decoder.conv_out', normalized, config.imageChannels, 3);
}

/** Mean and standard deviation of the latents' channels, f32[channels of a token, 1, 1]. */
function latentStatistics({ weights, config }: AutoencoderContext): {
  readonly mean: Tensor<'f32', 3>;
  readonly deviation: Tensor<'f32', 3>;
} {
  const channels = patchChannels(config);
  const byChannel = (name: string): Tensor<'f32', 3> =>
    cast(reshape(weights.get(`bn.${name}`, [channels]), [channels, 1, 1]), 'f32');
  return {
    mean: byChannel('running_mean'),
    deviation: sqrt(add(byChannel('running_var'), config.batchNormEps)),
  };
}

/** f32[batch, 2·h, 2·w, C] -> f32[batch, C·2·2, h, w]: a patch's channels are ordered (channel, row, column). */
function gatherPatches(config: AutoencoderConfig, x: Picture): Tensor<'f32', 4> {
  const { latentChannels, patchSize } = config;
  const [batch, h, w] = [x.size(0), Dim.symbol('h'), Dim.symbol('w')];
  const apart = reshape(x, [batch, h, patchSize, w, patchSize, latentChannels]);
  return reshape(transpose(apart, [0, 5, 2, 4, 1, 3]), [batch, patchChannels(config), h, w]);
}

/** f32[batch, C·2·2, h, w] -> f32[batch, 2·h, 2·w, C]. */
function spreadPatches(config: AutoencoderConfig, x: Tensor<'f32', 4>): Picture {
  const { latentChannels, patchSize } = config;
  const [batch, h, w] = [x.size(0), x.size(2), x.size(3)];
  const apart = reshape(x, [batch, latentChannels, patchSize, patchSize, h, w]);
  const interleaved = transpose(apart, [0, 4, 2, 5, 3, 1]);
  return reshape(interleaved, [batch, h.mul(patchSize), w.mul(patchSize), latentChannels]);
}

function patchChannels({ latentChannels, patchSize }: AutoencoderConfig): number {
  return latentChannels * patchSize ** 2;
}
