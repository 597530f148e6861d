/**
 * Reference pictures that are run once (klein 9b-kv): their tokens attend to themselves only and are modulated as at
 * time 0, so nothing about them depends on the image, the prompt or the step. The other tokens attend to their keys and
 * values. diffusers runs them together with the first step; apart, every step is the same program and the pass over
 * the references is out of the loop.
 */
import type { DimLike } from '../../ir/dim.js';
import type { FunctionGraph, ModuleGraph, Tensor } from '../../frontend/index.js';
import type { TransformerConfig } from './config.js';
import { embedLatents, embedPrompt, type ReferenceCache, transformerBody } from './transformer.js';
import { applyReferenceDoubleBlock, applySingleBlock, type BlockContext, type KeyValue } from './transformer-blocks.js';
import {
  buildJointRope,
  buildRopeTable,
  embedTime,
  modulateSingle,
  modulateStream,
} from './transformer-conditioning.js';
import { ComponentWeights, type WeightDTypes } from './weights.js';

/**
 * Keys and values of the reference tokens in every block.
 * @param latents f32[batch, ref, inChannels]
 * @param ids i32[ref, 4]
 * @param guidance f32[1] or f32[batch], for networks with a guidance embedding
 */
export function buildReferenceCache(
  context: BlockContext,
  latents: Tensor<'f32', 3>,
  ids: Tensor<'i32', 2>,
  guidance?: Tensor<'f32', 1>,
): ReferenceCache {
  const { weights, config } = context;
  const { graph } = weights;
  const embedding = embedTime(weights, config, graph.constant('f32', [1], 0), guidance);
  const modulation = modulateStream(weights, config, 'img', embedding);
  const singleModulation = modulateSingle(weights, config, embedding);
  const ropes = buildRopeTable(config, ids);
  let tokens = embedLatents(context, latents);
  const double = countUp(config.doubleBlocks).map((index) => {
    const block = graph.scope(`reference.double.${index}`, () =>
      applyReferenceDoubleBlock(context, index, tokens, modulation, ropes),
    );
    tokens = block.tokens;
    return block.cache;
  });
  const single = countUp(config.singleBlocks).map((index) => {
    const block = graph.scope(`reference.single.${index}`, () =>
      applySingleBlock(context, index, tokens, singleModulation, ropes),
    );
    tokens = block.tokens;
    return block.cache;
  });
  return { double, single };
}

/**
 * Adds the function `transformer_extract`: a pass with references that also returns their keys and values.
 *
 *     (hidden_states f32[batch, img, inChannels], reference_hidden_states f32[batch, ref, inChannels],
 *      encoder_hidden_states f32[batch, txt, textWidth], timestep f32[batch], guidance f32[batch] with a guidance
 *      embedding, img_ids i32[img, 4], ref_ids i32[ref, 4], txt_ids i32[txt, 4])
 *     -> sample f32[batch, img, outChannels]; for every block double.N.k_ref, double.N.v_ref, single.N.k_ref,
 *        single.N.v_ref f32[batch, ref, heads, headDim]
 */
export function addTransformerExtract(module: ModuleGraph, config: TransformerConfig, dtypes: WeightDTypes): void {
  const graph = module.function('transformer_extract');
  const latents = graph.input('hidden_states', 'f32', ['batch', 'img', config.inChannels]);
  const references = graph.input('reference_hidden_states', 'f32', ['batch', 'ref', config.inChannels]);
  const pass = declarePass(graph, config);
  const referenceIds = graph.input('ref_ids', 'i32', ['ref', config.ropeAxes.length]);

  const context = { weights: new ComponentWeights(graph, 'transformer', dtypes), config };
  const cache = buildReferenceCache(context, references, referenceIds, pass.guidance);
  graph.output({ sample: runPass(context, latents, pass, cache), ...nameCache(cache) });
}

/**
 * Adds the function `transformer_cached`: a pass without reference tokens. Takes what `transformer_extract` takes but
 * for `reference_hidden_states` and `ref_ids`, and in their place the keys and values under the names it returns;
 * gives `sample` only.
 */
export function addTransformerCached(module: ModuleGraph, config: TransformerConfig, dtypes: WeightDTypes): void {
  const graph = module.function('transformer_cached');
  const latents = graph.input('hidden_states', 'f32', ['batch', 'img', config.inChannels]);
  const pass = declarePass(graph, config);
  const shape = ['batch', 'ref', config.heads, config.headDim] as const satisfies readonly DimLike[];
  const inputOf = (name: string): KeyValue => ({
    key: graph.input(`${name}.k_ref`, 'f32', shape),
    value: graph.input(`${name}.v_ref`, 'f32', shape),
  });
  const cache = {
    double: countUp(config.doubleBlocks).map((index) => inputOf(`double.${index}`)),
    single: countUp(config.singleBlocks).map((index) => inputOf(`single.${index}`)),
  };

  const context = { weights: new ComponentWeights(graph, 'transformer', dtypes), config };
  graph.output({ sample: runPass(context, latents, pass, cache) });
}

interface PassInputs {
  readonly prompt: Tensor<'f32', 3>;
  readonly time: Tensor<'f32', 1>;
  readonly guidance: Tensor<'f32', 1> | undefined;
  readonly imageIds: Tensor<'i32', 2>;
  readonly textIds: Tensor<'i32', 2>;
}

function declarePass(graph: FunctionGraph, config: TransformerConfig): PassInputs {
  return {
    prompt: graph.input('encoder_hidden_states', 'f32', ['batch', 'txt', config.textWidth]),
    time: graph.input('timestep', 'f32', ['batch']),
    guidance: config.guidanceEmbeds ? graph.input('guidance', 'f32', ['batch']) : undefined,
    imageIds: graph.input('img_ids', 'i32', ['img', config.ropeAxes.length]),
    textIds: graph.input('txt_ids', 'i32', ['txt', config.ropeAxes.length]),
  };
}

function runPass(
  context: BlockContext,
  latents: Tensor<'f32', 3>,
  { prompt, time, guidance, imageIds, textIds }: PassInputs,
  references: ReferenceCache,
): Tensor<'f32', 3> {
  const { weights, config } = context;
  return transformerBody(context, {
    image: embedLatents(context, latents),
    text: embedPrompt(context, prompt),
    embedding: embedTime(weights, config, time, guidance),
    ropes: buildJointRope(config, textIds, imageIds),
    outputTokens: latents.size(1),
    references,
  });
}

function nameCache({ double, single }: ReferenceCache): Readonly<Record<string, Tensor>> {
  const named: [string, Tensor][] = [];
  for (const [kind, blocks] of Object.entries({ double, single })) {
    blocks.forEach(({ key, value }, index) => {
      named.push([`${kind}.${index}.k_ref`, key], [`${kind}.${index}.v_ref`, value]);
    });
  }
  return Object.fromEntries(named);
}

function countUp(count: number): readonly number[] {
  return Array.from({ length: count }, (_, index) => index);
}
