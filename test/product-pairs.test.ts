/** Products of one operand that share a kernel, on every kind of target. */
import { describe, expect, it } from 'vitest';
import { cudaTarget } from '../backends/cuda/cuda-target.js';
import { cpuTarget, portableWebgpu } from '../backends/target.js';
import { interpretFunction } from '../ir/graph/interpret.js';
import { parseModule } from '../ir/graph/parse.js';
import { compareTensors } from '../ir/host-tensor.js';
import { printTileKernel } from '../ir/kernel/tile-print.js';
import { compileModule } from '../passes/compile.js';
import { createWeightReader } from '../passes/validate.js';
import { patternCases, patternWeights } from './run-pass.js';
import { runPlan } from './run-plan.js';

const targets = [
  { name: 'portable WebGPU', target: portableWebgpu, operands: 'f32' },
  { name: 'the processor', target: cpuTarget, operands: 'f32' },
  { name: 'CUDA', target: cudaTarget(['sm_80']), operands: 'bf16' },
] as const;

/** x is rounded to bf16 by a product before, so that it may be kept so; then one of rows of all kinds. */
function textOf(depth: number, width: number): string {
  return `weight @a : bf16[${depth}, 4] = tensor "a"
  weight @w : bf16[${2 * width + 8}, ${depth}] = tensor "w"
  weight @b : f32[${width}] = tensor "b"
  func @f(%x: f32[n, 4]) -> (y: %y, q: %q) {
    %s = matmul(%x, @a) {transposeB = true}
    %p = matmul(%s, @w) {transposeB = true}
    %q, %g, %u = split(%p) {axis = 1, sizes = [8, ${width}, ${width}]}
    %h = add(%g, @b)
    %i = silu(%h)
    %y = mul(%i, %u)
  }`;
}

describe.each(targets)('pairs of products for $name', ({ target, operands }) => {
  it.each([
    [16, 24, 9],
    [40, 136, 70],
    [64, 64, 1],
    [12, 20, 3],
    [7, 5, 6],
  ])('of depth %i and width %i', (depth, width, n) => {
    const module = parseModule(textOf(depth, width));
    const [sample] = patternCases(module, { n });
    const readTensor = patternWeights(module);
    const compiled = compileModule(module, target, { print: () => '', operands });
    const launches = compiled.plans.get('f')?.steps.filter(({ kind }) => kind === 'launch') ?? [];
    expect(launches).toHaveLength(3);
    const weights = createWeightReader(module, readTensor);
    const inputs = sample?.inputs ?? new Map<string, never>();
    const got = runPlan(compiled, 'f', inputs, ({ name }) => weights(name)).results;
    const want = interpretFunction(module, 'f', inputs, weights, { precision: 'f32' });
    // Factors of three products are rounded to 8 bits.
    const tolerance = operands === 'f32' ? 1e-5 : 1e-2;
    for (const [name, tensor] of want)
      expect(compareTensors(got.get(name)!, tensor).relativeL2, name).toBeLessThan(tolerance);
  });

  it('walk the contracted axis once', () => {
    const { kernels } = compileModule(parseModule(textOf(64, 64)), target, { print: () => '', operands });
    const pair = [...kernels.values()].find(({ name }) => name.startsWith('matmul_matmul'));
    if (pair === undefined) throw new Error('no pair');
    expect(printTileKernel(pair.tile)).toMatch(/for k \{\n *contract acc0 .*\n *contract acc1 .*\n *\}/);
    expect(pair.schedule.matrix !== undefined).toBe(target.matrix !== undefined);
  });
});
