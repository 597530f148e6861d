import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import { Flux2cError } from '../../ir/diagnostics.js';
import { canonicalizeAutoencoder } from './autoencoder-layout.js';
import { memorySource } from './byte-source.js';
import type { Checkpoint } from './checkpoint.js';
import { readCheckpoint } from './read-checkpoint.js';
import { canonicalizeTransformer } from './flux2-layout.js';
import { locateSlice, readSlice, readSliceF32, type WeightTable } from './names.js';
import { openCheckpoint } from './node/open-checkpoint.js';
import { encodeSafetensors, type TensorData } from './safetensors-writer.js';
import { canonicalizeTextEncoder, ignorableTextEncoderTensors } from './text-encoder-layout.js';

const golden = new URL('../../test/golden/', import.meta.url).pathname;
const opened: Checkpoint[] = [];

async function openGolden(path: string): Promise<Checkpoint> {
  const checkpoint = await openCheckpoint(`${golden}${path}`);
  opened.push(checkpoint);
  return checkpoint;
}

afterAll(async () => {
  for (const checkpoint of opened) await checkpoint.close();
});

function checkpointOf(tensors: Record<string, readonly number[]>): Promise<Checkpoint> {
  const data = Object.entries(tensors).map(([name, shape], index): [string, TensorData] => {
    const count = shape.reduce((product, size) => product * size, 1);
    const values = Float32Array.from({ length: count }, (_, element) => index * 1000 + element);
    return [name, { dtype: 'f32', shape, data: new Uint8Array(values.buffer) }];
  });
  return readCheckpoint(memorySource('made.safetensors', encodeSafetensors(new Map(data))));
}

/** Both files hold the same numbers, so each canonical weight must be equal value by value. */
async function expectSameWeights(
  a: { readonly checkpoint: Checkpoint; readonly table: WeightTable },
  b: { readonly checkpoint: Checkpoint; readonly table: WeightTable },
): Promise<void> {
  expect([...a.table.keys()].sort()).toEqual([...b.table.keys()].sort());
  for (const [name, slice] of a.table) {
    const other = b.table.get(name);
    if (other === undefined) throw new Error(name);
    expect(slice.shape, name).toEqual(other.shape);
    const [values, otherValues] = [await readSliceF32(a.checkpoint, slice), await readSliceF32(b.checkpoint, other)];
    const different = values.findIndex((value, index) => value !== otherValues[index]);
    expect(different, `${name} differs at this index`).toBe(-1);
    expect(values.length, name).toBe(otherValues.length);
  }
}

describe('the two layouts of golden checkpoints', () => {
  it('have the same transformer weights', async () => {
    const single = await openGolden('transformer-tiny/bfl-tiny.safetensors');
    const diffusers = await openGolden('transformer-tiny/diffusion_pytorch_model.safetensors');
    const table = canonicalizeTransformer(single);
    expect(table.size).toBe(59);
    expect(table.get('transformer_blocks.1.attn.to_k.weight')).toEqual({
      name: 'transformer_blocks.1.attn.to_k.weight',
      dtype: 'bf16',
      fileDType: 'BF16',
      shape: [128, 128],
      parts: [{ tensor: 'double_blocks.1.img_attn.qkv.weight', rowOffset: 128, rows: 128 }],
    });
    await expectSameWeights(
      { checkpoint: single, table },
      { checkpoint: diffusers, table: canonicalizeTransformer(diffusers) },
    );
  });

  it('have the same autoencoder weights', async () => {
    const single = await openGolden('vae-tiny/bfl-ae-tiny.safetensors');
    const diffusers = await openGolden('vae-tiny/diffusion_pytorch_model.safetensors');
    const table = canonicalizeAutoencoder(single);
    expect(table.size).toBe(183);
    expect(table.get('decoder.mid_block.attentions.0.to_q.weight')?.shape).toEqual([32, 32]);
    expect(table.get('post_quant_conv.weight')?.shape).toEqual([32, 32, 1, 1]);
    await expectSameWeights(
      { checkpoint: single, table },
      { checkpoint: diffusers, table: canonicalizeAutoencoder(diffusers) },
    );
  });

  it('leave the names of diffusers as they are', async () => {
    const sharded = await openGolden('transformer-klein-tiny');
    const table = canonicalizeTransformer(sharded);
    expect([...table.keys()]).toEqual([...sharded.tensors.keys()]);
    expect(table.source).toBe(`${golden}transformer-klein-tiny`);
  });
});

describe('canonicalizeTransformer', () => {
  it('turns the halves of the final modulation round', async () => {
    const checkpoint = await checkpointOf({ 'final_layer.adaLN_modulation.1.weight': [4, 3] });
    const slice = canonicalizeTransformer(checkpoint).get('norm_out.linear.weight');
    if (slice === undefined) throw new Error('no norm_out');
    expect(slice.shape).toEqual([4, 3]);
    expect([...(await readSliceF32(checkpoint, slice))]).toEqual([6, 7, 8, 9, 10, 11, 0, 1, 2, 3, 4, 5]);
    const start = checkpoint.tensors.get('final_layer.adaLN_modulation.1.weight')?.offset ?? NaN;
    expect(locateSlice(checkpoint, slice)).toEqual([
      { file: 'made.safetensors', offset: start + 24, byteLength: 24 },
      { file: 'made.safetensors', offset: start, byteLength: 24 },
    ]);
    expect((await readSlice(checkpoint, slice)).byteLength).toBe(48);
  });

  it.each(['model.diffusion_model.', 'diffusion_model.'])('takes the prefix %s away', async (prefix) => {
    const checkpoint = await checkpointOf({
      [`${prefix}img_in.weight`]: [2, 2],
      [`${prefix}single_blocks.3.norm.query_norm.weight`]: [2],
      [`${prefix}double_blocks.0.txt_attn.norm.key_norm.scale`]: [2],
      [`${prefix}double_blocks.0.txt_attn.qkv.weight_scale`]: [],
    });
    const table = canonicalizeTransformer(checkpoint);
    expect([...table.keys()].sort()).toEqual([
      'single_transformer_blocks.3.attn.norm_q.weight',
      'transformer_blocks.0.attn.add_k_proj.weight_scale',
      'transformer_blocks.0.attn.add_q_proj.weight_scale',
      'transformer_blocks.0.attn.add_v_proj.weight_scale',
      'transformer_blocks.0.attn.norm_added_k.weight',
      'x_embedder.weight',
    ]);
    expect(table.get('transformer_blocks.0.attn.add_v_proj.weight_scale')?.shape).toEqual([]);
  });

  it('keeps names it does not know', async () => {
    const names = { 'double_blocks.0.img_mod.lin.weight': [2], 'single_blocks.x.linear1.weight': [2], vector_in: [1] };
    expect([...canonicalizeTransformer(await checkpointOf(names)).keys()].sort()).toEqual(Object.keys(names).sort());
  });

  it('refuses one weight under two names', async () => {
    const checkpoint = await checkpointOf({ 'img_in.weight': [2, 2], 'x_embedder.weight': [2, 2] });
    expect(() => canonicalizeTransformer(checkpoint)).toThrow(expect.objectContaining({ code: 'F2C430' }));
  });

  it('refuses a fused weight that does not divide by three', async () => {
    const checkpoint = await checkpointOf({ 'double_blocks.0.img_attn.qkv.weight': [10, 2] });
    expect(() => canonicalizeTransformer(checkpoint)).toThrow(expect.objectContaining({ code: 'F2C430' }));
  });
});

describe('canonicalizeTextEncoder', () => {
  it('reads the golden Mistral with its vision tower', async () => {
    const table = canonicalizeTextEncoder(await openGolden('text-encoder-tiny'));
    expect(table.has('model.layers.5.self_attn.o_proj.weight')).toBe(true);
    const rest = [...table.keys()].filter((name) => !name.startsWith('model.'));
    expect(rest.sort()).toEqual(['lm_head.weight', 'multi_modal_projector.norm.weight', 'vision_tower.ln_pre.weight']);
    for (const name of rest)
      expect(
        ignorableTextEncoderTensors.some((pattern) => pattern.test(name)),
        name,
      ).toBe(true);
  });

  it.each([
    ['language_model.model.', 'language_model.lm_head.weight'],
    ['model.language_model.', 'lm_head.weight'],
    ['model.', 'lm_head.weight'],
    ['', 'lm_head.weight'],
  ])('reads names that begin with "%s"', async (prefix, head) => {
    const checkpoint = await checkpointOf({
      [`${prefix}embed_tokens.weight`]: [3, 2],
      [`${prefix}layers.0.input_layernorm.weight`]: [2],
      [`${prefix}norm.weight`]: [2],
      [head]: [3, 2],
      'model.vision_tower.ln_pre.weight': [1],
    });
    const table = canonicalizeTextEncoder(checkpoint);
    expect([...table.keys()].sort()).toEqual([
      'lm_head.weight',
      'model.embed_tokens.weight',
      'model.layers.0.input_layernorm.weight',
      'model.norm.weight',
      'model.vision_tower.ln_pre.weight',
    ]);
  });

  it('never ignores a weight of a layer', () => {
    const shapes = readFileSync(`${golden}text-encoder-qwen3-tiny/model.safetensors`).subarray(8, 9000).toString();
    const names = [...shapes.matchAll(/"(model\.[^"]+)"/g)].map((match) => match[1] ?? '');
    expect(names.length).toBeGreaterThan(50);
    for (const name of names)
      expect(
        ignorableTextEncoderTensors.some((pattern) => pattern.test(name)),
        name,
      ).toBe(false);
  });
});

it('reports a part that the checkpoint lacks', async () => {
  const slice = {
    name: 'a',
    dtype: 'f32',
    fileDType: 'F32',
    shape: [1],
    parts: [{ tensor: 'b', rowOffset: 0, rows: 1 }],
  } as const;
  const error = await checkpointOf({ c: [1] }).then((checkpoint) =>
    readSlice(checkpoint, slice).catch((e: unknown) => e),
  );
  expect(error).toBeInstanceOf(Flux2cError);
  expect(error).toMatchObject({ code: 'F2C403' });
});
