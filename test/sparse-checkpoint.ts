/**
 * Checkpoints as large as the released ones that take no room: real headers, indices and configurations in diffusers' layout, and data
 * that are holes of the file system, which read as zeros.
 */
import { mkdir, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { layOutSafetensors, type TensorSpec } from '../frontend/checkpoint/index.js';
import { buildFunction } from '../models/flux2/component-functions.js';
import { collectExpectedWeights } from '../models/flux2/expected-weights.js';
import type { NetworkName } from '../models/flux2/networks.js';
import { type Variant, type VariantName, variants } from '../models/flux2/variants.js';
import type { Component } from '../models/flux2/weights.js';

export interface SparseOptions {
  /** Default: the transformer alone. */
  readonly components?: readonly Component[];
  /** Bytes of tensors that a file holds at most; a tensor is in one file. Default: 10 GB, as released files have. */
  readonly shardBytes?: number;
  /**
   * Little-endian bf16 of some tensors, by their names in diffusers' files; what is shorter than the tensor is repeated to its end.
   */
  readonly contents?: ReadonlyMap<string, Uint8Array>;
}

/** What a component's files are called. */
const stems: Readonly<Record<Component, string>> = {
  transformer: 'diffusion_pytorch_model',
  vae: 'diffusion_pytorch_model',
  text_encoder: 'model',
};

/**
 * Writes a released model to the folder, all weights in bf16.
 *
 * @throws an error for contents that belong to no tensor
 */
export async function writeSparseCheckpoint(
  folder: string,
  name: VariantName,
  { components = ['transformer'], shardBytes = 10e9, contents = new Map() }: SparseOptions = {},
): Promise<void> {
  const variant = variants[name];
  const unwritten = new Set(contents.keys());
  for (const component of components) {
    const path = join(folder, component);
    await mkdir(path, { recursive: true });
    await writeFile(join(path, 'config.json'), JSON.stringify(configOf(component, variant)));
    await writeShards(path, stems[component], tensorsOf(component, variant), shardBytes, contents, unwritten);
  }
  await writeFile(join(folder, 'model_index.json'), JSON.stringify(pipelineOf(variant)));
  if (unwritten.size > 0) throw new Error(`the model has no ${[...unwritten].join(', ')}`);
}

/** The tensors of a component's files, by name. */
export function tensorsOf(component: Component, variant: Variant): ReadonlyMap<string, TensorSpec> {
  const { transformer, autoencoder, textEncoder } = variant;
  const description = { name: variant.name, pipeline: undefined, transformer, autoencoder, textEncoder };
  const functions: Readonly<Record<Component, readonly NetworkName[]>> = {
    transformer: ['transformer'],
    vae: ['vae_encoder', 'vae_decoder'],
    text_encoder: ['text_encoder'],
  };
  const tensors = new Map<string, TensorSpec>();
  const add = (tensor: string, shape: readonly number[]): void => void tensors.set(tensor, { dtype: 'bf16', shape });
  for (const fn of functions[component]) {
    const module = buildFunction(description, fn, () => 'bf16', [textEncoder.layers - 1]);
    for (const [tensor, shape] of collectExpectedWeights(module, component)) add(tensor, shape);
  }
  if (component !== 'text_encoder') return tensors;
  // The last layer, the norm after it and the head are in the files, though nothing uses them.
  const { hidden, layers, vocabularySize, tiedEmbeddings } = textEncoder;
  for (const [tensor, { shape }] of [...tensors]) {
    const [, rest] = /^model\.layers\.0\.(.*)$/.exec(tensor) ?? [];
    if (rest !== undefined) add(`model.layers.${layers - 1}.${rest}`, shape);
  }
  add('model.norm.weight', [hidden]);
  if (!tiedEmbeddings) add('lm_head.weight', [vocabularySize, hidden]);
  return tensors;
}

async function writeShards(
  folder: string,
  stem: string,
  tensors: ReadonlyMap<string, TensorSpec>,
  shardBytes: number,
  contents: ReadonlyMap<string, Uint8Array>,
  unwritten: Set<string>,
): Promise<void> {
  const shards = divide(tensors, shardBytes);
  const weightMap: Record<string, string> = {};
  for (const [index, shard] of shards.entries()) {
    const number = (value: number): string => `${value}`.padStart(5, '0');
    const part = shards.length === 1 ? '' : `-${number(index + 1)}-of-${number(shards.length)}`;
    const file = `${stem}${part}.safetensors`;
    const layout = layOutSafetensors(shard, new Map([['format', 'pt']]));
    const handle = await open(join(folder, file), 'w');
    try {
      await handle.write(layout.header, 0, layout.header.byteLength, 0);
      for (const { name, offset, byteLength } of layout.tensors) {
        weightMap[name] = file;
        const bytes = contents.get(name);
        if (bytes === undefined) continue;
        for (let at = 0; at < byteLength; at += bytes.byteLength) {
          await handle.write(bytes, 0, Math.min(bytes.byteLength, byteLength - at), offset + at);
        }
        unwritten.delete(name);
      }
      await handle.truncate(layout.byteLength);
    } finally {
      await handle.close();
    }
  }
  if (shards.length === 1) return;
  const index = { metadata: { total_size: countBytes(tensors) }, weight_map: weightMap };
  await writeFile(join(folder, `${stem}.safetensors.index.json`), JSON.stringify(index));
}

/** In order, as many to a shard as go in. */
function divide(tensors: ReadonlyMap<string, TensorSpec>, shardBytes: number): readonly Map<string, TensorSpec>[] {
  const shards: Map<string, TensorSpec>[] = [];
  let left = 0;
  for (const [name, spec] of tensors) {
    const bytes = countBytes(new Map([[name, spec]]));
    if (shards.length === 0 || bytes > left) {
      shards.push(new Map());
      left = shardBytes;
    }
    shards.at(-1)!.set(name, spec);
    left -= bytes;
  }
  return shards;
}

/** Of bf16. */
export function countBytes(tensors: ReadonlyMap<string, TensorSpec>): number {
  let bytes = 0;
  for (const { shape } of tensors.values()) bytes += shape.reduce((product, size) => product * size, 2);
  return bytes;
}

/** `config.json` as diffusers and transformers write it. */
function configOf(component: Component, { transformer, autoencoder, textEncoder }: Variant): object {
  switch (component) {
    case 'transformer':
      return {
        _class_name: 'Flux2Transformer2DModel',
        attention_head_dim: transformer.headDim,
        axes_dims_rope: transformer.ropeAxes,
        eps: transformer.eps,
        guidance_embeds: transformer.guidanceEmbeds,
        in_channels: transformer.inChannels,
        joint_attention_dim: transformer.textWidth,
        mlp_ratio: transformer.mlpHidden / transformer.hidden,
        num_attention_heads: transformer.heads,
        num_layers: transformer.doubleBlocks,
        num_single_layers: transformer.singleBlocks,
        out_channels: transformer.outChannels,
        patch_size: 1,
        rope_theta: transformer.ropeTheta,
        timestep_guidance_channels: transformer.timestepChannels,
      };
    case 'vae':
      return {
        _class_name: 'AutoencoderKLFlux2',
        act_fn: 'silu',
        batch_norm_eps: autoencoder.batchNormEps,
        block_out_channels: autoencoder.encoderChannels,
        decoder_block_out_channels: autoencoder.decoderChannels,
        in_channels: autoencoder.imageChannels,
        latent_channels: autoencoder.latentChannels,
        layers_per_block: autoencoder.layersPerBlock,
        mid_block_add_attention: autoencoder.midAttention,
        norm_num_groups: autoencoder.normGroups,
        out_channels: autoencoder.imageChannels,
        patch_size: [autoencoder.patchSize, autoencoder.patchSize],
        use_post_quant_conv: autoencoder.postQuantConv,
        use_quant_conv: autoencoder.quantConv,
      };
    case 'text_encoder':
      return {
        attention_bias: false,
        head_dim: textEncoder.headDim,
        hidden_act: 'silu',
        hidden_size: textEncoder.hidden,
        intermediate_size: textEncoder.intermediate,
        model_type: textEncoder.family,
        num_attention_heads: textEncoder.heads,
        num_hidden_layers: textEncoder.layers,
        num_key_value_heads: textEncoder.keyValueHeads,
        rms_norm_eps: textEncoder.rmsNormEps,
        rope_theta: textEncoder.ropeTheta,
        sliding_window: null,
        tie_word_embeddings: textEncoder.tiedEmbeddings,
        vocab_size: textEncoder.vocabularySize,
      };
  }
}

function pipelineOf({ transformer }: Variant): object {
  if (transformer.guidanceEmbeds) return { _class_name: 'Flux2Pipeline' };
  return { _class_name: 'Flux2KleinPipeline', is_distilled: true };
}
