import { afterAll, describe, expect, it } from 'vitest';
import { cudaTarget } from '../../backends/cuda/cuda-target.js';
import { cpuTarget, portableWebgpu, type Target } from '../../backends/target.js';
import type { FactorType } from '../../ir/graph/attributes.js';
import { printTileKernel } from '../../ir/kernel/tile-print.js';
import type { CompiledKernel } from '../../passes/compiled.js';
import { hopperWebgpu } from '../../test/webgpu-targets.js';
import { compileFunctions } from './compile-artifact.js';
import { describeModel } from './compiled-model.js';
import { closeModel, loadModel, storedTypes } from './load-model.js';
import { operandsOf } from './network-operands.js';
import type { NetworkName } from './networks.js';
import { openModelFiles } from './node/open-model.js';

const halfWebgpu: Target = { ...portableWebgpu, f16: true };
const ampere = cudaTarget(['sm_80']);
const hopper = cudaTarget(['sm_90a']);

describe('operandsOf', () => {
  it('takes f16 for autoencoders where a norm bounds the factors, bf16 where matrices of that are multiplied', () => {
    for (const target of [halfWebgpu, hopperWebgpu]) expect(operandsOf('vae', 'f16', target)).toBe('f16_where_bounded');
    for (const target of [ampere, hopper]) expect(operandsOf('vae', 'f16', target)).toBe('bf16');
  });

  it.each([cpuTarget, hopperWebgpu, hopper])('leaves everything else as it was asked for, on $backend', (target) => {
    for (const operands of ['f32', 'bf16', 'fp8', 'stored'] as const) {
      expect(operandsOf('vae', operands, target)).toBe(operands);
    }
    for (const component of ['transformer', 'text_encoder'] as const) {
      expect(operandsOf(component, 'f16', target)).toBe('f16');
      expect(operandsOf(component, undefined, target)).toBe('stored');
    }
    expect(operandsOf('vae', undefined, target)).toBe('stored');
  });
});

describe('the embedded checkpoint', async () => {
  const loaded = await loadModel(await openModelFiles(undefined));
  afterAll(() => closeModel(loaded));

  const kernelsOf = (name: NetworkName, target: Target): readonly CompiledKernel[] => {
    const { kernels } = compileFunctions({
      description: describeModel(loaded),
      functions: [name],
      target,
      dtypesOf: (component) => storedTypes(component, loaded[component]!),
      operands: 'f16',
    });
    return [...kernels.values()];
  };

  /** The tile kernels of a function that round anything to a type. */
  const rounding = (name: NetworkName, target: Target, dtype: FactorType): readonly string[] => {
    const texts = kernelsOf(name, target).map(({ tile }) => printTileKernel(tile));
    return texts.filter((text) => text.includes(`to_${dtype}(`));
  };

  it.each([
    ['any WebGPU adapter with f16', halfWebgpu],
    ['a GPU through WebGPU', hopperWebgpu],
    ['CUDA', hopper],
  ])('rounds all factors of the transformer to f16, and some of the autoencoder, on %s', (_, target) => {
    const factors = (name: NetworkName): Record<FactorType, number> => ({
      f16: rounding(name, target, 'f16').length,
      bf16: rounding(name, target, 'bf16').length,
    });
    expect(factors('denoise').f16).toBeGreaterThan(10);
    expect(factors('denoise').bf16).toBe(0);
    for (const name of ['vae_encoder', 'vae_decoder'] as const) {
      const { f16, bf16 } = factors(name);
      const [used, others] = target === hopper ? [bf16, f16] : [f16, bf16];
      expect(used, name).toBeGreaterThan(8);
      expect(others, name).toBe(0);
    }
  });

  it.each([halfWebgpu, hopperWebgpu])('multiplies in f32 what reads the stream of the autoencoder', (target) => {
    const texts = kernelsOf('vae_decoder', target).map(({ tile }) => printTileKernel(tile));
    const products = texts.filter((text) => text.includes('contract'));
    const wide = products.filter((text) => !text.includes('to_f16('));
    expect(products.length - wide.length).toBeGreaterThan(8);
    // conv_in, changes of size, shortcuts, attention and what it feeds.
    expect(wide.length).toBeGreaterThan(5);
  });
});
