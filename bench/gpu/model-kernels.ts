/** The kernels of the released models for CUDA: what measurements bundle and the table of resources lists. */
import { cudaTarget, type CudaArchitecture } from '../../backends/cuda/cuda-target.js';
import { kernelPrinter } from '../../backends/print-kernel.js';
import type { Target } from '../../backends/target.js';
import type { DimBinding } from '../../ir/dim.js';
import { buildFunction } from '../../models/flux2/component-functions.js';
import type { NetworkName } from '../../models/flux2/networks.js';
import { mayQuantize } from '../../models/flux2/quantized-tensors.js';
import { variants, type VariantName } from '../../models/flux2/variants.js';
import { compileModule } from '../../passes/compile.js';
import type { CompiledModule } from '../../passes/compiled.js';
import type { ProgramOperands } from './bundle.js';

export const variantNames = Object.keys(variants) as readonly VariantName[];

/** Weights are as the checkpoints have them but for those that operands in fp8 quantise. */
export function compileNetwork(
  variant: VariantName,
  name: NetworkName,
  target: Target,
  operands: ProgramOperands = 'bf16',
): CompiledModule {
  const { transformer, autoencoder, textEncoder, textEncoderOutLayers } = variants[variant];
  const description = { name: variant, pipeline: undefined, transformer, autoencoder, textEncoder };
  const module = buildFunction(description, name, () => 'bf16', textEncoderOutLayers);
  return compileModule(module, target, { print: kernelPrinter(target), operands, mayQuantize });
}

export function targetFor(architectures: readonly CudaArchitecture[]): Target {
  return cudaTarget(architectures);
}

/** Functions that draw pictures with a variant; the autoencoder is the same in all and dev has guidance built in. */
export function functionsOf(variant: VariantName): readonly NetworkName[] {
  const own: readonly NetworkName[] =
    variant === 'dev'
      ? ['text_encoder', 'denoise', 'vae_encoder', 'vae_decoder']
      : ['text_encoder', 'denoise', 'denoise_cfg'];
  return variant === 'klein-9b' ? [...own, 'denoise_cached'] : own;
}

/** Pictures are square; latent tokens have 16×16 pixels. */
export function sizesOf(name: NetworkName, pixels: number, references = 0, steps = 1): DimBinding {
  const side = pixels / 16;
  if (name === 'text_encoder') return { batch: 1, txt: 512 };
  if (name === 'vae_encoder' || name === 'vae_decoder') return { batch: 1, h: side, w: side };
  // References are brought to a megapixel.
  return { batch: 1, img: side * side, txt: 512, ref: references * 64 * 64, steps };
}
