import { checkStrict } from './check-strict.js';
import { countModules, measure } from './measure.js';
import type { WeightTable } from './names.js';

/** What the shapes of a FLUX.2 autoencoder's weights say about it; the number of norm groups they do not say. */
export interface AutoencoderDimensions {
  /** Channels of the picture that goes in and of the one that comes out. */
  readonly inChannels: number;
  readonly outChannels: number;
  readonly latentChannels: number;
  /** Channels of each level in order of execution: the encoder's from the picture on, the decoder's to the picture. */
  readonly encoderChannels: readonly number[];
  readonly decoderChannels: readonly number[];
  /** Residual blocks of a level. */
  readonly encoderResnets: number;
  readonly decoderResnets: number;
  readonly quantConv: boolean;
  readonly postQuantConv: boolean;
  /** Attention in the middle of encoder and decoder. */
  readonly midAttention: boolean;
  /** Channels of the batch norm over patches of latents: latent channels times pixels of a patch. */
  readonly patchedChannels: number;
}

const WHAT = 'a FLUX.2 autoencoder';
// The released one has 4 levels of 2 and 3 blocks.
const MOST_LEVELS = 32;

/** Counters of training that decoding and encoding do not use. */
export const ignorableAutoencoderTensors: readonly RegExp[] = [/^bn\.num_batches_tracked$/];

/**
 * The dimensions of an autoencoder, from the shapes of its weights alone; all of them are checked against each other.
 * @param table as `canonicalizeAutoencoder` returns it
 * @throws Flux2cError F2C432 when the table is not that of a FLUX.2 autoencoder, F2C431 listing the weights that are
 * missing or contradict the dimensions
 */
export function detectAutoencoder(table: WeightTable): AutoencoderDimensions {
  const outOf = (name: string): number => measure(table, WHAT, name, 4)[0] ?? 0;
  const channelsOf = (side: string, levels: number): readonly number[] =>
    Array.from({ length: levels }, (_, level) => outOf(`${side}.${level}.resnets.0.conv1.weight`));
  const dimensions: AutoencoderDimensions = {
    inChannels: measure(table, WHAT, 'encoder.conv_in.weight', 4)[1] ?? 0,
    outChannels: outOf('decoder.conv_out.weight'),
    latentChannels: measure(table, WHAT, 'decoder.conv_in.weight', 4)[1] ?? 0,
    encoderChannels: channelsOf(
      'encoder.down_blocks',
      countModules(table, 'the levels of the encoder', /^encoder\.down_blocks\.(\d+)\./, MOST_LEVELS),
    ),
    decoderChannels: channelsOf(
      'decoder.up_blocks',
      countModules(table, 'the levels of the decoder', /^decoder\.up_blocks\.(\d+)\./, MOST_LEVELS),
    ),
    encoderResnets: countModules(
      table,
      'the blocks of the encoder',
      /^encoder\.down_blocks\.0\.resnets\.(\d+)\./,
      MOST_LEVELS,
    ),
    decoderResnets: countModules(
      table,
      'the blocks of the decoder',
      /^decoder\.up_blocks\.0\.resnets\.(\d+)\./,
      MOST_LEVELS,
    ),
    quantConv: table.has('quant_conv.weight'),
    postQuantConv: table.has('post_quant_conv.weight'),
    midAttention: table.has('decoder.mid_block.attentions.0.to_q.weight'),
    patchedChannels: measure(table, WHAT, 'bn.running_mean', 1)[0] ?? 0,
  };
  checkStrict(table, autoencoderWeightShapes(dimensions), [/^/]);
  return dimensions;
}

/** Every weight of the autoencoder with its shape; convolutions are `[out, in, height, width]`. */
export function autoencoderWeightShapes(dimensions: AutoencoderDimensions): ReadonlyMap<string, readonly number[]> {
  const { latentChannels: latent, patchedChannels } = dimensions;
  const shapes = new Map<string, readonly number[]>([
    ['bn.running_mean', [patchedChannels]],
    ['bn.running_var', [patchedChannels]],
  ]);
  // The encoder's output is mean and logarithm of the variance.
  if (dimensions.quantConv) addConvolution(shapes, 'quant_conv', 2 * latent, 2 * latent, 1);
  if (dimensions.postQuantConv) addConvolution(shapes, 'post_quant_conv', latent, latent, 1);
  addEncoder(shapes, dimensions);
  addDecoder(shapes, dimensions);
  return shapes;
}

type Shapes = Map<string, readonly number[]>;

function addEncoder(shapes: Shapes, dimensions: AutoencoderDimensions): void {
  const levels = dimensions.encoderChannels;
  let channels = levels[0] ?? 0;
  addConvolution(shapes, 'encoder.conv_in', channels, dimensions.inChannels, 3);
  for (const [level, out] of levels.entries()) {
    const block = `encoder.down_blocks.${level}`;
    addResnets(shapes, block, dimensions.encoderResnets, channels, out);
    if (level + 1 < levels.length) addConvolution(shapes, `${block}.downsamplers.0.conv`, out, out, 3);
    channels = out;
  }
  addMiddle(shapes, 'encoder', channels, dimensions.midAttention);
  addPair(shapes, 'encoder.conv_norm_out', channels);
  addConvolution(shapes, 'encoder.conv_out', 2 * dimensions.latentChannels, channels, 3);
}

function addDecoder(shapes: Shapes, dimensions: AutoencoderDimensions): void {
  const levels = dimensions.decoderChannels;
  let channels = levels[0] ?? 0;
  addConvolution(shapes, 'decoder.conv_in', channels, dimensions.latentChannels, 3);
  addMiddle(shapes, 'decoder', channels, dimensions.midAttention);
  for (const [level, out] of levels.entries()) {
    const block = `decoder.up_blocks.${level}`;
    addResnets(shapes, block, dimensions.decoderResnets, channels, out);
    if (level + 1 < levels.length) addConvolution(shapes, `${block}.upsamplers.0.conv`, out, out, 3);
    channels = out;
  }
  addPair(shapes, 'decoder.conv_norm_out', channels);
  addConvolution(shapes, 'decoder.conv_out', dimensions.outChannels, channels, 3);
}

function addMiddle(shapes: Shapes, side: string, channels: number, attention: boolean): void {
  addResnets(shapes, `${side}.mid_block`, 2, channels, channels);
  if (!attention) return;
  const name = `${side}.mid_block.attentions.0`;
  addPair(shapes, `${name}.group_norm`, channels);
  for (const projection of ['to_q', 'to_k', 'to_v', 'to_out.0']) {
    shapes.set(`${name}.${projection}.weight`, [channels, channels]);
    shapes.set(`${name}.${projection}.bias`, [channels]);
  }
}

function addResnets(shapes: Shapes, block: string, count: number, into: number, out: number): void {
  for (let index = 0; index < count; index++) {
    const name = `${block}.resnets.${index}`;
    const from = index === 0 ? into : out;
    addPair(shapes, `${name}.norm1`, from);
    addConvolution(shapes, `${name}.conv1`, out, from, 3);
    addPair(shapes, `${name}.norm2`, out);
    addConvolution(shapes, `${name}.conv2`, out, out, 3);
    if (from !== out) addConvolution(shapes, `${name}.conv_shortcut`, out, from, 1);
  }
}

/** Scale and shift of a norm. */
function addPair(shapes: Shapes, name: string, channels: number): void {
  shapes.set(`${name}.weight`, [channels]);
  shapes.set(`${name}.bias`, [channels]);
}

function addConvolution(shapes: Shapes, name: string, out: number, into: number, size: number): void {
  shapes.set(`${name}.weight`, [out, into, size, size]);
  shapes.set(`${name}.bias`, [out]);
}
