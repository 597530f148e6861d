/** Checkpoints as other programs pack them, made from ones of full precision. */
import { widenToF32 } from '../frontend/checkpoint/widen.js';
import { f32ToF16, f32ToF8e4m3 } from '../ir/dtype.js';
import { encodeRows } from '../ir/encode-rows.js';
import { parseEncoding } from '../ir/encoding.js';
import type { RawTensor, RawTensors } from './raw-files.js';

/** What takes the place of a matrix. */
export type PackMatrix = (name: string, tensor: RawTensor) => RawTensors;

/** Packs the matrices of a checkpoint whose rows are whole blocks, all or those of some names. */
export function packMatrices(tensors: RawTensors, pack: PackMatrix, isPacked: (name: string) => boolean): RawTensors {
  return new Map(
    [...tensors].flatMap(([name, tensor]) => {
      const fits = tensor.shape.length === 2 && tensor.shape[1]! % 64 === 0 && isPacked(name);
      return fits ? [...pack(name, tensor)] : [[name, tensor] as const];
    }),
  );
}

/** Blocks of 32 as `quantize_row_q8_0` of ggml makes them. */
export const packQ80: PackMatrix = (name, tensor) => {
  const values = valuesOf(tensor);
  const bytes = new Uint8Array((values.length / 32) * 34);
  const view = new DataView(bytes.buffer);
  for (let block = 0; block < values.length / 32; block++) {
    const numbers = values.subarray(block * 32, (block + 1) * 32);
    const scale = largestOf(numbers) / 127;
    view.setUint16(block * 34, f32ToF16(Math.fround(scale)), true);
    numbers.forEach((value, at) => view.setInt8(block * 34 + 2 + at, scale === 0 ? 0 : Math.round(value / scale)));
  }
  return new Map([[name, { type: 'Q8_0', shape: tensor.shape, bytes }]]);
};

/** bitsandbytes' NF4 in blocks of 64. */
export const packNf4: PackMatrix = (name, tensor) => {
  const [rows, columns] = tensor.shape as readonly [number, number];
  const encoding = parseEncoding('nf4:64');
  const fields = encodeRows(encoding, rows, columns, valuesOf(tensor));
  const codes = fields.get('codes')!.map((byte) => (byte << 4) | (byte >>> 4));
  const state = { quant_type: 'nf4', blocksize: 64, dtype: 'bfloat16', shape: tensor.shape };
  const json = new TextEncoder().encode(JSON.stringify(state));
  const map = Float32Array.from(encoding.code.kind === 'table' ? encoding.code.values : []);
  return new Map([
    [name, { type: 'U8', shape: [codes.length, 1], bytes: codes }],
    [`${name}.absmax`, { type: 'F32', shape: [(rows * columns) / 64], bytes: fields.get('scales')! }],
    [`${name}.quant_map`, { type: 'F32', shape: [16], bytes: new Uint8Array(map.buffer) }],
    [`${name}.quant_state.bitsandbytes__nf4`, { type: 'U8', shape: [json.length], bytes: json }],
  ]);
};

/** 8-bit floats with one scale for the tensor, which `spelling` names. */
export function packFp8(spelling: 'scale_weight' | 'weight_scale'): PackMatrix {
  return (name, tensor) => {
    const values = valuesOf(tensor);
    const scale = Math.fround(largestOf(values) / 448);
    const module = name.replace(/\.weight$/, '');
    return new Map([
      [name, { type: 'F8_E4M3', shape: tensor.shape, bytes: Uint8Array.from(values, (value) => f32ToF8e4m3(value / scale)) }],
      [`${module}.${spelling}`, { type: 'F32', shape: [], bytes: new Uint8Array(Float32Array.of(scale).buffer) }],
    ]); // prettier-ignore
  };
}

/** A transformer under Black Forest Labs' names, with fused projections. */
export function renameToBfl(tensors: RawTensors): RawTensors {
  const renamed = new Map<string, RawTensor>();
  for (const [name, tensor] of tensors) {
    const fused = /^(.*)\.attn\.(to_q|add_q_proj)\.weight$/.exec(name);
    if (fused?.[1] !== undefined) {
      const others = fused[2] === 'to_q' ? ['to_k', 'to_v'] : ['add_k_proj', 'add_v_proj'];
      const parts = [tensor, ...others.map((other) => tensors.get(`${fused[1]}.attn.${other}.weight`)!)];
      renamed.set(bflName(name), joinRows(parts));
    } else if (!/\.attn\.(to_[kv]|add_[kv]_proj)\.weight$/.test(name)) {
      renamed.set(bflName(name), name === 'norm_out.linear.weight' ? swapHalves(tensor) : tensor);
    }
  }
  return renamed;
}

const bflNames: readonly (readonly [RegExp, string])[] = [
  [/^x_embedder\./, 'img_in.'],
  [/^context_embedder\./, 'txt_in.'],
  [/^time_guidance_embed\.timestep_embedder\.linear_1\./, 'time_in.in_layer.'],
  [/^time_guidance_embed\.timestep_embedder\.linear_2\./, 'time_in.out_layer.'],
  [/^time_guidance_embed\.guidance_embedder\.linear_1\./, 'guidance_in.in_layer.'],
  [/^time_guidance_embed\.guidance_embedder\.linear_2\./, 'guidance_in.out_layer.'],
  [/^(\w+_modulation\w*)\.linear\./, '$1.lin.'],
  [/^proj_out\./, 'final_layer.linear.'],
  [/^norm_out\.linear\./, 'final_layer.adaLN_modulation.1.'],
  [/^transformer_blocks\.(\d+)\.attn\.to_q\./, 'double_blocks.$1.img_attn.qkv.'],
  [/^transformer_blocks\.(\d+)\.attn\.add_q_proj\./, 'double_blocks.$1.txt_attn.qkv.'],
  [/^transformer_blocks\.(\d+)\.attn\.norm_q\.weight/, 'double_blocks.$1.img_attn.norm.query_norm.scale'],
  [/^transformer_blocks\.(\d+)\.attn\.norm_k\.weight/, 'double_blocks.$1.img_attn.norm.key_norm.scale'],
  [/^transformer_blocks\.(\d+)\.attn\.norm_added_q\.weight/, 'double_blocks.$1.txt_attn.norm.query_norm.scale'],
  [/^transformer_blocks\.(\d+)\.attn\.norm_added_k\.weight/, 'double_blocks.$1.txt_attn.norm.key_norm.scale'],
  [/^transformer_blocks\.(\d+)\.attn\.to_out\.0\./, 'double_blocks.$1.img_attn.proj.'],
  [/^transformer_blocks\.(\d+)\.attn\.to_add_out\./, 'double_blocks.$1.txt_attn.proj.'],
  [/^transformer_blocks\.(\d+)\.ff\.linear_in\./, 'double_blocks.$1.img_mlp.0.'],
  [/^transformer_blocks\.(\d+)\.ff\.linear_out\./, 'double_blocks.$1.img_mlp.2.'],
  [/^transformer_blocks\.(\d+)\.ff_context\.linear_in\./, 'double_blocks.$1.txt_mlp.0.'],
  [/^transformer_blocks\.(\d+)\.ff_context\.linear_out\./, 'double_blocks.$1.txt_mlp.2.'],
  [/^single_transformer_blocks\.(\d+)\.attn\.to_qkv_mlp_proj\./, 'single_blocks.$1.linear1.'],
  [/^single_transformer_blocks\.(\d+)\.attn\.to_out\./, 'single_blocks.$1.linear2.'],
  [/^single_transformer_blocks\.(\d+)\.attn\.norm_q\.weight/, 'single_blocks.$1.norm.query_norm.scale'],
  [/^single_transformer_blocks\.(\d+)\.attn\.norm_k\.weight/, 'single_blocks.$1.norm.key_norm.scale'],
];

function bflName(name: string): string {
  const [pattern, replacement] = bflNames.find(([candidate]) => candidate.test(name))!;
  return name.replace(pattern, replacement);
}

const ggmlNames: Readonly<Record<string, string>> = {
  'model.embed_tokens': 'token_embd',
  'model.norm': 'output_norm',
  lm_head: 'output',
  input_layernorm: 'attn_norm',
  'self_attn.q_proj': 'attn_q',
  'self_attn.k_proj': 'attn_k',
  'self_attn.v_proj': 'attn_v',
  'self_attn.o_proj': 'attn_output',
  post_attention_layernorm: 'ffn_norm',
  'mlp.gate_proj': 'ffn_gate',
  'mlp.up_proj': 'ffn_up',
  'mlp.down_proj': 'ffn_down',
};

/** A Mistral under llama.cpp's names, with the rows of queries and keys as its converter orders them. */
export function renameToGgml(tensors: RawTensors, headDim: number): RawTensors {
  return new Map(
    [...tensors].map(([name, tensor]) => {
      const [, layer, module = ''] = /^(?:model\.layers\.(\d+)\.)?(.*)\.weight$/.exec(name) ?? [];
      const renamed = `${layer === undefined ? '' : `blk.${layer}.`}${ggmlNames[module]}.weight`;
      return [renamed, /attn_[qk]\./.test(renamed) ? turnHeads(tensor, headDim) : tensor];
    }),
  );
}

/** Row 2i + s of a head is row i + s · D/2 (`LlamaModel.permute`). */
function turnHeads(tensor: RawTensor, headDim: number): RawTensor {
  const rows = tensor.shape[0]!;
  const width = tensor.bytes.length / rows;
  const bytes = new Uint8Array(tensor.bytes.length);
  for (let row = 0; row < rows; row++) {
    const inner = row % headDim;
    const from = row - inner + (inner % 2) * (headDim / 2) + (inner >> 1);
    bytes.set(tensor.bytes.subarray(from * width, (from + 1) * width), row * width);
  }
  return { ...tensor, bytes };
}

function joinRows(parts: readonly RawTensor[]): RawTensor {
  const [first] = parts;
  const rows = parts.reduce((sum, { shape }) => sum + shape[0]!, 0);
  return { type: first!.type, shape: [rows, first!.shape[1]!], bytes: Buffer.concat(parts.map(({ bytes }) => bytes)) };
}

function swapHalves(tensor: RawTensor): RawTensor {
  const half = tensor.bytes.length / 2;
  return { ...tensor, bytes: Buffer.concat([tensor.bytes.subarray(half), tensor.bytes.subarray(0, half)]) };
}

function valuesOf({ type, bytes }: RawTensor): Float32Array {
  return widenToF32(bytes, type, ['test']);
}

function largestOf(values: Float32Array): number {
  return values.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
}
