import { describe, expect, it } from 'vitest';
import { cudaTarget } from '../../backends/cuda/cuda-target.js';
import { kernelPrinter } from '../../backends/print-kernel.js';
import type { Target } from '../../backends/target.js';
import { graph, linear, silu } from '../../frontend/index.js';
import { compileModule } from '../../passes/compile.js';
import type { CompiledModule } from '../../passes/compiled.js';
import type { BundleCase } from './bundle-cases.js';
import { compileForms } from './bundle-forms.js';

function compileProduct(target: Target): CompiledModule {
  const fn = graph('product');
  const x = fn.input('x', 'f32', ['tokens', 256]);
  fn.output({ y: linear(silu(x), fn.weight('w', 'bf16', [256, 256])) });
  return compileModule(fn.build(), target, { print: kernelPrinter(target), operands: 'bf16' });
}

/** As if what the target says of tensor copies decided the unit of its products. */
function compileByCopies(target: Target): CompiledModule {
  return compileProduct(target.tensorCopies === true ? target : { ...target, matrix: 'mma' });
}

function caseOf(compile: BundleCase['compile'], isCompared: boolean): BundleCase {
  const description = {
    variant: 'single',
    function: 'product',
    sizes: { tokens: 512 },
    config: {},
    operands: 'bf16' as const,
  };
  return { name: 'product', compile, description, isCompared };
}

describe('the forms of a case', () => {
  const hopper: Target = { ...cudaTarget(['sm_90a']), tensorCopies: true };

  it('are two where tensor copies make other kernels; equal kernels have equal names', () => {
    const [first, other, ...none] = compileForms(caseOf(compileByCopies, true), hopper);
    expect(none).toEqual([]);
    expect([first?.name, other?.name]).toEqual(['product', 'product, cp.async ring']);
    expect([first?.description.form, other?.description.form]).toEqual([
      'tensor copies, walking tiles',
      'cp.async ring',
    ]);
    expect([first?.description.of, other?.description.of]).toEqual([undefined, 'product']);
    const [own, others] = [first, other].map((form) => [...form!.compiled.kernels.keys()]) as [string[], string[]];
    expect(own.filter((name) => others.includes(name))).toHaveLength(1);
    expect(others.filter((name) => !own.includes(name))).toHaveLength(1);
  });

  it.each([
    ['nothing differs', caseOf((target) => compileProduct({ ...target, tensorCopies: false }), true), hopper],
    ['the target has no tensor copies', caseOf(compileByCopies, true), cudaTarget(['sm_80'])],
    ['its kernels are not measured one by one', caseOf(compileByCopies, false), hopper],
  ])('are one where %s', (_, one, target) => {
    expect(compileForms(one, target).map(({ name }) => name)).toEqual(['product']);
  });
});
