/** Configurations of the three networks, as diffusers and transformers write them (`config.json`). */
import { ConfigReader } from './config-reader.js';

/** `Flux2Transformer2DModel`. */
export interface TransformerConfig {
  /** Channels of a latent token, before and after the network. */
  readonly inChannels: number;
  readonly outChannels: number;
  /** H = heads * headDim. */
  readonly hidden: number;
  readonly heads: number;
  readonly headDim: number;
  readonly doubleBlocks: number;
  readonly singleBlocks: number;
  /** Width of one prompt token's embedding. */
  readonly textWidth: number;
  /** Columns of each SwiGLU half: hidden * mlp_ratio. */
  readonly mlpHidden: number;
  /** Rotary dimensions of (t, h, w, l); they add up to `headDim`. */
  readonly ropeAxes: readonly number[];
  readonly ropeTheta: number;
  /** Size of the time sinusoid. */
  readonly timestepChannels: number;
  /** Of LayerNorm and of the query and key norms. */
  readonly eps: number;
  /** Whether the guidance scale is an input of the network. */
  readonly guidanceEmbeds: boolean;
}

export type TextEncoderFamily = 'mistral' | 'qwen3';

/** The language model whose hidden states are the prompt embedding. */
export interface TextEncoderConfig {
  readonly family: TextEncoderFamily;
  readonly vocabularySize: number;
  readonly hidden: number;
  readonly layers: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headDim: number;
  /** Columns of each SwiGLU half. */
  readonly intermediate: number;
  readonly ropeTheta: number;
  readonly rmsNormEps: number;
  /** RMS norm of every query and key head before the rotary embedding (Qwen3). */
  readonly queryKeyNorm: boolean;
  /** Whether the output head is the embedding table; only prompt upsampling uses the head. */
  readonly tiedEmbeddings: boolean;
}

/** `AutoencoderKLFlux2`. */
export interface AutoencoderConfig {
  readonly imageChannels: number;
  readonly latentChannels: number;
  /** Channels of each level from full resolution down; each level but the last halves the size. */
  readonly encoderChannels: readonly number[];
  /** The decoder's, in the same order (the small decoder has fewer than the encoder). */
  readonly decoderChannels: readonly number[];
  /** Residual blocks a level in the encoder; the decoder has one more. */
  readonly layersPerBlock: number;
  readonly normGroups: number;
  readonly normEps: number;
  /** Side of the square of latent pixels that makes one token. */
  readonly patchSize: number;
  readonly batchNormEps: number;
  readonly midAttention: boolean;
  readonly quantConv: boolean;
  readonly postQuantConv: boolean;
}

/** GroupNorm's epsilon inside diffusers' VAE blocks; it is not a key of the configuration. */
const GROUP_NORM_EPS = 1e-6;
/** The longest prompt that flux2c encodes, in tokens; a sliding attention window at least as wide has no effect. */
export const LONGEST_PROMPT = 4096;

/** Pixels per latent token along each side: 16 for every released model. */
export function pixelsPerToken(autoencoder: AutoencoderConfig): number {
  return 2 ** (autoencoder.encoderChannels.length - 1) * autoencoder.patchSize;
}

/** Parses `text`, the content of `file`. Errors F2C610 to F2C613 name the file and the key. */
export function parseTransformerConfig(text: string, file: string): TransformerConfig {
  const config = ConfigReader.parse(text, file);
  config.requireSupported('_class_name', ['Flux2Transformer2DModel']);
  config.requireSupported('patch_size', [1]);
  const headDim = config.positiveInteger('attention_head_dim');
  const heads = config.positiveInteger('num_attention_heads');
  const hidden = heads * headDim;
  const inChannels = config.positiveInteger('in_channels', 128);
  const ropeAxes = config.positiveIntegers('axes_dims_rope', [32, 32, 32, 32]);
  const axesFit = ropeAxes.length === 4 && ropeAxes.every((axis) => axis % 2 === 0) && sum(ropeAxes) === headDim;
  if (!axesFit) throw config.wrong('axes_dims_rope', `four even numbers that add up to the head size ${headDim}`);
  const mlpHidden = hidden * config.positiveNumber('mlp_ratio', 3);
  if (!Number.isInteger(mlpHidden)) throw config.wrong('mlp_ratio', `a multiple of 1/${hidden}`);
  return {
    inChannels,
    outChannels: config.positiveInteger('out_channels', inChannels),
    hidden,
    heads,
    headDim,
    doubleBlocks: config.positiveInteger('num_layers'),
    singleBlocks: config.positiveInteger('num_single_layers'),
    textWidth: config.positiveInteger('joint_attention_dim'),
    mlpHidden,
    ropeAxes,
    ropeTheta: config.positiveNumber('rope_theta', 2000),
    timestepChannels: config.positiveInteger('timestep_guidance_channels', 256),
    eps: config.positiveNumber('eps', 1e-6),
    guidanceEmbeds: config.boolean('guidance_embeds', true),
  };
}

/**
 * Parses `text`, the content of `file`: a `mistral` or `qwen3` configuration, or `mistral3` with the language model
 * under `text_config`. The rotary base may be `rope_theta` or inside `rope_parameters` or `rope_scaling`. Errors
 * F2C610 to F2C613 name the file and the key.
 */
export function parseTextEncoderConfig(text: string, file: string): TextEncoderConfig {
  const outer = ConfigReader.parse(text, file);
  const nested = outer.has('text_config');
  const config = nested ? outer.object('text_config') : outer;
  const family = readFamily(config);
  config.requireSupported('hidden_act', ['silu']);
  config.requireSupported('attention_bias', [false]);
  refuseSlidingWindow(config);
  const hidden = config.positiveInteger('hidden_size');
  const heads = config.positiveInteger('num_attention_heads');
  const keyValueHeads = config.positiveInteger('num_key_value_heads');
  if (heads % keyValueHeads !== 0) throw config.wrong('num_key_value_heads', `a divisor of the ${heads} heads`);
  const headDim = config.positiveInteger('head_dim', family === 'qwen3' ? 128 : hidden / heads);
  if (headDim % 2 !== 0) throw config.wrong('head_dim', 'an even number');
  // transformers lets the outer configuration say it for a nested one.
  const tied = nested && !config.has('tie_word_embeddings') ? outer : config;
  return {
    family,
    vocabularySize: config.positiveInteger('vocab_size'),
    hidden,
    layers: config.positiveInteger('num_hidden_layers'),
    heads,
    keyValueHeads,
    headDim,
    intermediate: config.positiveInteger('intermediate_size'),
    ropeTheta: readRopeTheta(config),
    rmsNormEps: config.positiveNumber('rms_norm_eps'),
    queryKeyNorm: family === 'qwen3',
    tiedEmbeddings: tied.boolean('tie_word_embeddings', false),
  };
}

/** Parses `text`, the content of `file`. Errors F2C610 to F2C613 name the file and the key. */
export function parseAutoencoderConfig(text: string, file: string): AutoencoderConfig {
  const config = ConfigReader.parse(text, file);
  config.requireSupported('_class_name', ['AutoencoderKLFlux2']);
  config.requireSupported('act_fn', ['silu']);
  const encoderChannels = config.positiveIntegers('block_out_channels');
  const decoderChannels = config.positiveIntegers('decoder_block_out_channels', encoderChannels);
  if (decoderChannels.length !== encoderChannels.length) {
    throw config.wrong('decoder_block_out_channels', `${encoderChannels.length} levels as the encoder has`);
  }
  const normGroups = config.positiveInteger('norm_num_groups', 32);
  if ([...encoderChannels, ...decoderChannels].some((channels) => channels % normGroups !== 0)) {
    throw config.wrong('norm_num_groups', `a divisor of all of ${encoderChannels.join(', ')}`);
  }
  const [patchHeight, patchWidth, ...more] = config.positiveIntegers('patch_size', [2, 2]);
  if (patchHeight === undefined || patchHeight !== patchWidth || more.length > 0) {
    throw config.wrong('patch_size', 'two equal numbers');
  }
  const imageChannels = config.positiveInteger('in_channels', 3);
  if (config.positiveInteger('out_channels', 3) !== imageChannels) {
    throw config.wrong('out_channels', `${imageChannels}, as in_channels`);
  }
  return {
    imageChannels,
    latentChannels: config.positiveInteger('latent_channels', 32),
    encoderChannels,
    decoderChannels,
    layersPerBlock: config.positiveInteger('layers_per_block', 2),
    normGroups,
    normEps: GROUP_NORM_EPS,
    patchSize: patchHeight,
    batchNormEps: config.positiveNumber('batch_norm_eps', 1e-4),
    midAttention: config.boolean('mid_block_add_attention', true),
    quantConv: config.boolean('use_quant_conv', true),
    postQuantConv: config.boolean('use_post_quant_conv', true),
  };
}

function readFamily(config: ConfigReader): TextEncoderFamily {
  const type = config.string('model_type');
  if (type === 'mistral' || type === 'qwen3') return type;
  throw config.unsupported('model_type', '"mistral" or "qwen3"');
}

/** Newer transformers releases write `rope_parameters`, older ones `rope_theta` with an optional `rope_scaling`. */
function readRopeTheta(config: ConfigReader): number {
  for (const key of ['rope_parameters', 'rope_scaling']) {
    if (!config.has(key)) continue;
    const rope = config.object(key);
    rope.requireSupported('rope_type', ['default']);
    rope.requireSupported('type', ['default']);
    if (rope.has('rope_theta')) return rope.positiveNumber('rope_theta');
  }
  return config.positiveNumber('rope_theta');
}

function refuseSlidingWindow(config: ConfigReader): void {
  if (!config.has('sliding_window') || !config.boolean('use_sliding_window', true)) return;
  if (config.positiveInteger('sliding_window') >= LONGEST_PROMPT) return;
  throw config.unsupported('sliding_window', `null or at least ${LONGEST_PROMPT}`);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
