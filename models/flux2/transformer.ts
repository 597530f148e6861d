/** FLUX.2's transformer: from noisy latent tokens, prompt tokens and a time to the velocity of the image tokens. */
import type { Dim } from '../../ir/dim.js';
import type { FunctionGraph, ModuleGraph, Tensor } from '../../frontend/index.js';
import { concat, linear, slice, split } from '../../frontend/index.js';
import type { TransformerConfig } from './config.js';
import {
  applyDoubleBlock,
  applySingleBlock,
  type BlockContext,
  type KeyValue,
  type Streams,
} from './transformer-blocks.js';
import {
  buildJointRope,
  embedTime,
  type JointRope,
  modulateSingle,
  modulateStream,
  projectOutput,
} from './transformer-conditioning.js';
import { ComponentWeights, type WeightDTypes } from './weights.js';

/** Keys and values of reference tokens for every block. */
export interface ReferenceCache {
  readonly double: readonly KeyValue[];
  readonly single: readonly KeyValue[];
}

export interface TransformerBodyInputs {
  /** f32[batch, tokens, H], after the projection in: image tokens, then reference tokens that take part as such. */
  readonly image: Tensor<'f32', 3>;
  /** f32[batch, txt, H], after the projection in. */
  readonly text: Tensor<'f32', 3>;
  /** f32[rows, H] of time and guidance; one row for all of the batch, or one each. */
  readonly embedding: Tensor<'f32', 2>;
  readonly ropes: JointRope;
  /** How many of the image stream's first tokens the prediction is for. */
  readonly outputTokens: Dim;
  /** Reference tokens that were run before and are only attended to. */
  readonly references?: ReferenceCache;
  /** Called with what leaves each block (`double.0`, `single.3`). */
  readonly onBlock?: (block: string, streams: Streams) => void;
}

/** Latent tokens f32[batch, tokens, inChannels] into the transformer's width. */
export function embedLatents(context: BlockContext, latents: Tensor<'f32', 3>): Tensor<'f32', 3> {
  const { hidden, inChannels } = context.config;
  return linear(latents, context.weights.matrix('x_embedder', hidden, inChannels));
}

/** Prompt embeddings f32[batch, txt, textWidth] into the transformer's width. */
export function embedPrompt(context: BlockContext, prompt: Tensor<'f32', 3>): Tensor<'f32', 3> {
  const { hidden, textWidth } = context.config;
  return linear(prompt, context.weights.matrix('context_embedder', hidden, textWidth));
}

/** All blocks and the final layer: f32[batch, outputTokens, outChannels]. */
export function transformerBody(context: BlockContext, inputs: TransformerBodyInputs): Tensor<'f32', 3> {
  const { weights, config } = context;
  const { graph } = weights;
  const { embedding, ropes, references, onBlock } = inputs;
  const modulations = {
    image: modulateStream(weights, config, 'img', embedding),
    text: modulateStream(weights, config, 'txt', embedding),
  };
  const singleModulation = modulateSingle(weights, config, embedding);
  let streams = { text: inputs.text, image: inputs.image };
  for (let index = 0; index < config.doubleBlocks; index++) {
    streams = graph.scope(`double.${index}`, () =>
      applyDoubleBlock(context, index, streams, modulations, ropes, references?.double[index]),
    );
    onBlock?.(`double.${index}`, streams);
  }
  // Text first: the order of the rotary table.
  let tokens: Tensor<'f32', 3> = concat([streams.text, streams.image], 1);
  for (let index = 0; index < config.singleBlocks; index++) {
    tokens = graph.scope(`single.${index}`, () =>
      applySingleBlock(context, index, tokens, singleModulation, ropes.joint, references?.single[index]),
    ).tokens;
    if (onBlock === undefined) continue;
    const [text, image] = split(tokens, 1, [inputs.text.size(1), inputs.image.size(1)]);
    onBlock(`single.${index}`, { text, image });
  }
  return projectOutput(weights, config, slice(tokens, 1, inputs.text.size(1), inputs.outputTokens), embedding);
}

/**
 * Adds the function `transformer`: one pass, as diffusers' `Flux2Transformer2DModel` is called.
 *
 *     (hidden_states f32[batch, img, inChannels], encoder_hidden_states f32[batch, txt, textWidth], timestep f32[batch],
 *      guidance f32[batch] with a guidance embedding, img_ids i32[img, 4], txt_ids i32[txt, 4])
 *     -> sample f32[batch, img, outChannels]
 *
 * `img` counts the reference tokens too, which come after the image's. `timestep` is 0..1.
 */
export function addTransformer(module: ModuleGraph, config: TransformerConfig, dtypes: WeightDTypes): void {
  const graph = module.function('transformer');
  graph.output({ sample: buildTransformer(graph, config, dtypes) });
}

/** Declares the inputs of `addTransformer`; f32[batch, img, outChannels]. `onBlock` as of `TransformerBodyInputs`. */
export function buildTransformer(
  graph: FunctionGraph,
  config: TransformerConfig,
  dtypes: WeightDTypes,
  onBlock?: TransformerBodyInputs['onBlock'],
): Tensor<'f32', 3> {
  const latents = graph.input('hidden_states', 'f32', ['batch', 'img', config.inChannels]);
  const prompt = graph.input('encoder_hidden_states', 'f32', ['batch', 'txt', config.textWidth]);
  const time = graph.input('timestep', 'f32', ['batch']);
  const guidance = config.guidanceEmbeds ? graph.input('guidance', 'f32', ['batch']) : undefined;
  const imageIds = graph.input('img_ids', 'i32', ['img', config.ropeAxes.length]);
  const textIds = graph.input('txt_ids', 'i32', ['txt', config.ropeAxes.length]);

  const weights = new ComponentWeights(graph, 'transformer', dtypes);
  const context = { weights, config };
  return transformerBody(context, {
    image: embedLatents(context, latents),
    text: embedPrompt(context, prompt),
    embedding: embedTime(weights, config, time, guidance),
    ropes: buildJointRope(config, textIds, imageIds),
    outputTokens: latents.size(1),
    ...(onBlock && { onBlock }),
  });
}
