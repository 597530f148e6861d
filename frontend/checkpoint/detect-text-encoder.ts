import { Flux2cError } from '../../ir/diagnostics.js';
import { checkStrict } from './check-strict.js';
import { countModules, divideExactly, measure } from './measure.js';
import type { WeightTable } from './names.js';

/** What the shapes of a Mistral or Qwen3 text encoder's weights say about it. */
export interface TextEncoderDimensions {
  readonly vocabulary: number;
  readonly hidden: number;
  readonly layers: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headDim: number;
  /** Width of the MLP. */
  readonly intermediate: number;
  /** Qwen3 normalises queries and keys per head, Mistral does not. */
  readonly queryKeyNorm: boolean;
}

const WHAT = 'a Mistral or Qwen3 text encoder';
// Mistral Small has 40.
const MOST_LAYERS = 1000;
const FINAL_NORM = 'model.norm.weight';

/**
 * The dimensions of a text encoder, from the shapes of its weights, which are all checked against each other.
 * @param table as `canonicalizeTextEncoder` returns it
 * @param config what shapes cannot say: Mistral has no weight per head, so its head width comes from `config.json`
 * @throws Flux2cError F2C432 when the table is not that of such a model or the head width is needed, F2C431 listing
 * the weights that are missing or contradict the dimensions
 */
export function detectTextEncoder(
  table: WeightTable,
  config: { readonly headDim?: number } = {},
): TextEncoderDimensions {
  const [vocabulary = 0, hidden = 0] = measure(table, WHAT, 'model.embed_tokens.weight', 2);
  const layer = 'model.layers.0';
  const [queryRows = 0] = measure(table, WHAT, `${layer}.self_attn.q_proj.weight`, 2);
  const [keyRows = 0] = measure(table, WHAT, `${layer}.self_attn.k_proj.weight`, 2);
  const [intermediate = 0] = measure(table, WHAT, `${layer}.mlp.gate_proj.weight`, 2);
  const queryKeyNorm = table.has(`${layer}.self_attn.q_norm.weight`);
  const measured = queryKeyNorm ? measure(table, WHAT, `${layer}.self_attn.q_norm.weight`, 1)[0] : undefined;
  const headDim = chooseHeadDim(table, measured, config.headDim);
  const dimensions: TextEncoderDimensions = {
    vocabulary,
    hidden,
    layers: countModules(table, 'the layers', /^model\.layers\.(\d+)\./, MOST_LAYERS),
    heads: divideExactly(table, queryRows, headDim, 'rows of q_proj'),
    keyValueHeads: divideExactly(table, keyRows, headDim, 'rows of k_proj'),
    headDim,
    intermediate,
    queryKeyNorm,
  };
  divideExactly(table, dimensions.heads, dimensions.keyValueHeads, 'query heads');
  const shapes = new Map(textEncoderWeightShapes(dimensions));
  // Files cut to the layers that prompt embeddings need have no final norm.
  if (!table.has(FINAL_NORM)) shapes.delete(FINAL_NORM);
  checkStrict(table, shapes, [/^/]);
  return dimensions;
}

function chooseHeadDim(table: WeightTable, measured: number | undefined, configured: number | undefined): number {
  const headDim = measured ?? configured;
  if (headDim !== undefined && headDim > 0 && (configured ?? headDim) === headDim) return headDim;
  throw new Flux2cError('F2C432', 'the width of an attention head is not known', {
    where: [table.source],
    expected: measured === undefined ? 'head_dim of config.json' : `head_dim ${measured}, as q_norm has`,
    found: configured === undefined ? 'no q_norm weight to take it from' : `${configured}`,
    hint: 'Keep config.json beside the weights: Mistral has no weight that shows it.',
  });
}

/**
 * The weights of the first `layers` layers (default: all) with their shapes; with all of them the final norm too.
 * Prompt embeddings are taken between layers, so the last layers of the encoder are often not needed.
 */
export function textEncoderWeightShapes(
  dimensions: TextEncoderDimensions,
  layers = dimensions.layers,
): ReadonlyMap<string, readonly number[]> {
  const { hidden, headDim, intermediate } = dimensions;
  const queryRows = dimensions.heads * headDim;
  const keyRows = dimensions.keyValueHeads * headDim;
  const shapes = new Map<string, readonly number[]>([['model.embed_tokens.weight', [dimensions.vocabulary, hidden]]]);
  for (let index = 0; index < layers; index++) {
    const layer = `model.layers.${index}`;
    shapes.set(`${layer}.input_layernorm.weight`, [hidden]);
    shapes.set(`${layer}.self_attn.q_proj.weight`, [queryRows, hidden]);
    shapes.set(`${layer}.self_attn.k_proj.weight`, [keyRows, hidden]);
    shapes.set(`${layer}.self_attn.v_proj.weight`, [keyRows, hidden]);
    shapes.set(`${layer}.self_attn.o_proj.weight`, [hidden, queryRows]);
    if (dimensions.queryKeyNorm) {
      shapes.set(`${layer}.self_attn.q_norm.weight`, [headDim]);
      shapes.set(`${layer}.self_attn.k_norm.weight`, [headDim]);
    }
    shapes.set(`${layer}.post_attention_layernorm.weight`, [hidden]);
    shapes.set(`${layer}.mlp.gate_proj.weight`, [intermediate, hidden]);
    shapes.set(`${layer}.mlp.up_proj.weight`, [intermediate, hidden]);
    shapes.set(`${layer}.mlp.down_proj.weight`, [hidden, intermediate]);
  }
  if (layers === dimensions.layers) shapes.set(FINAL_NORM, [hidden]);
  return shapes;
}

/** Patterns of the weights that an encoder cut after `layers` layers leaves over: the later layers and the final norm. */
export function laterLayerTensors(dimensions: TextEncoderDimensions, layers: number): readonly RegExp[] {
  const later = Array.from({ length: Math.max(0, dimensions.layers - layers) }, (_, index) => layers + index);
  return later.length === 0 ? [] : [new RegExp(`^model\\.layers\\.(?:${later.join('|')})\\.`), /^model\.norm\.weight$/];
}
