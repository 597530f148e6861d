/** All functions of the released models for a GPU that multiplies matrices of subgroups: which kernels do, and that each can be started. */
import { describe, expect, it } from 'vitest';
import { kernelPrinter } from '../backends/print-kernel.js';
import { printTileKernel } from '../ir/kernel/tile-print.js';
import { verifyThreadKernel } from '../ir/kernel/thread-verify.js';
import { buildFunction } from '../models/flux2/component-functions.js';
import type { NetworkName } from '../models/flux2/networks.js';
import { variants } from '../models/flux2/variants.js';
import { compileModule } from '../passes/compile.js';
import type { KernelFamily } from '../passes/kernel/from-group/facts.js';
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

/**
 * Of an autoencoder's launches of products with factors in f16 where a norm bounds them, those in f32, by what their labels say: what reads a
 * stream, latents or what a product makes; and the share of all work at 512² that is f16.
 */
const unbounded = {
  vae_encoder: {
    launches: { conv_in: 1, downsamplers: 3, conv_shortcut: 2, attention: 1, to_out: 1, quant_conv: 1 },
    share: 0.904,
  },
  vae_decoder: {
    launches: { post_quant_conv: 1, conv_in: 1, attention: 1, to_out: 1, upsamplers: 3, conv_shortcut: 2 },
    share: 0.819,
  },
} as const;

const { transformer, autoencoder, textEncoder, textEncoderOutLayers } = variants['klein-4b'];
const description = { name: 'klein-4b', pipeline: undefined, transformer, autoencoder, textEncoder };

const productFamilies: readonly KernelFamily[] = ['contraction', 'heads', 'attention'];

describe('products of matrices of subgroups', () => {
  it.each(functions)('in %s of klein-4b', (name) => {
    const module = buildFunction(description, name, () => 'bf16', textEncoderOutLayers);
    const { kernels } = compileModule(module, hopperWebgpu, { print: kernelPrinter(hopperWebgpu), operands: 'f16' });
    for (const { thread } of kernels.values()) verifyThreadKernel(thread, hopperWebgpu);
    const others = [...kernels.values()].filter(
      ({ schedule, facts }) => schedule.matrix === undefined && productFamilies.includes(facts.family),
    );
    expect(others.map((kernel) => kernel.name.replace(/_[0-9a-f]{8}$/, '')).sort()).toEqual(without[name]);
  });

  it.each(['vae_encoder', 'vae_decoder'] as const)('in %s of klein-4b, f16 where a norm bounds the factors', (name) => {
    const module = buildFunction(description, name, () => 'bf16', textEncoderOutLayers);
    const { kernels, plans } = compileModule(module, hopperWebgpu, {
      print: kernelPrinter(hopperWebgpu),
      operands: 'f16_where_bounded',
    });
    const { launches, share } = unbounded[name];
    const found = new Map<string, number>();
    const work = { all: 0, halves: 0 };
    for (const step of plans.get(name)!.steps) {
      if (step.kind !== 'launch') continue;
      const { facts, tile, schedule } = kernels.get(step.kernel)!;
      const flop = step.flop.evaluate({ batch: 1, h: 32, w: 32 });
      work.all += flop;
      if (!productFamilies.includes(facts.family)) continue;
      const isHalf = printTileKernel(tile).includes('to_f16(');
      if (isHalf) work.halves += flop;
      // Three columns, of the picture, are no matrix.
      expect(schedule.matrix !== undefined, step.label).toBe(isHalf && !step.label.includes('decoder.conv_out'));
      const [what] = /conv_in|(post_)?quant_conv|(up|down)samplers|conv_shortcut|to_out|attention$/.exec(
        step.label,
      ) ?? [step.label];
      if (!isHalf) found.set(what, (found.get(what) ?? 0) + 1);
    }
    expect(Object.fromEntries(found)).toEqual(launches);
    expect(work.halves / work.all).toBeCloseTo(share, 3);
  });
});
