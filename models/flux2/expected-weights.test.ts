import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { checkStrict, ignorableTextEncoderTensors } from '../../frontend/checkpoint/index.js';
import { createModule } from '../../frontend/index.js';
import type { Module } from '../../ir/graph/graph.js';
import { equalModules } from '../../ir/graph/equal.js';
import { parseModule } from '../../ir/graph/parse.js';
import { printModule } from '../../ir/graph/print.js';
import { loadComponent } from '../../test/flux2-components.js';
import {
  addVaeDecoder,
  addVaeEncoder,
  decoderOnlyWeights,
  encoderOnlyWeights,
  unusedAutoencoderWeights,
} from './autoencoder.js';
import { parseAutoencoderConfig, parseTextEncoderConfig, parseTransformerConfig } from './config.js';
import { addDenoise, addDenoiseCached } from './denoise.js';
import { collectExpectedWeights } from './expected-weights.js';
import { addTransformerCached, addTransformerExtract } from './reference-cache.js';
import { addTextEncoder, unusedTextEncoderWeights } from './text-encoder.js';
import { addTransformer } from './transformer.js';
import { variants } from './variants.js';
import type { Component } from './weights.js';

const bf16 = () => 'bf16' as const;

function readConfig<T>(parse: (text: string, file: string) => T, file: string): T {
  return parse(readFileSync(file, 'utf8'), file);
}

async function check(module: Module, component: Component, path: string, ignorable: readonly RegExp[] = []) {
  const { table } = await loadComponent(component, path);
  checkStrict(table, collectExpectedWeights(module, component), ignorable);
}

describe('expected weights', () => {
  it.each([
    ['test/golden/transformer-tiny', 'diffusion_pytorch_model.safetensors'],
    ['test/golden/transformer-tiny', 'bfl-tiny.safetensors'],
    ['test/golden/transformer-klein-tiny', ''],
    ['models/flux2/checkpoint/transformer', ''],
  ])('are exactly those of %s/%s', async (folder, file) => {
    const module = createModule();
    addTransformer(module, readConfig(parseTransformerConfig, `${folder}/config.json`), bf16);
    await check(module.build(), 'transformer', `${folder}/${file}`);
  });

  it.each([
    ['test/golden/text-encoder-tiny', [1, 3, 5]],
    ['test/golden/text-encoder-tiny', [1, 2]],
    ['test/golden/text-encoder-qwen3-tiny', [1, 3]],
    ['models/flux2/checkpoint/text_encoder', [2, 4, 6]],
  ] as const)('are those of %s but for what its layers %j leave over', async (folder, layers) => {
    const config = readConfig(parseTextEncoderConfig, `${folder}/config.json`);
    const module = createModule();
    addTextEncoder(module, config, { layers }, bf16);
    const unused = unusedTextEncoderWeights(config, layers);
    await check(module.build(), 'text_encoder', folder, [...unused, ...ignorableTextEncoderTensors]);
    const needed = Array.from(
      { length: Math.max(...layers) },
      (_, layer) => `model.layers.${layer}.mlp.up_proj.weight`,
    );
    expect(needed.filter((name) => unused.some((pattern) => pattern.test(name)))).toEqual([]);
  });

  it.each([
    ['test/golden/vae-tiny', 'diffusion_pytorch_model.safetensors'],
    ['test/golden/vae-tiny', 'bfl-ae-tiny.safetensors'],
    ['models/flux2/checkpoint/vae', ''],
  ])('are those of the halves of %s/%s', async (folder, file) => {
    const config = readConfig(parseAutoencoderConfig, `${folder}/config.json`);
    const build = (...adders: readonly (typeof addVaeEncoder)[]): Module => {
      const module = createModule();
      for (const add of adders) add(module, config, bf16);
      return module.build();
    };
    const path = `${folder}/${file}`;
    await check(build(addVaeEncoder, addVaeDecoder), 'vae', path, unusedAutoencoderWeights);
    await check(build(addVaeEncoder), 'vae', path, [...unusedAutoencoderWeights, ...decoderOnlyWeights]);
    await check(build(addVaeDecoder), 'vae', path, [...unusedAutoencoderWeights, ...encoderOnlyWeights]);
  });

  it('refuses element types that no arithmetic takes', () => {
    const { transformer } = variants['klein-4b'];
    expect(() => addTransformer(createModule(), transformer, () => 'i8')).toThrow(
      expect.objectContaining({ code: 'F2C650' }),
    );
  });
});

/**
 * In billions, as published. Of the text encoder the embedding (vocabulary · hidden) and the share of layers in use of
 * the published parameters without embeddings: 22.2 · 30/40 for Mistral Small 3, 6.95 and 3.6 · 27/36 for Qwen3.
 */
const parameters = {
  dev: { transformer: 32.2, text_encoder: 22.2 * 0.75 + 0.131072 * 5.12 },
  'klein-9b': { transformer: 9.1, text_encoder: 6.95 * 0.75 + 0.151936 * 4.096 },
  'klein-4b': { transformer: 3.9, text_encoder: 3.6 * 0.75 + 0.151936 * 2.56 },
} as const;

describe('full-size networks', () => {
  it.each(Object.values(variants))('$name builds, prints and parses back', (variant) => {
    const { transformer, textEncoder, autoencoder, textEncoderOutLayers } = variant;
    const module = createModule();
    const guidance = transformer.guidanceEmbeds;
    addTransformer(module, transformer, bf16);
    addDenoise(module, transformer, { guidance, cfg: false, references: true }, bf16);
    addDenoise(module, transformer, { guidance, cfg: true, references: true }, bf16);
    addTransformerExtract(module, transformer, bf16);
    addTransformerCached(module, transformer, bf16);
    addDenoiseCached(module, transformer, bf16);
    addTextEncoder(module, textEncoder, { layers: textEncoderOutLayers }, bf16);
    addVaeEncoder(module, autoencoder, bf16);
    addVaeDecoder(module, autoencoder, bf16);
    const built = module.build();
    // Parsing infers every type again, so this also verifies the module.
    expect(equalModules(parseModule(printModule(built)), built)).toBe(true);

    const count = (component: Component): number =>
      [...collectExpectedWeights(built, component).values()].reduce(
        (sum, shape) => sum + shape.reduce((product, size) => product * size, 1),
        0,
      );
    expect(count('transformer') / 1e9).toBeCloseTo(parameters[variant.name].transformer, 1);
    expect(count('text_encoder') / 1e9).toBeCloseTo(parameters[variant.name].text_encoder, 1);
  });
});
