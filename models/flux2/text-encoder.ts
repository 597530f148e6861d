/** The language models whose hidden states are the prompt embedding: Mistral Small 3 (dev) and Qwen3 (klein). */
import { Flux2cError } from '../../ir/diagnostics.js';
import type { ModuleGraph, Tensor } from '../../frontend/index.js';
import {
  add,
  attention,
  cast,
  concat,
  gather,
  less,
  linear,
  mul,
  reshape,
  rmsNorm,
  rope,
  ropeTable,
  silu,
  transpose,
} from '../../frontend/index.js';
import type { TextEncoderConfig } from './config.js';
import { ComponentWeights, type WeightDTypes } from './weights.js';

export interface TextEncoderOptions {
  /** Which hidden states are joined: 0 is the embedding, n the state after n layers. */
  readonly layers: readonly number[];
}

interface LayerContext {
  readonly weights: ComponentWeights;
  readonly config: TextEncoderConfig;
  /** Positions count from the first token, padding included. */
  readonly cos: Tensor<'f32', 2>;
  readonly sin: Tensor<'f32', 2>;
  /** bool[batch, txt], false for padding. */
  readonly mask: Tensor<'bool', 2>;
}

/**
 * Adds the function `text_encoder`:
 *
 *     (input_ids i32[batch, txt], attention_mask i32[batch, txt]: 1 for tokens, 0 for padding)
 *     -> prompt_embeds f32[batch, txt, layers · hidden], the chosen hidden states side by side for every token
 *
 * Attention is causal and does not see padding; a padding token with nothing to see attends to nothing and gets 0.
 * Layers after the last chosen state are not built. F2C652 when there is no such hidden state.
 */
export function addTextEncoder(
  module: ModuleGraph,
  config: TextEncoderConfig,
  options: TextEncoderOptions,
  dtypes: WeightDTypes,
): void {
  const needed = countNeededLayers(config, options.layers);
  const graph = module.function('text_encoder');
  const ids = graph.input('input_ids', 'i32', ['batch', 'txt']);
  const paddingMask = graph.input('attention_mask', 'i32', ['batch', 'txt']);
  const weights = new ComponentWeights(graph, 'text_encoder', dtypes);
  const [cos, sin] = ropeTable(reshape(graph.iota('txt'), ['txt', 1]), {
    theta: config.ropeTheta,
    axisSizes: [config.headDim],
  });
  const context: LayerContext = { weights, config, cos, sin, mask: less(0, paddingMask) };

  const table = weights.get('model.embed_tokens.weight', [config.vocabularySize, config.hidden]);
  const states: Tensor<'f32', 3>[] = [cast(gather(table, ids), 'f32')];
  for (let index = 0; index < needed; index++) {
    const state = graph.scope(`layer.${index}`, () => applyLayer(context, index, states[index] as Tensor<'f32', 3>));
    states.push(state);
  }
  graph.output({
    prompt_embeds: concat(
      options.layers.map((layer) => states[layer] as Tensor<'f32', 3>),
      2,
    ),
  });
}

/**
 * Names of weights that a text encoder has and `addTextEncoder` does not use: the layers after the last chosen state,
 * the final norm and the output head. For strict loading, beside the vision tower's.
 */
export function unusedTextEncoderWeights(config: TextEncoderConfig, layers: readonly number[]): readonly RegExp[] {
  const needed = countNeededLayers(config, layers);
  const rest = Array.from({ length: config.layers - needed }, (_, index) => needed + index);
  return [/^model\.norm\.weight$/, /^lm_head\.weight$/, new RegExp(`^model\\.layers\\.(?:${rest.join('|')})\\.`)];
}

/** The state after the last layer is left out: transformers returns it after the final norm, and no model uses it. */
function countNeededLayers(config: TextEncoderConfig, layers: readonly number[]): number {
  const fits =
    layers.length > 0 && layers.every((layer) => Number.isInteger(layer) && layer >= 0 && layer < config.layers);
  if (!fits) {
    throw new Flux2cError('F2C652', 'the text encoder has no such hidden states', {
      expected: `numbers from 0 to ${config.layers - 1}, at least one`,
      found: `[${layers.join(', ')}]`,
    });
  }
  return Math.max(...layers);
}

function applyLayer(context: LayerContext, index: number, state: Tensor<'f32', 3>): Tensor<'f32', 3> {
  const { weights, config } = context;
  const { hidden, intermediate } = config;
  const path = `model.layers.${index}`;
  const normalize = (x: Tensor<'f32', 3>, norm: string): Tensor<'f32', 3> =>
    rmsNorm(x, weights.get(`${path}.${norm}.weight`, [hidden]), { eps: config.rmsNormEps });
  const between = add(state, attend(context, `${path}.self_attn`, normalize(state, 'input_layernorm')));
  const normalized = normalize(between, 'post_attention_layernorm');
  const gate = linear(normalized, weights.matrix(`${path}.mlp.gate_proj`, intermediate, hidden));
  const up = linear(normalized, weights.matrix(`${path}.mlp.up_proj`, intermediate, hidden));
  return add(between, linear(mul(silu(gate), up), weights.matrix(`${path}.mlp.down_proj`, hidden, intermediate)));
}

function attend(context: LayerContext, path: string, x: Tensor<'f32', 3>): Tensor<'f32', 3> {
  const { weights, config } = context;
  const { hidden, heads, keyValueHeads, headDim } = config;
  const project = (layer: string, count: number): Tensor<'f32', 4> => {
    const projected = linear(x, weights.matrix(`${path}.${layer}`, count * headDim, hidden));
    return reshape(projected, [x.size(0), x.size(1), count, headDim]);
  };
  const rotate = (projected: Tensor<'f32', 4>, norm: string): Tensor<'f32', 4> => {
    const normalized = config.queryKeyNorm
      ? rmsNorm(projected, weights.get(`${path}.${norm}.weight`, [headDim]), { eps: config.rmsNormEps })
      : projected;
    return rope(normalized, context.cos, context.sin, { style: 'half' });
  };
  const byHead = (projected: Tensor<'f32', 4>): Tensor<'f32', 4> => transpose(projected, [0, 2, 1, 3]);
  const attended = attention(
    byHead(rotate(project('q_proj', heads), 'q_norm')),
    byHead(rotate(project('k_proj', keyValueHeads), 'k_norm')),
    byHead(project('v_proj', keyValueHeads)),
    { causal: true, mask: context.mask },
  );
  const joined = reshape(transpose(attended, [0, 2, 1, 3]), [x.size(0), x.size(1), heads * headDim]);
  return linear(joined, weights.matrix(`${path}.o_proj`, hidden, heads * headDim));
}
