import type { Checkpoint, CheckpointTensor } from './checkpoint.js';
import { buildWeightTable, type SliceRequest, type WeightTable } from './names.js';

/** Files that hold a whole pipeline put one of these before the autoencoder's names. */
const PREFIXES = ['first_stage_model.', 'vae.'];

/** Beginnings of module names inside `encoder.` and `decoder.`: Black Forest Labs' (left) and diffusers' (right). */
const innerRules: readonly (readonly [RegExp, string])[] = [
  [/^mid\.block_1\./, 'mid_block.resnets.0.'],
  [/^mid\.block_2\./, 'mid_block.resnets.1.'],
  [/^mid\.attn_1\.norm\./, 'mid_block.attentions.0.group_norm.'],
  [/^mid\.attn_1\.([qkv])\./, 'mid_block.attentions.0.to_$1.'],
  [/^mid\.attn_1\.proj_out\./, 'mid_block.attentions.0.to_out.0.'],
  [/^down\.(\d+)\.block\.(\d+)\./, 'down_blocks.$1.resnets.$2.'],
  [/^down\.(\d+)\.downsample\.conv\./, 'down_blocks.$1.downsamplers.0.conv.'],
  [/^norm_out\./, 'conv_norm_out.'],
];

const ATTENTION_PROJECTION = /\.attentions\.\d+\.to_(?:q|k|v|out\.0)\.weight$/;

/**
 * The weights of a FLUX.2 autoencoder under diffusers' names. Reads both layouts: diffusers' own, and Black Forest
 * Labs' single file, which counts the decoder's levels from the other end, stores the attention's projections as 1x1
 * convolutions and keeps the quantisation convolutions inside encoder and decoder. Other tensors keep their names, so
 * that `checkStrict` reports them.
 * @throws Flux2cError F2C430 when two tensors are the same weight
 */
export function canonicalizeAutoencoder(checkpoint: Checkpoint): WeightTable {
  const upLevels = countUpLevels(checkpoint);
  const requests = [...checkpoint.tensors.values()].map((tensor): SliceRequest => {
    const name = renameAutoencoder(stripPrefix(tensor.name), upLevels);
    const shape = ATTENTION_PROJECTION.test(name) ? shapeOfPointwise(tensor) : undefined;
    return { name, tensor, ...(shape === undefined ? {} : { shape }) };
  });
  return buildWeightTable(checkpoint.name, requests);
}

function stripPrefix(name: string): string {
  const prefix = PREFIXES.find((candidate) => name.startsWith(candidate)) ?? '';
  return name.slice(prefix.length);
}

function renameAutoencoder(name: string, upLevels: number): string {
  const [, side, inner] = /^(encoder|decoder)\.(.*)$/.exec(name) ?? [];
  if (side === undefined || inner === undefined) return name;
  if (/^(quant_conv|post_quant_conv)\./.test(inner)) return inner;
  return `${side}.${renameUpLevel(renameModule(inner), upLevels).replace('.nin_shortcut.', '.conv_shortcut.')}`;
}

function renameModule(inner: string): string {
  for (const [pattern, replacement] of innerRules) {
    if (pattern.test(inner)) return inner.replace(pattern, replacement);
  }
  return inner;
}

/** Level 0 of the single file's decoder is the one next to the picture; diffusers counts in order of execution. */
function renameUpLevel(inner: string, upLevels: number): string {
  const [, level, resnet, rest] = /^up\.(\d+)\.(?:block\.(\d+)|upsample\.conv)\.(.*)$/.exec(inner) ?? [];
  if (level === undefined) return inner;
  const place = resnet === undefined ? 'upsamplers.0.conv' : `resnets.${resnet}`;
  return `up_blocks.${upLevels - 1 - Number(level)}.${place}.${rest}`;
}

function countUpLevels(checkpoint: Checkpoint): number {
  let levels = 0;
  for (const name of checkpoint.tensors.keys()) {
    const level = /^decoder\.up\.(\d+)\./.exec(stripPrefix(name))?.[1];
    if (level !== undefined) levels = Math.max(levels, Number(level) + 1);
  }
  return levels;
}

/** `[out, in]` of a 1x1 convolution's `[out, in, 1, 1]`; undefined for other shapes. */
function shapeOfPointwise({ shape }: CheckpointTensor): readonly number[] | undefined {
  return shape.length === 4 && shape[2] === 1 && shape[3] === 1 ? shape.slice(0, 2) : undefined;
}
