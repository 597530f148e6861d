/** What is checked and measured: a single kernel of a known shape, and the models' functions at 1024². */
import type { Target } from '../../backends/target.js';
import { graph, linear, silu } from '../../frontend/index.js';
import type { Module } from '../../frontend/index.js';
import { kernelPrinter } from '../../backends/print-kernel.js';
import type { NetworkName } from '../../models/flux2/networks.js';
import { variants, type VariantName } from '../../models/flux2/variants.js';
import { compileModule } from '../../passes/compile.js';
import type { CompiledModule } from '../../passes/compiled.js';
import type { ProgramDescription } from './bundle-program.js';
import { compileNetwork, sizesOf } from './model-kernels.js';

export interface BundleCase {
  /** `dev.denoise`, `contraction`. */
  readonly name: string;
  readonly compile: (target: Target) => CompiledModule;
  readonly description: Omit<ProgramDescription, 'form' | 'of'>;
  /** Its kernels are measured one by one: in all forms that there are, see `compileForms`. */
  readonly isCompared: boolean;
}

/**
 * dev's widest product, by a plain kernel: nothing before or behind it. As in a model, what only the product reads is kept in
 * bf16 by the kernel that makes it, here SiLU.
 */
function contraction(): Module {
  const fn = graph('contraction');
  const x = fn.input('x', 'f32', ['tokens', 6144]);
  fn.output({ y: linear(silu(x), fn.weight('w', 'bf16', [55296, 6144])) });
  return fn.build();
}

function single(name: string, build: () => Module): BundleCase {
  return {
    name,
    compile: (target) => compileModule(build(), target, { print: kernelPrinter(target), operands: 'bf16' }),
    description: { variant: 'single', function: name, sizes: { tokens: 4608 }, config: {} },
    isCompared: true,
  };
}

export const singleKernelCases: readonly BundleCase[] = [single('contraction', contraction)];

/** Without dev's text encoder: its 33 GB beside the transformer's 64 would not fit one GPU. */
const functions: readonly (readonly [VariantName, NetworkName, steps: number])[] = [
  ['dev', 'denoise', 1],
  ['klein-4b', 'text_encoder', 1],
  ['klein-4b', 'denoise', 4],
  ['klein-4b', 'vae_encoder', 1],
  ['klein-4b', 'vae_decoder', 1],
];

export const bundleModels: readonly VariantName[] = [...new Set(functions.map(([variant]) => variant))];

export function networkCases(models: readonly VariantName[]): readonly BundleCase[] {
  return functions
    .filter(([variant]) => models.includes(variant))
    .map(([variant, name, steps]) => {
      const { transformer, autoencoder } = variants[variant];
      const config = { ...(name.startsWith('vae') ? autoencoder : transformer) };
      return {
        name: `${variant}.${name}`,
        compile: (target) => compileNetwork(variant, name, target),
        description: { variant, function: name, sizes: sizesOf(name, 1024, 0, steps), config },
        isCompared: variant === 'dev',
      };
    });
}
