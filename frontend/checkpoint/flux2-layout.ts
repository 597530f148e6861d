import type { Checkpoint, CheckpointTensor } from './checkpoint.js';
import { buildWeightTable, cutRows, type SliceRequest, type WeightTable } from './names.js';

/** Repacks of the single file put one of these before every name; diffusers' LoRA tools use the last. */
const PREFIXES = ['model.diffusion_model.', 'diffusion_model.', 'transformer.'];

// What follows a module's name and may be cut by rows together with the weight. Parameters of packed formats
// (`weight.absmax` …) are not among them: such weights must be unpacked before they are renamed.
const PARAMETER = /^(.*)\.(weight|bias|scale|weight_scale|scale_weight|input_scale|scale_input)$/;

type ModuleRule =
  | { readonly kind: 'rename'; readonly to: string }
  /** An RMSNorm's weight, which the single file calls `scale`. */
  | { readonly kind: 'norm'; readonly to: string }
  /** Equal row ranges, one for each name. */
  | { readonly kind: 'split'; readonly to: readonly string[] }
  /** (shift, scale) in the single file, (scale, shift) in diffusers. */
  | { readonly kind: 'swapHalves'; readonly to: string };

const rename = (to: string): ModuleRule => ({ kind: 'rename', to });
const norm = (to: string): ModuleRule => ({ kind: 'norm', to });

// Black Forest Labs' module names (left) and diffusers' (right).
const topRules: ReadonlyMap<string, ModuleRule> = new Map<string, ModuleRule>([
  ['img_in', rename('x_embedder')],
  ['txt_in', rename('context_embedder')],
  ['time_in.in_layer', rename('time_guidance_embed.timestep_embedder.linear_1')],
  ['time_in.out_layer', rename('time_guidance_embed.timestep_embedder.linear_2')],
  ['guidance_in.in_layer', rename('time_guidance_embed.guidance_embedder.linear_1')],
  ['guidance_in.out_layer', rename('time_guidance_embed.guidance_embedder.linear_2')],
  ['double_stream_modulation_img.lin', rename('double_stream_modulation_img.linear')],
  ['double_stream_modulation_txt.lin', rename('double_stream_modulation_txt.linear')],
  ['single_stream_modulation.lin', rename('single_stream_modulation.linear')],
  ['final_layer.linear', rename('proj_out')],
  ['final_layer.adaLN_modulation.1', { kind: 'swapHalves', to: 'norm_out.linear' }],
]);

const doubleBlockRules: ReadonlyMap<string, ModuleRule> = new Map<string, ModuleRule>([
  ['img_attn.qkv', { kind: 'split', to: ['attn.to_q', 'attn.to_k', 'attn.to_v'] }],
  ['txt_attn.qkv', { kind: 'split', to: ['attn.add_q_proj', 'attn.add_k_proj', 'attn.add_v_proj'] }],
  ['img_attn.norm.query_norm', norm('attn.norm_q')],
  ['img_attn.norm.key_norm', norm('attn.norm_k')],
  ['txt_attn.norm.query_norm', norm('attn.norm_added_q')],
  ['txt_attn.norm.key_norm', norm('attn.norm_added_k')],
  ['img_attn.proj', rename('attn.to_out.0')],
  ['txt_attn.proj', rename('attn.to_add_out')],
  ['img_mlp.0', rename('ff.linear_in')],
  ['img_mlp.2', rename('ff.linear_out')],
  ['txt_mlp.0', rename('ff_context.linear_in')],
  ['txt_mlp.2', rename('ff_context.linear_out')],
]);

const singleBlockRules: ReadonlyMap<string, ModuleRule> = new Map<string, ModuleRule>([
  ['linear1', rename('attn.to_qkv_mlp_proj')],
  ['linear2', rename('attn.to_out')],
  ['norm.query_norm', norm('attn.norm_q')],
  ['norm.key_norm', norm('attn.norm_k')],
]);

/**
 * The weights of a FLUX.2 transformer under diffusers' names. Reads both layouts: diffusers' own, and Black Forest
 * Labs' single file (fused q, k, v; final modulation the other way round; optional prefixes). Tensors that belong to
 * neither keep their names, so that `checkStrict` reports them.
 * @throws Flux2cError F2C430 when two tensors are the same weight or a fused weight cannot be cut
 */
export function canonicalizeTransformer(checkpoint: Checkpoint): WeightTable {
  return buildWeightTable(checkpoint.name, requestAll(checkpoint));
}

function* requestAll(checkpoint: Checkpoint): Generator<SliceRequest> {
  for (const [fullName, tensor] of checkpoint.tensors) {
    const prefix = PREFIXES.find((candidate) => fullName.startsWith(candidate)) ?? '';
    const name = fullName.slice(prefix.length);
    const [, module, parameter] = PARAMETER.exec(name) ?? [];
    const found = module === undefined ? undefined : findRule(module);
    if (found === undefined || parameter === undefined) yield { name, tensor };
    else yield* applyRule(found.rule, found.block, parameter, tensor);
  }
}

function findRule(module: string): { readonly block: string; readonly rule: ModuleRule } | undefined {
  const [, kind, index, inner] = /^(double|single)_blocks\.(\d+)\.(.+)$/.exec(module) ?? [];
  const rules = kind === undefined ? topRules : kind === 'double' ? doubleBlockRules : singleBlockRules;
  const rule = rules.get(inner ?? module);
  if (rule === undefined) return undefined;
  const blocks = kind === 'double' ? 'transformer_blocks' : 'single_transformer_blocks';
  return { block: kind === undefined ? '' : `${blocks}.${index}.`, rule };
}

function* applyRule(
  rule: ModuleRule,
  block: string,
  parameter: string,
  tensor: CheckpointTensor,
): Generator<SliceRequest> {
  switch (rule.kind) {
    case 'rename':
      yield { name: `${block}${rule.to}.${parameter}`, tensor };
      return;
    case 'norm':
      yield { name: `${block}${rule.to}.${parameter === 'scale' ? 'weight' : parameter}`, tensor };
      return;
    case 'split': {
      // A scale for the whole fused weight holds for each part.
      const ranges = isWhole(parameter, tensor) ? undefined : cutRows(tensor, rule.to.length);
      for (const [index, to] of rule.to.entries()) {
        const range = ranges?.[index];
        yield { name: `${block}${to}.${parameter}`, tensor, ...(range === undefined ? {} : { rows: [range] }) };
      }
      return;
    }
    case 'swapHalves': {
      const rows = isWhole(parameter, tensor) ? undefined : [...cutRows(tensor, 2)].reverse();
      yield { name: `${block}${rule.to}.${parameter}`, tensor, ...(rows === undefined ? {} : { rows }) };
      return;
    }
  }
}

/** A scale of one value belongs to all rows. */
function isWhole(parameter: string, tensor: CheckpointTensor): boolean {
  return parameter !== 'weight' && parameter !== 'bias' && tensor.shape.every((size) => size === 1);
}
