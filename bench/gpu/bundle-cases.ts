/** What is checked and measured: a single kernel of a known shape, and the models' functions at 1024². */
import type { Target } from '../../backends/target.js';
import { graph, linear, silu } from '../../frontend/index.js';
import type { Module } from '../../frontend/index.js';
import { kernelPrinter } from '../../backends/print-kernel.js';
import type { NetworkName } from '../../models/flux2/networks.js';
import { variants, type VariantName } from '../../models/flux2/variants.js';
import { compileModule } from '../../passes/compile.js';
import type { CompiledModule } from '../../passes/compiled.js';
import type { ProgramOperands } from './bundle.js';
import type { ProgramDescription } from './bundle-program.js';
import { compileNetwork, sizesOf } from './model-kernels.js';

export interface BundleCase {
  /** `dev.denoise`, `contraction`; behind a comma the operands where they are not bf16. */
  readonly name: string;
  readonly compile: (target: Target) => CompiledModule;
  readonly description: Omit<ProgramDescription, 'form' | 'of'>;
  /** Its kernels are measured in all forms that there are, see `compileForms`. */
  readonly isCompared: boolean;
}

/**
 * dev's widest product, by a plain kernel: nothing before or behind it. As in a model, what only the product reads is kept in
 * bf16 by the kernel that makes it, here SiLU; with operands in fp8 a kernel between them quantises it.
 */
function contraction(): Module {
  const fn = graph('contraction');
  const x = fn.input('x', 'f32', ['tokens', 6144]);
  fn.output({ y: linear(silu(x), fn.weight('w', 'bf16', [55296, 6144])) });
  return fn.build();
}

function single(name: string, build: () => Module, operands: ProgramOperands): BundleCase {
  return {
    name: nameCase(name, operands),
    compile: (target) => compileModule(build(), target, { print: kernelPrinter(target), operands }),
    description: { variant: 'single', function: name, sizes: { tokens: 4608 }, config: {}, operands },
    isCompared: true,
  };
}

const singleKernelCases: readonly BundleCase[] = [
  single('contraction', contraction, 'bf16'),
  single('contraction', contraction, 'fp8'),
];

/** Without dev's text encoder: its 33 GB beside the transformer's 64 would not fit one GPU. */
const functions: readonly (readonly [VariantName, NetworkName, steps: number, ProgramOperands])[] = [
  ['dev', 'denoise', 1, 'bf16'],
  ['dev', 'denoise', 1, 'fp8'],
  ['klein-4b', 'text_encoder', 1, 'bf16'],
  ['klein-4b', 'denoise', 4, 'bf16'],
  ['klein-4b', 'vae_encoder', 1, 'bf16'],
  ['klein-4b', 'vae_decoder', 1, 'bf16'],
];

export const bundleModels: readonly VariantName[] = [...new Set(functions.map(([variant]) => variant))];

/** What a bundle for the target has of these models, single kernels first. */
export function bundleCases(models: readonly VariantName[], target: Target): readonly BundleCase[] {
  const cases = [...singleKernelCases, ...networkCases(models)];
  return cases.filter(({ description }) => description.operands !== 'fp8' || target.fp8 === true);
}

function networkCases(models: readonly VariantName[]): readonly BundleCase[] {
  return functions
    .filter(([variant]) => models.includes(variant))
    .map(([variant, name, steps, operands]) => {
      const { transformer, autoencoder } = variants[variant];
      const config = { ...(name.startsWith('vae') ? autoencoder : transformer) };
      return {
        name: nameCase(`${variant}.${name}`, operands),
        compile: (target) => compileNetwork(variant, name, target, operands),
        description: { variant, function: name, sizes: sizesOf(name, 1024, 0, steps), config, operands },
        // The plain product says how forms compare in fp8; compiling dev's once more takes long.
        isCompared: variant === 'dev' && operands === 'bf16',
      };
    });
}

function nameCase(name: string, operands: ProgramOperands): string {
  return operands === 'bf16' ? name : `${name}, ${operands}`;
}
