/** A model's configurations as JSON, for artifacts. */
import type { JsonValue } from '../../frontend/checkpoint/strict-json.js';
import {
  boolean,
  count,
  type Decoder,
  list,
  nullable,
  number,
  object,
  oneOf,
  string,
} from '../../runtime/artifact/decode.js';
import type { AutoencoderConfig, TextEncoderConfig, TransformerConfig } from './config.js';
import type { Flux2Description } from './networks.js';
import type { PipelineConfig } from './pipeline-config.js';

/** What is not there is null. */
export function encodeDescription(description: Flux2Description): JsonValue {
  const { name, pipeline, transformer, autoencoder, textEncoder } = description;
  const plain = {
    name,
    pipeline: pipeline ?? null,
    transformer: transformer ?? null,
    autoencoder: autoencoder ?? null,
    textEncoder: textEncoder ?? null,
  };
  return toJsonValue(plain);
}

/** JSON's objects are maps here, whose keys keep their order. */
function toJsonValue(value: unknown): JsonValue {
  if (Array.isArray(value)) return value.map(toJsonValue);
  if (typeof value !== 'object' || value === null) return value as JsonValue;
  return new Map(Object.entries(value).map(([key, field]) => [key, toJsonValue(field)]));
}

const transformer: Decoder<TransformerConfig> = object({
  inChannels: count,
  outChannels: count,
  hidden: count,
  heads: count,
  headDim: count,
  doubleBlocks: count,
  singleBlocks: count,
  textWidth: count,
  mlpHidden: count,
  ropeAxes: list(count),
  ropeTheta: number,
  timestepChannels: count,
  eps: number,
  guidanceEmbeds: boolean,
});

const textEncoder: Decoder<TextEncoderConfig> = object({
  family: oneOf('mistral', 'qwen3'),
  vocabularySize: count,
  hidden: count,
  layers: count,
  heads: count,
  keyValueHeads: count,
  headDim: count,
  intermediate: count,
  ropeTheta: number,
  rmsNormEps: number,
  queryKeyNorm: boolean,
  tiedEmbeddings: boolean,
});

const autoencoder: Decoder<AutoencoderConfig> = object({
  imageChannels: count,
  latentChannels: count,
  encoderChannels: list(count),
  decoderChannels: list(count),
  layersPerBlock: count,
  normGroups: count,
  normEps: number,
  patchSize: count,
  batchNormEps: number,
  midAttention: boolean,
  quantConv: boolean,
  postQuantConv: boolean,
});

const pipeline: Decoder<PipelineConfig> = object({
  textEncoderFamily: oneOf('mistral', 'qwen3'),
  textEncoderOutLayers: list(count),
  maxSequenceLength: count,
  systemMessage: nullable(string),
  distilled: boolean,
  cachedReferences: boolean,
  sampling: object({
    height: count,
    width: count,
    steps: count,
    guidanceScale: number,
    guidance: oneOf('embedded', 'classifier-free', 'none'),
    cfgScale: number,
    negativePrompt: string,
  }),
});

const description = object({
  name: string,
  pipeline: nullable(pipeline),
  transformer: nullable(transformer),
  autoencoder: nullable(autoencoder),
  textEncoder: nullable(textEncoder),
});

/** F2C530 where it is malformed. */
export function decodeDescription(value: JsonValue, file: string): Flux2Description {
  const decoded = description(value, [file, 'model']);
  return {
    name: decoded.name,
    pipeline: decoded.pipeline ?? undefined,
    transformer: decoded.transformer ?? undefined,
    autoencoder: decoded.autoencoder ?? undefined,
    textEncoder: decoded.textEncoder ?? undefined,
  };
}
