/** All functions of the released models for a GPU that multiplies matrices of subgroups: which kernels do, and that each can be started. */
import { describe, expect, it } from 'vitest';
import { kernelPrinter } from '../backends/print-kernel.js';
import { verifyThreadKernel } from '../ir/kernel/thread-verify.js';
import { buildFunction } from '../models/flux2/component-functions.js';
import type { NetworkName } from '../models/flux2/networks.js';
import { variants } from '../models/flux2/variants.js';
import { compileModule } from '../passes/compile.js';
import { hopperWebgpu } from './webgpu-targets.js';

const functions: readonly NetworkName[] = ['text_encoder', 'vae_encoder', 'denoise', 'vae_decoder'];

/**
 * Kernels with products that are no such matrices: of pictures' three channels, 3 columns and a depth of 27, and attention of one head of 512, which
 * does not fit workgroup memory.
 */
const without: Readonly<Partial<Record<NetworkName, readonly string[]>>> = {
  text_encoder: [],
  vae_encoder: ['attention', 'conv2d_add'],
  denoise: [],
  vae_decoder: ['attention', 'conv2d_add'],
};

describe('products of matrices of subgroups', () => {
  it.each(functions)('in %s of klein-4b', (name) => {
    const { transformer, autoencoder, textEncoder, textEncoderOutLayers } = variants['klein-4b'];
    const description = { name: 'klein-4b', pipeline: undefined, transformer, autoencoder, textEncoder };
    const module = buildFunction(description, name, () => 'bf16', textEncoderOutLayers);
    const { kernels } = compileModule(module, hopperWebgpu, { print: kernelPrinter(hopperWebgpu), operands: 'f16' });
    for (const { thread } of kernels.values()) verifyThreadKernel(thread, hopperWebgpu);
    const others = [...kernels.values()].filter(
      ({ schedule, facts }) =>
        schedule.matrix === undefined && ['contraction', 'heads', 'attention'].includes(facts.family),
    );
    expect(others.map((kernel) => kernel.name.replace(/_[0-9a-f]{8}$/, '')).sort()).toEqual(without[name]);
  });
});
