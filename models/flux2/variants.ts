/** The released FLUX.2 models, as data: for checkpoints that come without configuration files. */
import type { AutoencoderConfig, TextEncoderConfig, TransformerConfig } from './config.js';

export type VariantName = 'dev' | 'klein-9b' | 'klein-4b';

/**
 * How a guidance scale acts: as an input of the network, as two passes whose difference is scaled (the second with
 * the negative prompt), or not at all (distilled models).
 */
export type GuidanceKind = 'embedded' | 'classifier-free' | 'none';

export interface SamplingDefaults {
  /** Pixels. */
  readonly height: number;
  readonly width: number;
  readonly steps: number;
  readonly guidanceScale: number;
  readonly guidance: GuidanceKind;
  /** Scale of classifier-free guidance on top of that; 1 is off. */
  readonly cfgScale: number;
  readonly negativePrompt: string;
}

export interface Variant {
  readonly name: VariantName;
  readonly transformer: TransformerConfig;
  readonly textEncoder: TextEncoderConfig;
  readonly autoencoder: AutoencoderConfig;
  /** Indices into the hidden states (0 is the embedding, n the state after n layers), joined per token. */
  readonly textEncoderOutLayers: readonly number[];
  /** Prompts are padded to this many tokens. */
  readonly maxSequenceLength: number;
}

const transformerBase = {
  inChannels: 128,
  outChannels: 128,
  headDim: 128,
  ropeAxes: [32, 32, 32, 32],
  ropeTheta: 2000,
  timestepChannels: 256,
  eps: 1e-6,
} as const;

const autoencoder: AutoencoderConfig = {
  imageChannels: 3,
  latentChannels: 32,
  encoderChannels: [128, 256, 512, 512],
  decoderChannels: [128, 256, 512, 512],
  layersPerBlock: 2,
  normGroups: 32,
  normEps: 1e-6,
  patchSize: 2,
  batchNormEps: 1e-4,
  midAttention: true,
  quantConv: true,
  postQuantConv: true,
};

/** Mistral Small 3.x, 24 B. */
const mistralSmall3: TextEncoderConfig = {
  family: 'mistral',
  vocabularySize: 131072,
  hidden: 5120,
  layers: 40,
  heads: 32,
  keyValueHeads: 8,
  headDim: 128,
  intermediate: 32768,
  ropeTheta: 1e9,
  rmsNormEps: 1e-5,
  queryKeyNorm: false,
  tiedEmbeddings: false,
};

const qwen3Base = {
  family: 'qwen3',
  vocabularySize: 151936,
  layers: 36,
  heads: 32,
  keyValueHeads: 8,
  headDim: 128,
  ropeTheta: 1e6,
  rmsNormEps: 1e-6,
  queryKeyNorm: true,
} as const;

export const variants: Readonly<Record<VariantName, Variant>> = {
  dev: {
    name: 'dev',
    transformer: {
      ...transformerBase,
      hidden: 6144,
      heads: 48,
      doubleBlocks: 8,
      singleBlocks: 48,
      textWidth: 15360,
      mlpHidden: 18432,
      guidanceEmbeds: true,
    },
    textEncoder: mistralSmall3,
    autoencoder,
    textEncoderOutLayers: [10, 20, 30],
    maxSequenceLength: 512,
  },
  'klein-9b': {
    name: 'klein-9b',
    transformer: {
      ...transformerBase,
      hidden: 4096,
      heads: 32,
      doubleBlocks: 8,
      singleBlocks: 24,
      textWidth: 12288,
      mlpHidden: 12288,
      guidanceEmbeds: false,
    },
    textEncoder: { ...qwen3Base, hidden: 4096, intermediate: 12288, tiedEmbeddings: false },
    autoencoder,
    textEncoderOutLayers: [9, 18, 27],
    maxSequenceLength: 512,
  },
  'klein-4b': {
    name: 'klein-4b',
    transformer: {
      ...transformerBase,
      hidden: 3072,
      heads: 24,
      doubleBlocks: 5,
      singleBlocks: 20,
      textWidth: 7680,
      mlpHidden: 9216,
      guidanceEmbeds: false,
    },
    textEncoder: { ...qwen3Base, hidden: 2560, intermediate: 9728, tiedEmbeddings: true },
    autoencoder,
    textEncoderOutLayers: [9, 18, 27],
    maxSequenceLength: 512,
  },
};

/**
 * The released variant with these shapes, if any. Base and distilled klein models have the same shapes: whether a
 * checkpoint is distilled is said by `model_index.json` or by the user.
 */
export function findVariant(
  shape: Pick<TransformerConfig, 'hidden' | 'doubleBlocks' | 'singleBlocks' | 'textWidth'>,
): Variant | undefined {
  return Object.values(variants).find(
    ({ transformer }) =>
      transformer.hidden === shape.hidden &&
      transformer.doubleBlocks === shape.doubleBlocks &&
      transformer.singleBlocks === shape.singleBlocks &&
      transformer.textWidth === shape.textWidth,
  );
}

/** Sampling settings that the releases recommend, by how the model takes guidance. */
export function samplingDefaults(guidance: GuidanceKind): SamplingDefaults {
  const size = { height: 1024, width: 1024, negativePrompt: '', cfgScale: 1 };
  switch (guidance) {
    case 'embedded':
    case 'classifier-free':
      return { ...size, steps: 50, guidanceScale: 4, guidance };
    case 'none':
      return { ...size, steps: 4, guidanceScale: 1, guidance };
  }
}
