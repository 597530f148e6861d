import type { Checkpoint } from './checkpoint.js';
import { buildWeightTable, type SliceRequest, type WeightTable } from './names.js';

/** What stands before `embed_tokens` and `layers` in the files of the wild, the most particular first. */
const PREFIXES = ['language_model.model.', 'model.language_model.', 'model.', ''];

/** llama.cpp's names of modules (left) and transformers' (right). */
const ggmlTop: ReadonlyMap<string, string> = new Map([
  ['token_embd', 'model.embed_tokens'],
  ['output_norm', 'model.norm'],
  ['output', 'lm_head'],
]);
const ggmlLayer: ReadonlyMap<string, string> = new Map([
  ['attn_norm', 'input_layernorm'],
  ['attn_q', 'self_attn.q_proj'],
  ['attn_k', 'self_attn.k_proj'],
  ['attn_v', 'self_attn.v_proj'],
  ['attn_output', 'self_attn.o_proj'],
  ['attn_q_norm', 'self_attn.q_norm'],
  ['attn_k_norm', 'self_attn.k_norm'],
  ['ffn_norm', 'post_attention_layernorm'],
  ['ffn_gate', 'mlp.gate_proj'],
  ['ffn_up', 'mlp.up_proj'],
  ['ffn_down', 'mlp.down_proj'],
]);

/** Tensors of a text encoder's file that text encoding does not use, under the names they have after renaming. */
export const ignorableTextEncoderTensors: readonly RegExp[] = [
  /(?:^|\.)(?:vision_tower|vision_encoder|vision_model|visual)\./,
  /(?:^|\.)(?:multi_modal_projector|patch_merger|vision_language_adapter)\./,
  /^lm_head\.weight$/,
  /\.rotary_emb\.inv_freq$/,
  // The tokenizer that some repacks carry as a tensor of bytes.
  /^(?:tekken_model|spiece_model)$/,
];

/**
 * The weights of a Mistral or Qwen3 text encoder under the names `model.embed_tokens.…`, `model.layers.N.…`,
 * `model.norm.…` and `lm_head.…`, whichever prefix the file uses, and from llama.cpp's names. Other tensors (the vision tower of Mistral 3) keep
 * their names; `ignorableTextEncoderTensors` matches those that may be left over.
 * @throws Flux2cError F2C430 when two tensors are the same weight
 */
export function canonicalizeTextEncoder(checkpoint: Checkpoint): WeightTable {
  const isGgml = checkpoint.tensors.has('token_embd.weight');
  const prefix = PREFIXES.find((candidate) => checkpoint.tensors.has(`${candidate}embed_tokens.weight`)) ?? 'model.';
  const requests = [...checkpoint.tensors.values()].map((tensor): SliceRequest => {
    return { name: isGgml ? renameGgml(tensor.name) : renameTextEncoder(tensor.name, prefix), tensor };
  });
  return buildWeightTable(checkpoint.name, requests);
}

function renameTextEncoder(name: string, prefix: string): string {
  if (/^(?:language_model\.)?lm_head\./.test(name)) return name.replace(/^language_model\./, '');
  if (!name.startsWith(prefix)) return name;
  const inner = name.slice(prefix.length);
  return /^(?:embed_tokens|layers|norm)\./.test(inner) ? `model.${inner}` : name;
}

function renameGgml(name: string): string {
  const [, layer, module = '', parameter] = /^(?:blk\.(\d+)\.)?(\w+)\.(weight|bias)$/.exec(name) ?? [];
  const renamed = layer === undefined ? ggmlTop.get(module) : ggmlLayer.get(module);
  if (renamed === undefined) return name;
  return layer === undefined ? `${renamed}.${parameter}` : `model.layers.${layer}.${renamed}.${parameter}`;
}
