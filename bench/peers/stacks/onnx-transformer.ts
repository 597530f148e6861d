/**
 * FLUX.2's transformer as an ONNX graph, with onnxruntime's operators where it has fused ones: rotary embedding, norms
 * with the modulation as their scale and shift, and, if asked for, attention.
 */
import type { TransformerConfig } from '../../../models/flux2/config.js';
import { permute } from '../permute.js';
import type { TransformerTables, WorkData } from '../work-data.js';
import type { TransformerWork } from '../works.js';
import type { OnnxBuilder, OnnxName } from './onnx-builder.js';
import { attendFused, attendPlainly } from './onnx-attention.js';

interface Modulation {
  readonly shift: OnnxName;
  /** 1 + scale. */
  readonly factor: OnnxName;
  readonly gate: OnnxName;
}

/** Queries, keys and values [1, tokens, hidden] of some tokens. */
type Projected = readonly [OnnxName, OnnxName, OnnxName];

export class OnnxTransformer {
  private readonly hidden: number;
  private readonly one: OnnxName;

  constructor(
    private readonly builder: OnnxBuilder,
    private readonly work: TransformerWork,
    private readonly config: TransformerConfig,
    private readonly data: WorkData,
    private readonly tables: TransformerTables,
    private readonly fused: boolean,
  ) {
    this.hidden = config.hidden;
    this.one = builder.scalar(1);
  }

  /** Inputs `latents`, `prompt` and `wave`; gives the name of the result [1, image tokens, channels]. */
  build(): OnnxName {
    const { builder, config, work, hidden } = this;
    const { imageTokens, textTokens } = work;
    const latents = builder.input('latents', [1, imageTokens, config.inChannels]);
    const prompt = builder.input('prompt', [1, textTokens, config.textWidth]);
    const wave = builder.input('wave', [1, config.timestepChannels]);
    const cos = this.addTables('cos', this.tables.cos);
    const sin = this.addTables('sin', this.tables.sin);
    const path = 'time_guidance_embed.timestep_embedder';
    // Every use of the embedding begins with a SiLU.
    const inner = this.silu(this.linear(wave, `${path}.linear_1`));
    const embedding = this.silu(this.linear(inner, `${path}.linear_2`));

    let image = this.linear(latents, 'x_embedder');
    let text = this.linear(prompt, 'context_embedder');
    const [imageAttention, imageFeed] = this.modulations(embedding, 'double_stream_modulation_img.linear', 2);
    const [textAttention, textFeed] = this.modulations(embedding, 'double_stream_modulation_txt.linear', 2);
    const [single] = this.modulations(embedding, 'single_stream_modulation.linear', 1);
    for (let index = 0; index < config.doubleBlocks; index++) {
      const block = `transformer_blocks.${index}`;
      const attention = `${block}.attn`;
      const names = { text: ['add_q_proj', 'add_k_proj', 'add_v_proj'], image: ['to_q', 'to_k', 'to_v'] } as const;
      const ofText = this.project(text, textAttention!, attention, names.text);
      const ofImage = this.project(image, imageAttention!, attention, names.image);
      const rotatedText = this.rotate(ofText, attention, 'norm_added_q', 'norm_added_k', cos.text, sin.text, textTokens); // prettier-ignore
      const rotatedImage = this.rotate(ofImage, attention, 'norm_q', 'norm_k', cos.image, sin.image, imageTokens);
      const joined = rotatedText.map((part, at) =>
        builder.node('Concat', [part, rotatedImage[at]!], { attributes: { axis: 1 } }),
      ) as unknown as Projected;
      const [fromText, fromImage] = builder.split(this.attend(joined), [textTokens, imageTokens], 1);
      text = this.finish(text, fromText!, textAttention!, textFeed!, `${attention}.to_add_out`, `${block}.ff_context`);
      image = this.finish(image, fromImage!, imageAttention!, imageFeed!, `${attention}.to_out.0`, `${block}.ff`);
    }
    let tokens = builder.node('Concat', [text, image], { attributes: { axis: 1 } });
    for (let index = 0; index < config.singleBlocks; index++) {
      const attention = `single_transformer_blocks.${index}.attn`;
      const wide = this.linear(this.normalize(tokens, single!), `${attention}.to_qkv_mlp_proj`);
      const sizes = [hidden, hidden, hidden, config.mlpHidden, config.mlpHidden];
      const [q, k, v, gate, up] = builder.split(wide, sizes, 2) as [string, string, string, string, string];
      const rotated = this.rotate([q, k, v], attention, 'norm_q', 'norm_k', cos.joint, sin.joint, textTokens + imageTokens); // prettier-ignore
      const product = builder.node('Mul', [this.silu(gate), up]);
      const both = builder.node('Concat', [this.attend(rotated), product], { attributes: { axis: 2 } });
      tokens = this.addGated(tokens, single!, this.linear(both, `${attention}.to_out`));
    }
    const [, last] = builder.split(tokens, [textTokens, imageTokens], 1);
    // Scale before shift, here only.
    const [scale, shift] = builder.split(this.linear(embedding, 'norm_out.linear'), [hidden, hidden], 1);
    const factor = builder.node('Add', [this.flat(scale!), this.one]);
    return this.linear(this.normalize(last!, { factor, shift: this.flat(shift!) }), 'proj_out');
  }

  /** x times a layer's weight, turned round to [inputs, outputs]. */
  private linear(x: OnnxName, layer: string): OnnxName {
    const weight = this.data.weights.get(`${layer}.weight`)!;
    const [outputs = 0, inputs = 0] = weight.shape;
    const turned = permute(weight.data as Float32Array | Uint16Array, [outputs, inputs], [1, 0]);
    return this.builder.node('MatMul', [x, this.builder.constant(`${layer}.weight`, [inputs, outputs], turned)]);
  }

  private silu(x: OnnxName): OnnxName {
    return this.builder.node('Mul', [x, this.builder.node('Sigmoid', [x])]);
  }

  private flat(x: OnnxName): OnnxName {
    return this.builder.reshape(x, [this.hidden]);
  }

  /** `count` modulations of one layer of the embedding. */
  private modulations(embedding: OnnxName, layer: string, count: number): Modulation[] {
    const sizes = new Array<number>(3 * count).fill(this.hidden);
    const parts = this.builder.split(this.linear(embedding, layer), sizes, 1).map((part) => this.flat(part));
    return Array.from({ length: count }, (_, at) => ({
      shift: parts[3 * at]!,
      factor: this.builder.node('Add', [parts[3 * at + 1]!, this.one]),
      gate: parts[3 * at + 2]!,
    }));
  }

  private normalize(tokens: OnnxName, { factor, shift }: Pick<Modulation, 'factor' | 'shift'>): OnnxName {
    const attributes = { axis: -1, epsilon: { float: this.config.eps } };
    return this.builder.node('LayerNormalization', [tokens, factor, shift], { attributes });
  }

  private project(
    tokens: OnnxName,
    modulation: Modulation,
    path: string,
    [q, k, v]: readonly [string, string, string],
  ): Projected {
    const normalized = this.normalize(tokens, modulation);
    return [
      this.linear(normalized, `${path}.${q}`),
      this.linear(normalized, `${path}.${k}`),
      this.linear(normalized, `${path}.${v}`),
    ];
  }

  /** RMS norm of the heads of queries and keys, then rotary embedding. */
  private rotate(
    [q, k, v]: Projected,
    path: string,
    queryNorm: string,
    keyNorm: string,
    cos: OnnxName,
    sin: OnnxName,
    tokens: number,
  ): Projected {
    const { builder, hidden, config } = this;
    const { heads, headDim } = config;
    const turn = (x: OnnxName, norm: string): OnnxName => {
      const name = `${path}.${norm}.weight`;
      const scale = builder.constant(name, [headDim], this.data.weights.get(name)!.data as Float32Array | Uint16Array);
      const apart = builder.reshape(x, [1, tokens, heads, headDim]);
      const attributes = { axis: -1, epsilon: { float: config.eps } };
      const normalized = builder.node('SimplifiedLayerNormalization', [apart, scale], { attributes });
      const whole = builder.reshape(normalized, [1, tokens, hidden]);
      const start = builder.list([0]);
      return builder.node('RotaryEmbedding', [whole, start, cos, sin], {
        attributes: { interleaved: 1, num_heads: heads, rotary_embedding_dim: 0 },
        contributed: true,
      });
    };
    return [turn(q, queryNorm), turn(k, keyNorm), v];
  }

  /** [1, tokens, hidden] of queries, keys and values of all tokens. */
  private attend(operands: Projected): OnnxName {
    const { builder, work, hidden } = this;
    const { heads, headDim } = work;
    if (this.fused) return attendFused(builder, operands, heads);
    const tokens = work.textTokens + work.imageTokens;
    const apart = operands.map((x) =>
      builder.transpose(builder.reshape(x, [1, tokens, heads, headDim]), [0, 2, 1, 3]),
    ) as unknown as Projected;
    const attended = attendPlainly(builder, apart, headDim);
    return builder.reshape(builder.transpose(attended, [0, 2, 1, 3]), [1, tokens, hidden]);
  }

  /** What follows the attention of a double-stream block, for one stream. */
  private finish(
    tokens: OnnxName,
    attended: OnnxName,
    attention: Modulation,
    feedForward: Modulation,
    out: string,
    layers: string,
  ): OnnxName {
    const { builder, config } = this;
    const between = this.addGated(tokens, attention, this.linear(attended, out));
    const wide = this.linear(this.normalize(between, feedForward), `${layers}.linear_in`);
    const [gate, up] = builder.split(wide, [config.mlpHidden, config.mlpHidden], 2);
    const product = builder.node('Mul', [this.silu(gate!), up!]);
    return this.addGated(between, feedForward, this.linear(product, `${layers}.linear_out`));
  }

  private addGated(tokens: OnnxName, { gate }: Modulation, branch: OnnxName): OnnxName {
    return this.builder.node('Add', [tokens, this.builder.node('Mul', [gate, branch])]);
  }

  /** Rotary tables [tokens, headDim / 2] of all tokens and of the streams: text comes first. */
  private addTables(name: string, values: Float32Array): Readonly<Record<'joint' | 'text' | 'image', OnnxName>> {
    const { textTokens, imageTokens, headDim } = this.work;
    const half = headDim / 2;
    const add = (part: string, from: number, tokens: number): OnnxName =>
      this.builder.constant(`${name}_${part}`, [tokens, half], values.slice(from * half, (from + tokens) * half));
    return {
      joint: add('joint', 0, textTokens + imageTokens),
      text: add('text', 0, textTokens),
      image: add('image', textTokens, imageTokens),
    };
  }
}
