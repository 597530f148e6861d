import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Flux2cError } from '../../ir/diagnostics.js';
import { canonicalizeAutoencoder } from './autoencoder-layout.js';
import { checkStrict } from './check-strict.js';
import {
  autoencoderWeightShapes,
  detectAutoencoder,
  detectTextEncoder,
  detectTransformer,
  ignorableAutoencoderTensors,
  laterLayerTensors,
  textEncoderWeightShapes,
  transformerWeightShapes,
  type TextEncoderDimensions,
} from './detect.js';
import { canonicalizeTransformer } from './flux2-layout.js';
import type { WeightTable } from './names.js';
import { openCheckpoint } from './node/open-checkpoint.js';
import type { Checkpoint } from './checkpoint.js';
import { canonicalizeTextEncoder, ignorableTextEncoderTensors } from './text-encoder-layout.js';

const golden = new URL('../../test/golden/', import.meta.url).pathname;
const shapes = new URL('../../models/flux2/checkpoint/', import.meta.url).pathname;

async function open(path: string, canonicalize: (checkpoint: Checkpoint) => WeightTable): Promise<WeightTable> {
  const checkpoint = await openCheckpoint(path);
  await checkpoint.close();
  return canonicalize(checkpoint);
}

function tableOf(entries: ReadonlyMap<string, readonly number[]>): WeightTable {
  const slices = [...entries].map(([name, shape]) => {
    const parts = [{ tensor: name, rowOffset: 0, rows: shape[0] ?? 1 }];
    return [name, { name, dtype: 'bf16', fileDType: 'BF16', shape, parts }] as const;
  });
  return Object.assign(new Map(slices), { source: 'made.safetensors' });
}

function catchError(action: () => unknown): Flux2cError {
  try {
    action();
  } catch (error) {
    if (error instanceof Flux2cError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

interface TransformerConfig {
  readonly num_layers: number;
  readonly num_single_layers: number;
  readonly attention_head_dim: number;
  readonly num_attention_heads: number;
  readonly joint_attention_dim: number;
  readonly timestep_guidance_channels: number;
  readonly mlp_ratio: number;
  readonly in_channels: number;
  readonly guidance_embeds: boolean;
}

const dev = {
  hidden: 6144,
  heads: 48,
  headDim: 128,
  doubleBlocks: 8,
  singleBlocks: 48,
  textWidth: 15360,
  inChannels: 128,
  outChannels: 128,
  timestepChannels: 256,
  guidanceEmbed: true,
  mlpRatio: 3,
};

describe('detectTransformer', () => {
  it.each([
    [`${golden}transformer-tiny/bfl-tiny.safetensors`, `${golden}transformer-tiny/config.json`],
    [`${golden}transformer-tiny/diffusion_pytorch_model.safetensors`, `${golden}transformer-tiny/config.json`],
    [`${golden}transformer-klein-tiny`, `${golden}transformer-klein-tiny/config.json`],
    [`${shapes}transformer`, `${shapes}transformer/config.json`],
  ])('finds what the configuration of %s says', async (path, configPath) => {
    const config = JSON.parse(readFileSync(configPath, 'utf8')) as TransformerConfig;
    const table = await open(path, canonicalizeTransformer);
    const dimensions = detectTransformer(table);
    expect(dimensions).toEqual({
      hidden: config.attention_head_dim * config.num_attention_heads,
      heads: config.num_attention_heads,
      headDim: config.attention_head_dim,
      doubleBlocks: config.num_layers,
      singleBlocks: config.num_single_layers,
      textWidth: config.joint_attention_dim,
      inChannels: config.in_channels,
      outChannels: config.in_channels,
      timestepChannels: config.timestep_guidance_channels,
      guidanceEmbed: config.guidance_embeds,
      mlpRatio: config.mlp_ratio,
    });
    checkStrict(table, transformerWeightShapes(dimensions));
  });

  it('finds the dimensions of the released variants, whose weights have the published number of parameters', () => {
    const variants = [
      [dev, 32.2],
      [{ ...dev, hidden: 4096, heads: 32, singleBlocks: 24, textWidth: 12288, guidanceEmbed: false }, 9.1],
      [
        { ...dev, hidden: 3072, heads: 24, doubleBlocks: 5, singleBlocks: 20, textWidth: 7680, guidanceEmbed: false },
        3.9,
      ],
    ] as const;
    for (const [variant, billions] of variants) {
      const weights = transformerWeightShapes(variant);
      expect(detectTransformer(tableOf(weights))).toEqual(variant);
      const parameters = [...weights.values()].reduce((sum, shape) => sum + shape.reduce((a, b) => a * b), 0);
      expect(parameters / 1e9).toBeCloseTo(billions, 1);
    }
  });

  it('finds models of one kind of block only', () => {
    for (const variant of [
      { ...dev, doubleBlocks: 0 },
      { ...dev, singleBlocks: 0 },
    ]) {
      expect(detectTransformer(tableOf(transformerWeightShapes(variant)))).toEqual(variant);
    }
  });

  it('refuses shapes that contradict each other, gaps and other models', () => {
    const weights = transformerWeightShapes(dev);
    const wrong = new Map(weights).set('transformer_blocks.3.attn.to_k.weight', [6144, 6000]);
    expect(catchError(() => detectTransformer(tableOf(wrong)))).toMatchObject({
      code: 'F2C431',
      detail: { found: expect.stringContaining('transformer_blocks.3.attn.to_k.weight is [6144, 6000]') },
    });
    const gap = new Map([...weights].filter(([name]) => !name.startsWith('transformer_blocks.3.')));
    expect(catchError(() => detectTransformer(tableOf(gap)))).toMatchObject({ code: 'F2C432' });
    const heads = new Map(weights).set('transformer_blocks.0.attn.norm_q.weight', [100]);
    expect(catchError(() => detectTransformer(tableOf(heads)))).toMatchObject({ code: 'F2C432' });
    const empty = new Map(weights).set('x_embedder.weight', [0, 128]);
    expect(catchError(() => detectTransformer(tableOf(empty)))).toMatchObject({ code: 'F2C432' });
    const huge = new Map(weights).set('transformer_blocks.4000000000.attn.to_k.weight', [6144, 6144]);
    expect(catchError(() => detectTransformer(tableOf(huge)))).toMatchObject({ code: 'F2C432' });
    const other = catchError(() => detectTransformer(tableOf(new Map([['model.norm.weight', [4]]]))));
    expect(other.format()).toContain('these are not the weights of a FLUX.2 transformer');
    expect(other.format()).toContain('model.norm.weight');
  });
});

describe('detectTextEncoder', () => {
  const qwen: TextEncoderDimensions = {
    vocabulary: 512,
    hidden: 64,
    layers: 6,
    heads: 4,
    keyValueHeads: 2,
    headDim: 32,
    intermediate: 160,
    queryKeyNorm: true,
  };

  it('reads the golden encoders', async () => {
    expect(detectTextEncoder(await open(`${golden}text-encoder-qwen3-tiny`, canonicalizeTextEncoder))).toEqual(qwen);
    const mistral = await open(`${golden}text-encoder-tiny`, canonicalizeTextEncoder);
    const dimensions = detectTextEncoder(mistral, { headDim: 32 });
    expect(dimensions).toEqual({ ...qwen, queryKeyNorm: false });
    checkStrict(mistral, textEncoderWeightShapes(dimensions), ignorableTextEncoderTensors);
    expect(() => checkStrict(mistral, textEncoderWeightShapes(dimensions))).toThrow(Flux2cError);
  });

  it('reads the embedded encoder', async () => {
    const table = await open(`${shapes}text_encoder`, canonicalizeTextEncoder);
    expect(detectTextEncoder(table, { headDim: 32 })).toMatchObject({
      vocabulary: 537,
      hidden: 96,
      layers: 7,
      heads: 4,
    });
  });

  it('asks for the head width that Mistral does not show', async () => {
    const mistral = await open(`${golden}text-encoder-tiny`, canonicalizeTextEncoder);
    expect(catchError(() => detectTextEncoder(mistral)).format()).toContain('head_dim of config.json');
    expect(catchError(() => detectTextEncoder(mistral, { headDim: 48 }))).toMatchObject({ code: 'F2C432' });
    const table = tableOf(textEncoderWeightShapes(qwen));
    expect(catchError(() => detectTextEncoder(table, { headDim: 64 }))).toMatchObject({ code: 'F2C432' });
  });

  it('reads an encoder without the layers that prompt embeddings do not need', () => {
    const cut = tableOf(textEncoderWeightShapes(qwen, 4));
    expect(detectTextEncoder(cut)).toEqual({ ...qwen, layers: 4 });
    const whole = tableOf(textEncoderWeightShapes(qwen));
    checkStrict(whole, textEncoderWeightShapes(qwen, 4), laterLayerTensors(qwen, 4));
    expect(() => checkStrict(whole, textEncoderWeightShapes(qwen, 3), laterLayerTensors(qwen, 4))).toThrow(Flux2cError);
    expect(laterLayerTensors(qwen, 6)).toEqual([]);
  });
});

describe('detectAutoencoder', () => {
  it.each([
    [`${golden}vae-tiny/bfl-ae-tiny.safetensors`, [16, 32, 32, 32]],
    [`${golden}vae-tiny/diffusion_pytorch_model.safetensors`, [16, 32, 32, 32]],
    [`${shapes}vae`, [16, 32, 48, 48]],
  ])('reads %s', async (path, channels) => {
    const table = await open(path, canonicalizeAutoencoder);
    const dimensions = detectAutoencoder(table);
    expect(dimensions).toEqual({
      inChannels: 3,
      outChannels: 3,
      latentChannels: 32,
      encoderChannels: channels,
      decoderChannels: [...channels].reverse(),
      encoderResnets: 1,
      decoderResnets: 2,
      quantConv: true,
      postQuantConv: true,
      midAttention: true,
      patchedChannels: 128,
    });
    checkStrict(table, autoencoderWeightShapes(dimensions), ignorableAutoencoderTensors);
  });

  it('refuses a broken one', async () => {
    const table = await open(`${golden}vae-tiny/bfl-ae-tiny.safetensors`, canonicalizeAutoencoder);
    const cut = new Map([...table].filter(([name]) => name !== 'decoder.up_blocks.2.resnets.1.conv2.bias'));
    expect(catchError(() => detectAutoencoder(Object.assign(cut, { source: 'cut' })))).toMatchObject({
      code: 'F2C431',
    });
    expect(catchError(() => detectAutoencoder(tableOf(new Map())))).toMatchObject({ code: 'F2C432' });
    const many = new Map(
      Array.from({ length: 40 }, (_, level) => [`encoder.down_blocks.${level}.resnets.0.conv1.weight`, [1, 1, 3, 3]]),
    );
    const merged = tableOf(new Map([...autoencoderWeightShapes(detectAutoencoder(table)), ...many]));
    expect(catchError(() => detectAutoencoder(merged)).message).toContain('too many');
  });
});

describe('checkStrict', () => {
  it('lists all that is missing, left over or misshapen in one error', () => {
    const expected = new Map<string, readonly number[]>([['transformer_blocks.0.ff.linear_in.weight', [4, 2]]]);
    for (let index = 0; index < 12; index++) expected.set(`blocks.${index}.weight`, [3, index]);
    const found = tableOf(
      new Map([
        ['transformer_blocks.0.ff.linear_inn.weight', [4, 2]],
        ['blocks.5.weight', [9, 9]],
        ['lm_head.weight', [1]],
      ]),
    );
    const error = catchError(() => checkStrict(found, expected, [/^lm_head\./]));
    expect(error.code).toBe('F2C431');
    expect(error.format()).toBe(
      [
        'error F2C431: the weights do not match the model',
        '  in made.safetensors',
        '  expected 13 weights',
        '  found    3 weights',
        '    12 missing:',
        '      transformer_blocks.0.ff.linear_in.weight (the file has transformer_blocks.0.ff.linear_inn.weight)',
        ...[0, 1, 2, 3, 4, 6, 7, 8, 9].map((index) => `      blocks.${index}.weight`),
        '      and 2 more',
        '    1 left over:',
        '      transformer_blocks.0.ff.linear_inn.weight',
        '    1 of the wrong shape:',
        '      blocks.5.weight is [9, 9] instead of [3, 5]',
        '  Check that the file is complete and of the variant that the configuration says.',
      ].join('\n'),
    );
  });
});
