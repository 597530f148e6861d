/** A network's configuration: from the `config.json` beside its weights, otherwise from the shapes of the weights. */
import { type Checkpoint, detectAutoencoder, detectTransformer, type WeightTable } from '../../frontend/checkpoint/index.js'; // prettier-ignore
import { Flux2cError } from '../../ir/diagnostics.js';
import {
  type AutoencoderConfig,
  parseAutoencoderConfig,
  parseTextEncoderConfig,
  parseTransformerConfig,
  type TextEncoderConfig,
  type TransformerConfig,
} from './config.js';
import { textEncoderConfigOfGguf } from './gguf-config.js';
import type { ComponentFiles } from './model-files.js';
import { variants } from './variants.js';

const CONFIG_FILE = 'config.json';

/**
 * The transformer's configuration. Without a file: the dimensions of the weights, with the released models' rotary
 * embedding (four equal axes, theta 2000) and epsilon. F2C432 when the shapes are not a FLUX.2 transformer's.
 */
export async function readTransformerConfig(files: ComponentFiles, table: WeightTable): Promise<TransformerConfig> {
  const text = await files.readText(CONFIG_FILE);
  if (text !== undefined) return parseTransformerConfig(text, `${files.name} › ${CONFIG_FILE}`);
  const found = detectTransformer(table);
  const { hidden, heads, headDim, doubleBlocks, singleBlocks, textWidth, inChannels, outChannels } = found;
  const { ropeTheta, eps, ropeAxes } = variants.dev.transformer;
  if (headDim % (2 * ropeAxes.length) !== 0) throw withoutConfiguration(files, `heads of ${headDim} channels`);
  return {
    inChannels,
    outChannels,
    hidden,
    heads,
    headDim,
    doubleBlocks,
    singleBlocks,
    textWidth,
    mlpHidden: Math.round(hidden * found.mlpRatio),
    ropeAxes: ropeAxes.map(() => headDim / ropeAxes.length),
    ropeTheta,
    timestepChannels: found.timestepChannels,
    eps,
    guidanceEmbeds: found.guidanceEmbed,
  };
}

/**
 * The autoencoder's configuration. Without a file: the dimensions of the weights, with 32 norm groups and patches of
 * 2x2 as all released ones. F2C432 when the shapes are not a FLUX.2 autoencoder's.
 */
export async function readAutoencoderConfig(files: ComponentFiles, table: WeightTable): Promise<AutoencoderConfig> {
  const text = await files.readText(CONFIG_FILE);
  if (text !== undefined) return parseAutoencoderConfig(text, `${files.name} › ${CONFIG_FILE}`);
  const found = detectAutoencoder(table);
  const { normGroups, normEps, batchNormEps, patchSize } = variants.dev.autoencoder;
  const channels = [...found.encoderChannels, ...found.decoderChannels];
  if (channels.some((count) => count % normGroups !== 0)) {
    throw withoutConfiguration(files, `levels of ${channels.join(', ')} channels`);
  }
  return {
    imageChannels: found.inChannels,
    latentChannels: found.latentChannels,
    encoderChannels: found.encoderChannels,
    // A decoder runs from its deepest level; configurations count from the picture.
    decoderChannels: [...found.decoderChannels].reverse(),
    layersPerBlock: found.encoderResnets,
    normGroups,
    normEps,
    patchSize,
    batchNormEps,
    midAttention: found.midAttention,
    quantConv: found.quantConv,
    postQuantConv: found.postQuantConv,
  };
}

/**
 * The text encoder's configuration; without a file what GGUF weights say themselves, otherwise that of the released model with the same
 * embedding table.
 */
export async function readTextEncoderConfig(
  files: ComponentFiles,
  table: WeightTable,
  checkpoint: Checkpoint,
): Promise<TextEncoderConfig> {
  const text = await files.readText(CONFIG_FILE);
  if (text !== undefined) return parseTextEncoderConfig(text, `${files.name} › ${CONFIG_FILE}`);
  const own = textEncoderConfigOfGguf(checkpoint, table);
  if (own !== undefined) return own;
  const shape = table.get('model.embed_tokens.weight')?.shape ?? [];
  const [vocabulary, hidden] = shape;
  const released = Object.values(variants).find(
    ({ textEncoder }) => textEncoder.hidden === hidden && textEncoder.vocabularySize === vocabulary,
  );
  if (released !== undefined) return released.textEncoder;
  throw withoutConfiguration(files, `an embedding table of ${shape.join(' x ')}`);
}

function withoutConfiguration(files: ComponentFiles, found: string): Flux2cError {
  return new Flux2cError('F2C615', 'the configuration of the network is not known', {
    where: [files.name],
    expected: `a ${CONFIG_FILE} beside the weights, or the shapes of a released model`,
    found,
    hint: `Put the ${CONFIG_FILE} of the checkpoint beside its weights.`,
  });
}
