import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { closeModel, loadModel } from '../load-model.js';
import { embeddedCheckpoint, identifyComponent, openModelFiles } from './open-model.js';

const golden = resolve('test/golden');
const root = mkdtempSync(join(tmpdir(), 'flux2c-models-'));
afterAll(() => rmSync(root, { recursive: true }));

/** A diffusers folder of golden components. */
function assemble(name: string, components: Readonly<Record<string, string>>, index?: object): string {
  const folder = join(root, name);
  mkdirSync(folder);
  for (const [component, source] of Object.entries(components))
    symlinkSync(join(golden, source), join(folder, component));
  if (index) writeFileSync(join(folder, 'model_index.json'), JSON.stringify(index));
  return folder;
}

async function load(path?: string, options = {}, loadOptions = {}) {
  const model = await loadModel(await openModelFiles(path, options), loadOptions);
  await closeModel(model);
  return model;
}

describe('openModelFiles and loadModel', () => {
  it('open the embedded checkpoint by default', async () => {
    const model = await load();
    expect(model.name).toBe('flux2-shapes');
    expect(model.transformer?.config).toMatchObject({ hidden: 192, heads: 4, guidanceEmbeds: true });
    expect(model.vae?.config.latentChannels).toBe(32);
    expect(model.text_encoder?.config.layers).toBe(7);
    expect(model.pipeline?.sampling).toMatchObject({ width: 128, steps: 20 });
    expect(embeddedCheckpoint()).toMatch(/models.flux2.checkpoint$/);
  });

  it('open a folder without text encoder, with shards', async () => {
    const index = { _class_name: 'Flux2KleinPipeline', is_distilled: false, default_width: 64, default_height: 64 };
    const path = assemble('klein', { transformer: 'transformer-klein-tiny', vae: 'vae-tiny' }, index);
    const model = await load(path);
    expect(model.text_encoder).toBeUndefined();
    expect(model.pipeline).toMatchObject({ distilled: false, sampling: { guidance: 'classifier-free' } });
  });

  it.each([
    ['transformer-tiny', 'transformer'],
    ['transformer-tiny/bfl-tiny.safetensors', 'transformer'],
    ['transformer-klein-tiny', 'transformer'],
    ['vae-tiny', 'vae'],
    ['vae-tiny/bfl-ae-tiny.safetensors', 'vae'],
    ['text-encoder-tiny', 'text_encoder'],
    ['text-encoder-qwen3-tiny', 'text_encoder'],
  ] as const)('find out that %s is the %s', async (path, component) => {
    const model = await load(join(golden, path), {}, { textEncoderLayers: [1, 3, 5] });
    expect(Object.keys(model.files.components)).toEqual([component]);
    expect(model[component]?.config).toBeDefined();
  });

  it('add components that options name, and find the tokenizer beside the text encoder', async () => {
    const embedded = embeddedCheckpoint();
    const path = join(embedded, 'transformer/diffusion_pytorch_model.safetensors');
    const files = await openModelFiles(path, {
      vae: join(embedded, 'vae'),
      textEncoder: join(embedded, 'text_encoder'),
    });
    expect(Object.keys(files.components).sort()).toEqual(['text_encoder', 'tokenizer', 'transformer', 'vae']);
    expect(files.hintFor('vae')).toContain('--vae');
  });

  it('refuse weights that do not fit, naming them', async () => {
    const path = assemble('renamed', { vae: 'vae-tiny' });
    mkdirSync(join(path, 'transformer'));
    cpSync(join(golden, 'transformer-tiny/config.json'), join(path, 'transformer/config.json'));
    const bytes = readFileSync(join(golden, 'transformer-tiny/diffusion_pytorch_model.safetensors'));
    const at = bytes.indexOf('"x_embedder.weight"');
    bytes.write('"x_embedded.weight"', at);
    writeFileSync(join(path, 'transformer/diffusion_pytorch_model.safetensors'), bytes);
    await expect(load(path)).rejects.toMatchObject({ code: 'F2C431' });
    await expect(load(path)).rejects.toThrow(/weights do not match/);
  });

  it('refuse parts of different models', async () => {
    const index = { _class_name: 'Flux2Pipeline', text_encoder_out_layers: [1, 3] };
    const path = assemble('mixed', { transformer: 'transformer-tiny', text_encoder: 'text-encoder-tiny' }, index);
    await expect(load(path)).rejects.toMatchObject({ code: 'F2C614' });
  });

  it('refuse what is no model', async () => {
    await expect(load(join(root, 'nothing'))).rejects.toMatchObject({ code: 'F2C401' });
    const empty = assemble('empty', {}, { _class_name: 'Flux2Pipeline' });
    await expect(load(empty)).rejects.toMatchObject({ code: 'F2C617' });
    await expect(load(join(golden, 'rope-real.safetensors'))).rejects.toMatchObject({ code: 'F2C617' });
    await expect(load(golden)).rejects.toMatchObject({ code: 'F2C422' });
    await expect(load(undefined, { vae: join(root, 'no-vae') })).rejects.toMatchObject({ code: 'F2C401' });
  });
});

describe('identifyComponent', () => {
  it.each([
    [['model.diffusion_model.double_blocks.0.img_attn.qkv.weight'], 'transformer'],
    [['language_model.model.embed_tokens.weight', 'language_model.model.layers.0.mlp.up_proj.weight'], 'text_encoder'],
    [['first_stage_model.decoder.conv_in.weight'], 'vae'],
    [['unet.conv_in.weight'], undefined],
  ])('%j', (names, component) => expect(identifyComponent(names)).toBe(component));
});
