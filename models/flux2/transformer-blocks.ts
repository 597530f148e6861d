/** The two kinds of transformer blocks. Tokens are f32[batch, tokens, H]: the residual stream stays f32. */
import type { Tensor } from '../../frontend/index.js';
import {
  add,
  attention,
  concat,
  linear,
  mul,
  reshape,
  rmsNorm,
  rope,
  silu,
  split,
  transpose,
} from '../../frontend/index.js';
import type { TransformerConfig } from './config.js';
import type { JointRope, Modulation, RopeTable, StreamModulation } from './transformer-conditioning.js';
import { normalizeModulated } from './transformer-conditioning.js';
import type { ComponentWeights } from './weights.js';

/** Keys, normalised and rotated, and values of some tokens: f32[batch, tokens, heads, headDim] each. */
export interface KeyValue {
  readonly key: Tensor<'f32', 4>;
  readonly value: Tensor<'f32', 4>;
}

interface Projected extends KeyValue {
  readonly query: Tensor<'f32', 4>;
}

export interface BlockContext {
  readonly weights: ComponentWeights;
  readonly config: TransformerConfig;
}

export interface Streams {
  readonly text: Tensor<'f32', 3>;
  readonly image: Tensor<'f32', 3>;
}

/** Layers of one stream of a double-stream block, below `transformer_blocks.N`. */
interface StreamLayers {
  readonly query: string;
  readonly key: string;
  readonly value: string;
  readonly queryNorm: string;
  readonly keyNorm: string;
  readonly out: string;
  readonly feedForward: string;
}

const imageLayers: StreamLayers = {
  query: 'attn.to_q',
  key: 'attn.to_k',
  value: 'attn.to_v',
  queryNorm: 'attn.norm_q',
  keyNorm: 'attn.norm_k',
  out: 'attn.to_out.0',
  feedForward: 'ff',
};

const textLayers: StreamLayers = {
  query: 'attn.add_q_proj',
  key: 'attn.add_k_proj',
  value: 'attn.add_v_proj',
  queryNorm: 'attn.norm_added_q',
  keyNorm: 'attn.norm_added_k',
  out: 'attn.to_add_out',
  feedForward: 'ff_context',
};

/**
 * A double-stream block: own weights for text and image, attention over both. `references` are keys and values that
 * both streams attend to besides their own.
 */
export function applyDoubleBlock(
  context: BlockContext,
  index: number,
  { text, image }: Streams,
  modulations: { readonly text: StreamModulation; readonly image: StreamModulation },
  ropes: JointRope,
  references?: KeyValue,
): Streams {
  const path = `transformer_blocks.${index}`;
  const fromText = projectStream(context, path, textLayers, text, modulations.text.attention, ropes.text);
  const fromImage = projectStream(context, path, imageLayers, image, modulations.image.attention, ropes.image);
  const [textAttended, imageAttended] = split(
    attendJointly(context.config, [fromText, fromImage], references === undefined ? [] : [references]),
    1,
    [text.size(1), image.size(1)],
  );
  return {
    text: finishStream(context, path, textLayers, text, textAttended, modulations.text),
    image: finishStream(context, path, imageLayers, image, imageAttended, modulations.image),
  };
}

/**
 * The image stream of a double-stream block alone: reference tokens that attend to nothing but themselves, and what
 * other tokens need to attend to them.
 */
export function applyReferenceDoubleBlock(
  context: BlockContext,
  index: number,
  tokens: Tensor<'f32', 3>,
  modulation: StreamModulation,
  ropes: RopeTable,
): { readonly tokens: Tensor<'f32', 3>; readonly cache: KeyValue } {
  const path = `transformer_blocks.${index}`;
  const projected = projectStream(context, path, imageLayers, tokens, modulation.attention, ropes);
  const attended = attendJointly(context.config, [projected], []);
  return { tokens: finishStream(context, path, imageLayers, tokens, attended, modulation), cache: projected };
}

/**
 * A single-stream block: attention and MLP side by side between one projection in and one out. All tokens attend to
 * all, and to `references` when given. Also returns the tokens' own keys and values.
 */
export function applySingleBlock(
  { weights, config }: BlockContext,
  index: number,
  tokens: Tensor<'f32', 3>,
  modulation: Modulation,
  ropes: RopeTable,
  references?: KeyValue,
): { readonly tokens: Tensor<'f32', 3>; readonly cache: KeyValue } {
  const { hidden, mlpHidden } = config;
  const path = `single_transformer_blocks.${index}.attn`;
  const normalized = normalizeModulated(config, tokens, modulation);
  const fused = linear(normalized, weights.matrix(`${path}.to_qkv_mlp_proj`, 3 * hidden + 2 * mlpHidden, hidden));
  const [query, key, value, gate, up] = split(fused, 2, [hidden, hidden, hidden, mlpHidden, mlpHidden]);
  const projected: Projected = {
    query: rotateHeads({ weights, config }, query, `${path}.norm_q`, ropes),
    key: rotateHeads({ weights, config }, key, `${path}.norm_k`, ropes),
    value: splitHeads(config, value),
  };
  const attended = attendJointly(config, [projected], references === undefined ? [] : [references]);
  const joined = concat([attended, mul(silu(gate), up)], 2);
  const out = linear(joined, weights.matrix(`${path}.to_out`, hidden, hidden + mlpHidden));
  return { tokens: addGated(tokens, modulation, out), cache: projected };
}

function projectStream(
  context: BlockContext,
  path: string,
  layers: StreamLayers,
  tokens: Tensor<'f32', 3>,
  modulation: Modulation,
  ropes: RopeTable,
): Projected {
  const { weights, config } = context;
  const normalized = normalizeModulated(config, tokens, modulation);
  const project = (layer: string): Tensor<'f32', 3> =>
    linear(normalized, weights.matrix(`${path}.${layer}`, config.hidden, config.hidden));
  return {
    query: rotateHeads(context, project(layers.query), `${path}.${layers.queryNorm}`, ropes),
    key: rotateHeads(context, project(layers.key), `${path}.${layers.keyNorm}`, ropes),
    value: splitHeads(config, project(layers.value)),
  };
}

function finishStream(
  { weights, config }: BlockContext,
  path: string,
  layers: StreamLayers,
  tokens: Tensor<'f32', 3>,
  attended: Tensor<'f32', 3>,
  modulation: StreamModulation,
): Tensor<'f32', 3> {
  const { hidden, mlpHidden } = config;
  const projected = linear(attended, weights.matrix(`${path}.${layers.out}`, hidden, hidden));
  const between = addGated(tokens, modulation.attention, projected);
  const normalized = normalizeModulated(config, between, modulation.feedForward);
  const wide = linear(normalized, weights.matrix(`${path}.${layers.feedForward}.linear_in`, 2 * mlpHidden, hidden));
  const [gate, up] = split(wide, 2, [mlpHidden, mlpHidden]);
  const narrow = linear(
    mul(silu(gate), up),
    weights.matrix(`${path}.${layers.feedForward}.linear_out`, hidden, mlpHidden),
  );
  return addGated(between, modulation.feedForward, narrow);
}

function addGated(
  tokens: Tensor<'f32', 3>,
  { gate }: Pick<Modulation, 'gate'>,
  branch: Tensor<'f32', 3>,
): Tensor<'f32', 3> {
  return add(tokens, mul(gate, branch));
}

/** f32[batch, tokens, H] -> f32[batch, tokens, heads, headDim]. */
function splitHeads(config: TransformerConfig, x: Tensor<'f32', 3>): Tensor<'f32', 4> {
  return reshape(x, [x.size(0), x.size(1), config.heads, config.headDim]);
}

/** Heads with RMS norm and rotary embedding: of queries and keys. */
function rotateHeads(
  { weights, config }: BlockContext,
  x: Tensor<'f32', 3>,
  norm: string,
  { cos, sin }: RopeTable,
): Tensor<'f32', 4> {
  const scale = weights.get(`${norm}.weight`, [config.headDim]);
  return rope(rmsNorm(splitHeads(config, x), scale, { eps: config.eps }), cos, sin, { style: 'interleaved' });
}

/**
 * Every token of `parts`, in order, attends to every token of `parts` and of `more`.
 * @returns f32[batch, tokens, H]
 */
function attendJointly(
  config: TransformerConfig,
  parts: readonly Projected[],
  more: readonly KeyValue[],
): Tensor<'f32', 3> {
  const known: readonly KeyValue[] = [...parts, ...more];
  const attended = attention(
    joinHeads(parts.map((part) => part.query)),
    joinHeads(known.map((part) => part.key)),
    joinHeads(known.map((part) => part.value)),
  );
  const byToken = transpose(attended, [0, 2, 1, 3]);
  return reshape(byToken, [byToken.size(0), byToken.size(1), config.hidden]);
}

/** Parts f32[batch, tokens, heads, headDim], one after the other, as f32[batch, heads, tokens, headDim]. */
function joinHeads(parts: readonly Tensor<'f32', 4>[]): Tensor<'f32', 4> {
  const [first] = parts;
  return transpose(first !== undefined && parts.length === 1 ? first : concat(parts, 1), [0, 2, 1, 3]);
}
