/** Convolutions of upsampled pictures, folded into filters of sums, on every kind of target. */
import { describe, expect, it } from 'vitest';
import { cudaTarget } from '../backends/cuda/cuda-target.js';
import { cpuTarget, portableWebgpu, type Target } from '../backends/target.js';
import { interpretFunction } from '../ir/graph/interpret.js';
import { materializeWeight } from '../ir/graph/weights.js';
import { parseModule } from '../ir/graph/parse.js';
import { compareTensors } from '../ir/host-tensor.js';
import { verifyThreadKernel } from '../ir/kernel/thread-verify.js';
import { verifyTileKernel } from '../ir/kernel/tile-verify.js';
import { compileModule, type CompileOptions } from '../passes/compile.js';
import type { CompiledModule } from '../passes/compiled.js';
import { createWeightReader } from '../passes/validate.js';
import { patternCases, patternWeights } from './run-pass.js';
import { runPlan } from './run-plan.js';

const lanes = (count: number): Target => ({
  ...portableWebgpu,
  stagingPays: false,
  subgroups: { min: count, max: count },
});
const matrices: Target = {
  ...portableWebgpu,
  f16: true,
  matrix: 'subgroup',
  subgroupProduct: { rows: 8, columns: 8, depth: 8 },
  subgroups: { min: 32, max: 32 },
  workgroupMemory: 32768,
};
const targets: readonly (readonly [string, Target, CompileOptions['operands'], number])[] = [
  ['the processor', cpuTarget, 'f32', 1e-5],
  ['lanes of 4', lanes(4), 'f32', 1e-5],
  ['lanes of 8', lanes(8), 'f32', 1e-5],
  ['any WebGPU adapter', portableWebgpu, 'f32', 1e-5],
  ['a GPU that stages factors', { ...portableWebgpu, workgroupMemory: 49152 }, 'f32', 1e-5],
  ['a GPU with matrices of subgroups', matrices, 'f16', 2e-3],
  ['CUDA from fragments', cudaTarget(['sm_80']), 'bf16', 1e-2],
  ['CUDA from workgroup memory', cudaTarget(['sm_90a']), 'bf16', 1e-2],
];

interface Shape {
  readonly inputs: number;
  readonly outputs: number;
  readonly height: number;
  readonly width: number;
}

const shapes: readonly Shape[] = [
  { inputs: 8, outputs: 16, height: 5, width: 3 },
  { inputs: 16, outputs: 36, height: 1, width: 7 },
  { inputs: 64, outputs: 64, height: 9, width: 8 },
  { inputs: 3, outputs: 5, height: 4, width: 6 },
];

const textOf = ({ inputs, outputs }: Shape): string => `
  weight @w : f32[${outputs}, ${inputs}, 3, 3] = tensor "w"
  weight @b : f32[${outputs}] = tensor "b"
  func @f(%x: f32[batch, h, v, ${inputs}], %r: f32[batch, 2*h, 2*v, ${outputs}]) -> (y: %y) {
    %k = transpose(@w) {permutation = [0, 2, 3, 1]}
    %s = silu(%x)
    %u = upsample_nearest(%s) {factor = 2}
    %c = conv2d(%u, %k) {stride = 1, padding = [1, 1, 1, 1]}
    %a = add(%c, @b)
    %y = add(%a, %r)
  }`;

function check(shape: Shape, target: Target, operands: CompileOptions['operands'], tolerance: number): CompiledModule {
  const module = parseModule(textOf(shape));
  const readTensor = patternWeights(module);
  const compiled = compileModule(module, target, { print: () => '', ...(operands && { operands }) });
  for (const { tile, thread } of compiled.kernels.values()) {
    verifyTileKernel(tile);
    verifyThreadKernel(thread, target);
  }
  const [sample] = patternCases(module, { batch: 2, h: shape.height, v: shape.width });
  const inputs = sample?.inputs ?? new Map<string, never>();
  const got = runPlan(compiled, 'f', inputs, (declaration) => materializeWeight(declaration, readTensor)).results;
  const want = interpretFunction(module, 'f', inputs, createWeightReader(module, readTensor), { precision: 'f32' });
  for (const [name, tensor] of want)
    expect(compareTensors(got.get(name)!, tensor).relativeL2, name).toBeLessThan(tolerance);
  return compiled;
}

describe.each(targets)('upsampled pictures on %s', (_, target, operands, tolerance) => {
  it.each(shapes)('$inputs to $outputs channels of $height × $width pixels', (shape) => {
    const { plans, kernels } = check(shape, target, operands, tolerance);
    const launches = plans.get('f')?.steps.filter(({ kind }) => kind === 'launch');
    // The activation, then one kernel of all positions with bias and residual.
    expect(launches).toHaveLength(2);
    expect(plans.get('f')?.weights.map(({ source }) => source.kind)).toEqual(['upsampled_filters', 'tensor']);
    const [product] = [...kernels.values()].filter(({ name }) => name.startsWith('conv2d'));
    const multiplies = operands !== 'f32' && shape.inputs % 8 === 0 && shape.outputs % 4 === 0;
    if (target.matrix === 'subgroup') expect(product?.schedule.matrix !== undefined).toBe(multiplies);
  });
});
