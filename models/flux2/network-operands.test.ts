import { afterAll, describe, expect, it } from 'vitest';
import { cudaTarget } from '../../backends/cuda/cuda-target.js';
import { cpuTarget, portableWebgpu, type Target } from '../../backends/target.js';
import { printTileKernel } from '../../ir/kernel/tile-print.js';
import type { Operands } from '../../passes/compile.js';
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
  it('keeps autoencoders out of f16: in bf16 where matrices of that are multiplied, in f32 elsewhere', () => {
    for (const target of [cpuTarget, halfWebgpu, hopperWebgpu]) expect(operandsOf('vae', 'f16', target)).toBe('f32');
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

  /** The tile kernels of a function that round anything to a type. */
  const rounding = (name: NetworkName, target: Target, dtype: Operands): readonly string[] => {
    const { kernels } = compileFunctions({
      description: describeModel(loaded),
      functions: [name],
      target,
      dtypesOf: (component) => storedTypes(component, loaded[component]!),
      operands: 'f16',
    });
    const texts = [...kernels.values()].map(({ tile }) => printTileKernel(tile));
    return texts.filter((text) => text.includes(`to_${dtype}(`));
  };

  it.each([
    ['any WebGPU adapter with f16', halfWebgpu],
    ['a GPU through WebGPU', hopperWebgpu],
    ['CUDA', hopper],
  ])('rounds factors of the transformer to f16, and none of the autoencoder, on %s', (_, target) => {
    expect(rounding('denoise', target, 'f16').length).toBeGreaterThan(10);
    for (const name of ['vae_encoder', 'vae_decoder'] as const) {
      expect(rounding(name, target, 'f16')).toEqual([]);
      const hasMatrices = target === hopper;
      expect(rounding(name, target, 'bf16').length > 10, name).toBe(hasMatrices);
    }
  });
});
