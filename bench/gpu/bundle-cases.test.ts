import { describe, expect, it } from 'vitest';
import { cudaTarget } from '../../backends/cuda/cuda-target.js';
import { bundleCases, bundleModels } from './bundle-cases.js';

describe('what a bundle has', () => {
  const quantised = ['contraction, fp8', 'dev.denoise, fp8'];

  it.each([['sm_89'], ['sm_90a'], ['sm_120']] as const)('are programs in fp8 for %s', (architecture) => {
    const names = bundleCases(bundleModels, cudaTarget([architecture])).map(({ name }) => name);
    expect(names.filter((name) => name.includes('fp8'))).toEqual(quantised);
    expect(new Set(names).size).toBe(names.length);
  });

  it('is the rest where one of the GPUs has no 8-bit floats', () => {
    const all = bundleCases(bundleModels, cudaTarget(['sm_90a'])).map(({ name }) => name);
    const names = bundleCases(bundleModels, cudaTarget(['sm_80', 'sm_90a'])).map(({ name }) => name);
    expect(names).toEqual(all.filter((name) => !quantised.includes(name)));
  });
});
