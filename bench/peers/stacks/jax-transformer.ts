/** FLUX.2's transformer in jax-js, for one picture: tensors without a batch axis. */
import type { TransformerConfig } from '../../../models/flux2/config.js';
import type { TransformerWork } from '../works.js';
import type { Jax, JaxArray, JaxTensors } from './jax-api.js';

interface Modulation {
  readonly shift: JaxArray;
  /** 1 + scale. */
  readonly factor: JaxArray;
  readonly gate: JaxArray;
}

type Projected = readonly [q: JaxArray, k: JaxArray, v: JaxArray];

interface Rotation {
  readonly cos: JaxArray;
  readonly sin: JaxArray;
}

/** Names of inputs beside those of weights: `latents`, `prompt`, `wave`, `cos` and `sin` [tokens, 1, headDim / 2]. */
export class JaxTransformer {
  constructor(
    private readonly jax: Jax,
    private readonly work: TransformerWork,
    private readonly config: TransformerConfig,
    private readonly tensors: JaxTensors,
  ) {}

  /** [image tokens, channels]. Every tensor that is not a temporary is used by `ref` and stays the caller's. */
  build(): JaxArray {
    const { jax, config, work } = this;
    const { textTokens } = work;
    const { numpy, nn } = jax;
    const path = 'time_guidance_embed.timestep_embedder';
    const inner = nn.silu(this.linear(this.get('wave'), `${path}.linear_1`));
    const embedding = nn.silu(this.linear(inner, `${path}.linear_2`));
    const [imageAttention, imageFeed] = this.modulations(embedding, 'double_stream_modulation_img.linear', 2);
    const [textAttention, textFeed] = this.modulations(embedding, 'double_stream_modulation_txt.linear', 2);
    const [single] = this.modulations(embedding, 'single_stream_modulation.linear', 1);
    const [textCos, imageCos] = numpy.split(this.get('cos'), [textTokens], 0);
    const [textSin, imageSin] = numpy.split(this.get('sin'), [textTokens], 0);
    const textTurn = { cos: textCos!, sin: textSin! };
    const imageTurn = { cos: imageCos!, sin: imageSin! };
    const jointTurn = { cos: this.tensors.cos!, sin: this.tensors.sin! };

    let image = this.linear(this.get('latents'), 'x_embedder');
    let text = this.linear(this.get('prompt'), 'context_embedder');
    for (let index = 0; index < config.doubleBlocks; index++) {
      const block = `transformer_blocks.${index}`;
      const layers = `${block}.attn`;
      const ofText = this.rotate(
        this.project(text, textAttention!, layers, ['add_q_proj', 'add_k_proj', 'add_v_proj']),
        [`${layers}.norm_added_q`, `${layers}.norm_added_k`],
        textTurn,
      );
      const ofImage = this.rotate(
        this.project(image, imageAttention!, layers, ['to_q', 'to_k', 'to_v']),
        [`${layers}.norm_q`, `${layers}.norm_k`],
        imageTurn,
      );
      const [q, k, v] = ofText.map((part, at) => numpy.concatenate([part, ofImage[at]!], 0));
      const [fromText, fromImage] = numpy.split(this.attend([q!, k!, v!]), [textTokens], 0);
      text = this.finish(text, fromText!, textAttention!, textFeed!, `${layers}.to_add_out`, `${block}.ff_context`);
      image = this.finish(image, fromImage!, imageAttention!, imageFeed!, `${layers}.to_out.0`, `${block}.ff`);
    }
    let tokens = numpy.concatenate([text, image], 0);
    for (let index = 0; index < config.singleBlocks; index++) {
      tokens = this.singleBlock(tokens, single!, `single_transformer_blocks.${index}.attn`, jointTurn);
    }
    const [textLast, imageLast] = numpy.split(tokens, [textTokens], 0);
    textLast!.dispose();
    // Scale before shift, here only.
    const [scale, shift] = numpy.split(this.linear(embedding, 'norm_out.linear'), 2, 1);
    const normalized = this.normalize(imageLast!, { factor: scale!.add(1), shift: shift! });
    return this.linear(normalized, 'proj_out');
  }

  private get(name: string): JaxArray {
    const tensor = this.tensors[name];
    if (tensor === undefined) throw new Error(`internal: the transformer has no tensor ${name}`);
    return tensor.ref;
  }

  private linear(x: JaxArray, layer: string): JaxArray {
    return this.jax.numpy.matmul(x, this.get(`${layer}.weight`));
  }

  private modulations(embedding: JaxArray, layer: string, count: number): Modulation[] {
    const parts = this.jax.numpy.split(this.linear(embedding.ref, layer), 3 * count, 1);
    return Array.from({ length: count }, (_, at) => ({
      shift: parts[3 * at]!,
      factor: parts[3 * at + 1]!.add(1),
      gate: parts[3 * at + 2]!,
    }));
  }

  private normalize(x: JaxArray, { factor, shift }: Pick<Modulation, 'factor' | 'shift'>): JaxArray {
    return this.jax.nn.standardize(x, -1, { epsilon: this.config.eps }).mul(factor.ref).add(shift.ref);
  }

  private project(
    x: JaxArray,
    modulation: Modulation,
    path: string,
    names: readonly [string, string, string],
  ): Projected {
    const normalized = this.normalize(x.ref, modulation);
    const [q, k, v] = names.map((name) => this.linear(normalized.ref, `${path}.${name}`));
    normalized.dispose();
    return [q!, k!, v!];
  }

  /** Splits into heads; RMS norm and rotary embedding of queries and keys. */
  private rotate([q, k, v]: Projected, [queryNorm, keyNorm]: readonly [string, string], turn: Rotation): Projected {
    return [this.turnHeads(q, queryNorm, turn), this.turnHeads(k, keyNorm, turn), this.splitHeads(v)];
  }

  private turnHeads(x: JaxArray, norm: string, { cos, sin }: Rotation): JaxArray {
    const { numpy } = this.jax;
    const { heads, headDim } = this.work;
    const tokens = x.shape[0]!;
    const apart = this.splitHeads(x);
    const size = numpy.sqrt(numpy.square(apart.ref).mean(-1, { keepdims: true }).add(this.config.eps));
    const normalized = apart.div(size).mul(this.get(`${norm}.weight`));
    const [even, odd] = numpy
      .split(normalized.reshape([tokens, heads, headDim / 2, 2]), 2, 3)
      .map((part) => part.reshape([tokens, heads, headDim / 2, 1]));
    const wide = (table: JaxArray): JaxArray => table.ref.reshape([tokens, 1, headDim / 2, 1]);
    const first = even!.ref.mul(wide(cos)).sub(odd!.ref.mul(wide(sin)));
    const second = even!.mul(wide(sin)).add(odd!.mul(wide(cos)));
    return numpy.concatenate([first, second], 3).reshape([tokens, heads, headDim]);
  }

  private splitHeads(x: JaxArray): JaxArray {
    return x.reshape([x.shape[0]!, this.work.heads, this.work.headDim]);
  }

  private attend([q, k, v]: Projected): JaxArray {
    const tokens = this.work.textTokens + this.work.imageTokens;
    return this.jax.nn.dotProductAttention(q, k, v).reshape([tokens, this.config.hidden]);
  }

  private singleBlock(tokens: JaxArray, modulation: Modulation, path: string, turn: Rotation): JaxArray {
    const { numpy, nn } = this.jax;
    const { hidden, mlpHidden } = this.config;
    const wide = this.linear(this.normalize(tokens.ref, modulation), `${path}.to_qkv_mlp_proj`);
    const [q, k, v, gate, up] = numpy.split(wide, [hidden, 2 * hidden, 3 * hidden, 3 * hidden + mlpHidden], 1);
    const attended = this.attend(this.rotate([q!, k!, v!], [`${path}.norm_q`, `${path}.norm_k`], turn));
    const both = numpy.concatenate([attended, nn.silu(gate!).mul(up!)], 1);
    return addGated(tokens, modulation, this.linear(both, `${path}.to_out`));
  }

  /** What follows the attention of a double-stream block, for one stream. */
  private finish(
    tokens: JaxArray,
    attended: JaxArray,
    attention: Modulation,
    feedForward: Modulation,
    out: string,
    layers: string,
  ): JaxArray {
    const { numpy, nn } = this.jax;
    const between = addGated(tokens, attention, this.linear(attended, out));
    const wide = this.linear(this.normalize(between.ref, feedForward), `${layers}.linear_in`);
    const [gate, up] = numpy.split(wide, 2, 1);
    return addGated(between, feedForward, this.linear(nn.silu(gate!).mul(up!), `${layers}.linear_out`));
  }
}

function addGated(tokens: JaxArray, { gate }: Modulation, branch: JaxArray): JaxArray {
  return tokens.add(gate.ref.mul(branch));
}
