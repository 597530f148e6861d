import { Flux2cError } from '../../ir/diagnostics.js';
import { checkStrict } from './check-strict.js';
import { countModules, divideExactly, measure } from './measure.js';
import type { WeightTable } from './names.js';

/** What the shapes of a FLUX.2 transformer's weights say about it. */
export interface TransformerDimensions {
  readonly hidden: number;
  readonly heads: number;
  readonly headDim: number;
  readonly doubleBlocks: number;
  readonly singleBlocks: number;
  /** Channels of a text token: three hidden states of the text encoder side by side. */
  readonly textWidth: number;
  readonly inChannels: number;
  readonly outChannels: number;
  /** Width of the sinusoidal embedding of timestep and guidance. */
  readonly timestepChannels: number;
  readonly guidanceEmbed: boolean;
  /** Width of the MLPs after SwiGLU, over `hidden`. */
  readonly mlpRatio: number;
}

const WHAT = 'a FLUX.2 transformer';
// dev has 8 and 48.
const MOST_BLOCKS = 1000;

/**
 * The dimensions of a transformer, from the shapes of its weights alone; all of them are checked against each other.
 * @param table as `canonicalizeTransformer` returns it
 * @throws Flux2cError F2C432 when the table is not that of a FLUX.2 transformer, F2C431 listing the weights that are
 * missing or contradict the dimensions
 */
export function detectTransformer(table: WeightTable): TransformerDimensions {
  const [hidden = 0, inChannels = 0] = measure(table, WHAT, 'x_embedder.weight', 2);
  const doubleBlocks = countModules(table, 'the double-stream blocks', /^transformer_blocks\.(\d+)\./, MOST_BLOCKS);
  const singleBlocks = countModules(
    table,
    'the single-stream blocks',
    /^single_transformer_blocks\.(\d+)\./,
    MOST_BLOCKS,
  );
  if (doubleBlocks + singleBlocks === 0) {
    throw new Flux2cError('F2C432', `these are not the weights of ${WHAT}`, {
      where: [table.source],
      expected: 'blocks called transformer_blocks.0 or double_blocks.0',
      found: 'none',
    });
  }
  const anyBlock = doubleBlocks > 0 ? 'transformer_blocks.0' : 'single_transformer_blocks.0';
  const [headDim = 0] = measure(table, WHAT, `${anyBlock}.attn.norm_q.weight`, 1);
  const mlpWidth =
    doubleBlocks > 0
      ? (measure(table, WHAT, 'transformer_blocks.0.ff.linear_out.weight', 2)[1] ?? 0)
      : (measure(table, WHAT, 'single_transformer_blocks.0.attn.to_out.weight', 2)[1] ?? 0) - hidden;
  if (mlpWidth <= 0) {
    throw new Flux2cError('F2C432', 'the shapes of the weights contradict each other', {
      where: [table.source, 'single_transformer_blocks.0.attn.to_out.weight'],
      expected: `more than ${hidden} columns: attention and MLP`,
      found: `${mlpWidth + hidden}`,
    });
  }
  const dimensions: TransformerDimensions = {
    hidden,
    heads: divideExactly(table, hidden, headDim, `hidden channels for heads of ${headDim}`),
    headDim,
    doubleBlocks,
    singleBlocks,
    textWidth: measure(table, WHAT, 'context_embedder.weight', 2)[1] ?? 0,
    inChannels,
    outChannels: measure(table, WHAT, 'proj_out.weight', 2)[0] ?? 0,
    timestepChannels: measure(table, WHAT, 'time_guidance_embed.timestep_embedder.linear_1.weight', 2)[1] ?? 0,
    guidanceEmbed: table.has('time_guidance_embed.guidance_embedder.linear_1.weight'),
    mlpRatio: mlpWidth / hidden,
  };
  checkStrict(table, transformerWeightShapes(dimensions), [/^/]);
  return dimensions;
}

/** Every weight of a FLUX.2 transformer with its shape: linear weights are `[out, in]`, there are no biases. */
export function transformerWeightShapes(dimensions: TransformerDimensions): ReadonlyMap<string, readonly number[]> {
  const { hidden: H, headDim, textWidth, inChannels, outChannels, timestepChannels } = dimensions;
  const mlp = Math.round(H * dimensions.mlpRatio);
  const shapes = new Map<string, readonly number[]>([
    ['x_embedder.weight', [H, inChannels]],
    ['context_embedder.weight', [H, textWidth]],
    ['double_stream_modulation_img.linear.weight', [6 * H, H]],
    ['double_stream_modulation_txt.linear.weight', [6 * H, H]],
    ['single_stream_modulation.linear.weight', [3 * H, H]],
    ['norm_out.linear.weight', [2 * H, H]],
    ['proj_out.weight', [outChannels, H]],
  ]);
  for (const embedder of dimensions.guidanceEmbed
    ? ['timestep_embedder', 'guidance_embedder']
    : ['timestep_embedder']) {
    shapes.set(`time_guidance_embed.${embedder}.linear_1.weight`, [H, timestepChannels]);
    shapes.set(`time_guidance_embed.${embedder}.linear_2.weight`, [H, H]);
  }
  for (let index = 0; index < dimensions.doubleBlocks; index++) {
    const block = `transformer_blocks.${index}`;
    for (const name of ['to_q', 'to_k', 'to_v', 'to_out.0', 'add_q_proj', 'add_k_proj', 'add_v_proj', 'to_add_out']) {
      shapes.set(`${block}.attn.${name}.weight`, [H, H]);
    }
    for (const name of ['norm_q', 'norm_k', 'norm_added_q', 'norm_added_k']) {
      shapes.set(`${block}.attn.${name}.weight`, [headDim]);
    }
    for (const name of ['ff', 'ff_context']) {
      shapes.set(`${block}.${name}.linear_in.weight`, [2 * mlp, H]);
      shapes.set(`${block}.${name}.linear_out.weight`, [H, mlp]);
    }
  }
  for (let index = 0; index < dimensions.singleBlocks; index++) {
    const attention = `single_transformer_blocks.${index}.attn`;
    shapes.set(`${attention}.norm_q.weight`, [headDim]);
    shapes.set(`${attention}.norm_k.weight`, [headDim]);
    shapes.set(`${attention}.to_qkv_mlp_proj.weight`, [3 * H + 2 * mlp, H]);
    shapes.set(`${attention}.to_out.weight`, [H, H + mlp]);
  }
  return shapes;
}
