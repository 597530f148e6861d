import { expect, it } from 'vitest';
import { resolveRequest } from './generate-request.js';
import { pipelineConfigOf } from './pipeline-config.js';
import { variants } from './variants.js';

const configs = { ...variants.dev, pipeline: pipelineConfigOf(variants.dev, false) };
const tilesOn = (maxTensorBytes: number) =>
  resolveRequest({ prompt: 'x', width: 64, height: 64 }, { ...configs, maxTensorBytes }).tiles;

it('decodes in tiles whose activations the device has room for', () => {
  // 256 channels of f32 for 16 x 16 pixels are 256 KiB a token.
  expect(tilesOn(Infinity)).toEqual({ size: 96, overlap: 24 });
  expect(tilesOn(2 ** 30)).toEqual({ size: 64, overlap: 16 });
  expect(tilesOn(2 ** 28)).toEqual({ size: 32, overlap: 8 });
  expect(tilesOn(2 ** 20)).toEqual({ size: 8, overlap: 2 });
});

it('takes the defaults of the model', () => {
  const resolved = resolveRequest({ prompt: 'x', seeds: [1n] }, { ...configs, maxTensorBytes: Infinity });
  expect(resolved).toMatchObject({ width: 1024, height: 1024, steps: 50, count: 1, batchSize: 1, noiseDType: 'f32' });
  expect(resolved.noise).toHaveLength(4096 * 128);
});
