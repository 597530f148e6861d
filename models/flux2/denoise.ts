/** The whole denoising loop as one function: what a pipeline runs between the text encoder and the decoder. */
import { Flux2cError } from '../../ir/diagnostics.js';
import type { Dim } from '../../ir/dim.js';
import type { FunctionGraph, ModuleGraph, Tensor } from '../../frontend/index.js';
import { add, concat, mul, slice, split, sub } from '../../frontend/index.js';
import type { TransformerConfig } from './config.js';
import { buildReferenceCache } from './reference-cache.js';
import { embedLatents, embedPrompt, type ReferenceCache, transformerBody } from './transformer.js';
import type { BlockContext } from './transformer-blocks.js';
import { buildJointRope, embedTime } from './transformer-conditioning.js';
import { ComponentWeights, type WeightDTypes } from './weights.js';

export interface DenoiseOptions {
  /** The guidance scale is an input: exactly for networks with a guidance embedding (F2C651 otherwise). */
  readonly guidance: boolean;
  /** Classifier-free guidance: every step runs the prompt and the negative prompt as one batch. */
  readonly cfg: boolean;
  /** Reference tokens take part in every step; their number may be 0 at run time. */
  readonly references: boolean;
}

/** The negative prompt and how far to go away from it. */
interface Negative {
  readonly prompt: Tensor<'f32', 3>;
  readonly scale: Tensor<'f32', 0>;
}

/** The function's parameters; `addDenoise` has their shapes. */
interface DenoiseInputs {
  readonly noise: Tensor<'f32', 3>;
  readonly prompt: Tensor<'f32', 3>;
  readonly negative: Negative | undefined;
  readonly references: { readonly latents: Tensor<'f32', 3>; readonly ids: Tensor<'i32', 2> } | undefined;
  readonly imageIds: Tensor<'i32', 2>;
  readonly textIds: Tensor<'i32', 2>;
  readonly timesteps: Tensor<'f32', 1>;
  readonly sigmaDeltas: Tensor<'f32', 1>;
  readonly guidance: Tensor<'f32', 1> | undefined;
}

/**
 * Adds the function `denoise`, or `denoise_cfg` with classifier-free guidance: x += (σ' − σ)·v for every step.
 *
 *     (noise f32[batch, img, inChannels], prompt_embeds f32[batch, txt, textWidth],
 *      cfg: negative_prompt_embeds f32[batch, txt, textWidth], cfg_scale f32[],
 *      references: reference_latents f32[batch, ref, inChannels], img_ids i32[img, 4], references: ref_ids i32[ref, 4],
 *      txt_ids i32[txt, 4], timesteps f32[steps], sigma_deltas f32[steps], guidance: guidance f32[1])
 *     -> latents f32[batch, img, inChannels]
 *
 * `timesteps` are the noise levels σ in 0..1 that the network sees, `sigma_deltas` the (negative) steps between them.
 */
export function addDenoise(
  module: ModuleGraph,
  config: TransformerConfig,
  options: DenoiseOptions,
  dtypes: WeightDTypes,
): void {
  requireMatchingGuidance(config, options.guidance);
  const graph = module.function(options.cfg ? 'denoise_cfg' : 'denoise');
  const inputs = declareInputs(graph, config, options);
  const context = { weights: new ComponentWeights(graph, 'transformer', dtypes), config };
  const { references } = inputs;
  const referenceTokens = references === undefined ? undefined : embedLatents(context, references.latents);
  graph.output({ latents: runSteps(graph, context, inputs, { tokens: referenceTokens, cache: undefined }) });
}

/**
 * Adds the function `denoise_cached`: `denoise` with references that are run once, before the first step, as klein
 * 9b-kv was trained for. Inputs and results as of `denoise` with references.
 */
export function addDenoiseCached(module: ModuleGraph, config: TransformerConfig, dtypes: WeightDTypes): void {
  const graph = module.function('denoise_cached');
  const options = { guidance: config.guidanceEmbeds, cfg: false, references: true } as const;
  const { references, ...inputs } = declareInputs(graph, config, options);
  const context = { weights: new ComponentWeights(graph, 'transformer', dtypes), config };
  const cache = references && buildReferenceCache(context, references.latents, references.ids, inputs.guidance);
  graph.output({
    latents: runSteps(graph, context, { ...inputs, references: undefined }, { tokens: undefined, cache }),
  });
}

function requireMatchingGuidance(config: TransformerConfig, guidance: boolean): void {
  if (config.guidanceEmbeds === guidance) return;
  throw new Flux2cError('F2C651', 'the guidance input and the network do not match', {
    expected: config.guidanceEmbeds
      ? 'guidance: this network has a guidance embedding'
      : 'no guidance: this network has no guidance embedding',
    found: `guidance: ${guidance}`,
    hint: config.guidanceEmbeds ? 'Pass a guidance scale.' : 'Undistilled networks take classifier-free guidance.',
  });
}

function declareInputs(
  graph: FunctionGraph,
  config: TransformerConfig,
  { guidance, cfg, references }: DenoiseOptions,
): DenoiseInputs {
  const axes = config.ropeAxes.length;
  const noise = graph.input('noise', 'f32', ['batch', 'img', config.inChannels]);
  const prompt = graph.input('prompt_embeds', 'f32', ['batch', 'txt', config.textWidth]);
  const negative = cfg
    ? {
        prompt: graph.input('negative_prompt_embeds', 'f32', ['batch', 'txt', config.textWidth]),
        scale: graph.input('cfg_scale', 'f32', []),
      }
    : undefined;
  const latents = references ? graph.input('reference_latents', 'f32', ['batch', 'ref', config.inChannels]) : undefined;
  const imageIds = graph.input('img_ids', 'i32', ['img', axes]);
  return {
    noise,
    prompt,
    negative,
    references: latents && { latents, ids: graph.input('ref_ids', 'i32', ['ref', axes]) },
    imageIds,
    textIds: graph.input('txt_ids', 'i32', ['txt', axes]),
    timesteps: graph.input('timesteps', 'f32', ['steps']),
    sigmaDeltas: graph.input('sigma_deltas', 'f32', ['steps']),
    guidance: guidance ? graph.input('guidance', 'f32', [1]) : undefined,
  };
}

/** The loop. Reference tokens come embedded, so that their projection stays out of it. */
function runSteps(
  graph: FunctionGraph,
  context: BlockContext,
  inputs: DenoiseInputs,
  references: { readonly tokens: Tensor<'f32', 3> | undefined; readonly cache: ReferenceCache | undefined },
): Tensor<'f32', 3> {
  const { weights, config } = context;
  const { noise, negative } = inputs;
  const imageIds = inputs.references ? concat([inputs.imageIds, inputs.references.ids], 0) : inputs.imageIds;
  const ropes = buildJointRope(config, inputs.textIds, imageIds);
  const text = embedPrompt(context, negative ? concat([inputs.prompt, negative.prompt], 0) : inputs.prompt);
  const [latents] = graph.loop({ count: 'steps', symbol: 'step' }, [noise], ([current]) => {
    // One row whatever the batch: all of it is at the same time, and the rows of all steps can be made at once.
    const time = slice(inputs.timesteps, 0, 'step', 1);
    const own = embedLatents(context, current);
    const image = references.tokens === undefined ? own : concat([own, references.tokens], 1);
    const velocity = transformerBody(context, {
      image: negative ? concat([image, image], 0) : image,
      text,
      embedding: embedTime(weights, config, time, inputs.guidance),
      ropes,
      outputTokens: noise.size(1),
      ...(references.cache && { references: references.cache }),
    });
    const guided = negative ? guide(velocity, negative, noise.size(0)) : velocity;
    return [add(current, mul(slice(inputs.sigmaDeltas, 0, 'step', 1), guided))];
  });
  return latents;
}

/** Classifier-free guidance: `velocity` is f32[2·batch, ...], first with the prompt, then with the negative one. */
function guide(velocity: Tensor<'f32', 3>, negative: Negative, batch: Dim): Tensor<'f32', 3> {
  const [withPrompt, without] = split(velocity, 0, [batch, batch]);
  return add(without, mul(negative.scale, sub(withPrompt, without)));
}
