import { describe, expect, it } from 'vitest';
import type { Checkpoint } from '../../frontend/checkpoint/index.js';
import { createModule } from '../../frontend/index.js';
import { describeModel, describeRelease } from './compiled-model.js';
import { availableFunctions } from './component-functions.js';
import { collectExpectedWeights } from './expected-weights.js';
import { loadModel, type LoadOptions } from './load-model.js';
import type { ModelFiles } from './model-files.js';
import { addTransformer } from './transformer.js';
import { type VariantName, variants } from './variants.js';

/** A released transformer as one file, of which only the header is there. */
function headerOf(variant: VariantName): ModelFiles {
  const module = createModule();
  addTransformer(module, variants[variant].transformer, () => 'bf16');
  const weights = collectExpectedWeights(module.build(), 'transformer');
  const tensors = [...weights].map(
    ([name, shape]) =>
      [name, { name, dtype: 'bf16', fileDType: 'BF16', shape, offset: 0, byteLength: 0, file: 'header' }] as const,
  );
  const noBytes = async (): Promise<never> => Promise.reject(new Error('only the header is there'));
  const checkpoint: Checkpoint = {
    name: 'transformer.safetensors',
    tensors: new Map(tensors),
    read: noBytes,
    readF32: noBytes,
    readRange: noBytes,
    close: async () => undefined,
  };
  const transformer = {
    name: checkpoint.name,
    readText: async () => undefined,
    openCheckpoint: async () => checkpoint,
  };
  return { name: checkpoint.name, components: { transformer }, hintFor: () => '' };
}

describe('a file without model_index.json', () => {
  const functionsOf = async (variant: VariantName, options?: LoadOptions) =>
    availableFunctions(describeModel(await loadModel(headerOf(variant), options)));

  it('is klein 9b-kv when that is said: its shapes are those of klein 9B', async () => {
    expect(await functionsOf('klein-9b')).not.toContain('denoise_cached');
    expect(await functionsOf('klein-9b', { cachedReferences: false })).not.toContain('denoise_cached');
    expect(await functionsOf('klein-9b', { cachedReferences: true })).toContain('denoise_cached');
  });

  it.each([
    ['dev', {}, 'a model that is no klein'],
    ['klein-9b', { distilled: false }, 'a klein model that is not distilled'],
  ] as const)('of %s %j is not', async (variant, options, found) => {
    await expect(functionsOf(variant, { ...options, cachedReferences: true })).rejects.toMatchObject({
      code: 'F2C614',
      detail: { found },
    });
  });
});

it('describes releases without files, with cached references where they are asked for', () => {
  expect(availableFunctions(describeRelease('klein-9b'))).not.toContain('denoise_cached');
  expect(availableFunctions(describeRelease('klein-9b', { cachedReferences: true }))).toContain('denoise_cached');
  expect(() => describeRelease('dev', { cachedReferences: true })).toThrow(expect.objectContaining({ code: 'F2C614' }));
});
