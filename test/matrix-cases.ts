import { expect } from 'vitest';
import {
  add,
  attention,
  conv2d,
  type FunctionGraph,
  graph,
  linear,
  matmul,
  mul,
  reshape,
  silu,
  split,
  transpose,
  upsampleNearest,
} from '../frontend/index.js';
import type { Tensor } from '../frontend/index.js';
import { cudaTarget } from '../backends/cuda/cuda-target.js';
import type { Target } from '../backends/target.js';
import type { Module } from '../ir/graph/graph.js';
import { interpretFunction } from '../ir/graph/interpret.js';
import { roundToDType } from '../ir/graph/ops/rounding.js';
import { compareTensors, type HostTensor } from '../ir/host-tensor.js';
import type { ThreadKernel } from '../ir/kernel/thread.js';
import { compileModule, type CompileOptions } from '../passes/compile.js';
import type { CompiledModule } from '../passes/compiled.js';
import type { Device } from '../runtime/device.js';
import { fromHostTensor, toHostTensor } from '../runtime/host-array.js';
import { Session } from '../runtime/session.js';
import { memoryWeights } from '../runtime/weight-provider.js';
import { Random } from './random.js';

/** A small graph whose products have 16-bit operands on a target that multiplies matrix fragments. */
export interface MatrixCase {
  readonly what: string;
  /** Adds everything but the input `x`. */
  build(g: FunctionGraph): void;
  readonly inputs: Readonly<Record<string, readonly number[]>>;
  /** Kernels that multiply fragments, and those of them that take operands from workgroup memory where a target can. */
  readonly fragments: number;
  readonly shared: number;
  /** Those of them whose operands are boxes of tensors. */
  readonly walking: number;
}

/** Targets of each way to multiply matrices. */
export const matrixTargets: readonly (readonly [what: string, target: Target])[] = [
  ['from fragments', cudaTarget(['sm_80'])],
  ['from workgroup memory, all invocations copying', withoutTensorCopies(cudaTarget(['sm_90a']))],
  ['from workgroup memory, a role copying', cudaTarget(['sm_90a'])],
];

/** All invocations copy then, as they do where what is read is no rectangle. */
export function withoutTensorCopies({ tensorCopies: _, ...target }: Target): Target {
  return target;
}

/** What a map kernel writes and only products read is kept in 16 bits. */
function narrow<R extends number>(x: Tensor<'f32', R>): Tensor<'f32', R> {
  return silu(x);
}

const heads =
  (count: number, size: number, mask = false, causal = false) =>
  (g: FunctionGraph): void => {
    const x = narrow(g.input('x', 'f32', ['batch', 'tokens', count * size]));
    const project = (name: string, of: number): Tensor<'f32', 4> => {
      const projected = linear(x, g.weight(name, 'bf16', [of * size, count * size]));
      return transpose(reshape(projected, ['batch', 'tokens', of, size]), [0, 2, 1, 3]);
    };
    const allowed = mask ? { mask: g.input('mask', 'bool', ['batch', 'tokens']) } : {};
    const options = { ...allowed, causal };
    g.output({ y: attention(project('q', count), project('k', count / 2), project('v', count / 2), options) });
  };

export const matrixCases: readonly MatrixCase[] = [
  {
    what: 'a product with rows, columns and depth of no whole tile',
    build: (g) => {
      const x = narrow(g.input('x', 'f32', [1, 'tokens', 328]));
      g.output({ y: linear(x, g.weight('w', 'bf16', [264, 328])) });
    },
    inputs: { x: [1, 77, 328] },
    fragments: 1,
    shared: 1,
    walking: 1,
  },
  {
    what: 'a product of several row and column tiles with bias, gate and residual',
    build: (g) => {
      const x = narrow(g.input('x', 'f32', [1, 'tokens', 192]));
      const residual = g.input('residual', 'f32', [1, 'tokens', 512]);
      const product = linear(x, g.weight('w', 'bf16', [512, 192]), g.weight('bias', 'bf16', [512]));
      g.output({ y: add(mul(product, g.input('gate', 'f32', [512])), residual) });
    },
    inputs: { x: [1, 150, 192], residual: [1, 150, 512], gate: [512] },
    fragments: 1,
    shared: 1,
    walking: 1,
  },
  {
    what: 'a product cut into pieces that other products read',
    build: (g) => {
      const x = narrow(g.input('x', 'f32', [1, 'tokens', 128]));
      const [a, b] = split(linear(x, g.weight('w', 'bf16', [320, 128])), 2, [192, 128]);
      g.output({
        left: linear(a, g.weight('wa', 'bf16', [96, 192])),
        right: linear(b, g.weight('wb', 'bf16', [136, 128])),
      });
    },
    inputs: { x: [1, 45, 128] },
    fragments: 3,
    shared: 3,
    walking: 3,
  },
  {
    what: 'a gated pair of products in one',
    build: (g) => {
      const x = narrow(g.input('x', 'f32', [1, 'tokens', 192]));
      const [gate, up] = split(linear(x, g.weight('w', 'bf16', [560, 192])), 2, [280, 280]);
      g.output({ y: linear(mul(silu(gate), up), g.weight('out', 'bf16', [192, 280])) });
    },
    inputs: { x: [1, 133, 192] },
    fragments: 2,
    shared: 2,
    walking: 2,
  },
  {
    what: 'a batch of products of two computed matrices',
    build: (g) => {
      const x = narrow(g.input('x', 'f32', ['batch', 'tokens', 64]));
      const y = narrow(g.input('other', 'f32', ['batch', 64, 80]));
      g.output({ y: matmul(x, y) });
    },
    inputs: { x: [3, 37, 64], other: [3, 64, 80] },
    fragments: 1,
    shared: 1,
    walking: 1,
  },
  {
    what: 'a product over nothing',
    build: (g) => {
      const x = narrow(g.input('x', 'f32', [1, 'tokens', '8*k']));
      const y = narrow(g.input('other', 'f32', [1, 128, '8*k']));
      g.output({ y: matmul(x, transpose(y, [0, 2, 1])) });
    },
    inputs: { x: [1, 130, 0], other: [1, 128, 0] },
    fragments: 1,
    shared: 1,
    walking: 1,
  },
  {
    what: 'attention that sees nothing',
    build: (g) => {
      const read = (name: string, tokens: string): Tensor<'f32', 4> => narrow(g.input(name, 'f32', [1, 2, tokens, 64]));
      g.output({ y: attention(read('x', 'tokens'), read('k', 'keys'), read('v', 'keys')) });
    },
    inputs: { x: [1, 2, 130, 64], k: [1, 2, 0, 64], v: [1, 2, 0, 64] },
    fragments: 1,
    shared: 1,
    walking: 1,
  },
  {
    what: 'few columns',
    build: (g) => {
      const x = narrow(g.input('x', 'f32', [1, 'tokens', 72]));
      g.output({ y: linear(x, g.weight('w', 'bf16', [20, 72])) });
    },
    inputs: { x: [1, 33, 72] },
    fragments: 1,
    shared: 0,
    walking: 0,
  },
  {
    what: 'three columns, of which no pairs can be made',
    build: (g) => {
      const x = narrow(g.input('x', 'f32', [1, 'tokens', 72]));
      g.output({ y: linear(x, g.weight('w', 'bf16', [3, 72])) });
    },
    inputs: { x: [1, 33, 72] },
    fragments: 0,
    shared: 0,
    walking: 0,
  },
  {
    what: 'attention with heads of 64',
    build: heads(2, 64),
    inputs: { x: [2, 150, 128] },
    fragments: 2,
    shared: 2,
    walking: 2,
  },
  {
    what: 'attention of which no chunk is left',
    build: heads(2, 64),
    inputs: { x: [1, 256, 128] },
    fragments: 2,
    shared: 2,
    walking: 2,
  },
  {
    what: 'attention with heads of 128',
    build: heads(2, 128),
    inputs: { x: [1, 200, 256] },
    fragments: 2,
    shared: 2,
    walking: 2,
  },
  {
    what: 'causal attention with a mask and heads of 48',
    build: heads(2, 48, true, true),
    inputs: { x: [2, 71, 96], mask: [2, 71] },
    fragments: 2,
    shared: 1,
    walking: 1,
  },
  {
    what: 'causal attention with a mask and heads of 128',
    build: heads(2, 128, true, true),
    inputs: { x: [1, 139, 256], mask: [1, 139] },
    fragments: 2,
    shared: 2,
    walking: 2,
  },
  {
    what: 'one head as wide as a picture has channels',
    build: (g) => {
      const x = narrow(g.input('x', 'f32', [1, 'tokens', 512]));
      const project = (name: string): Tensor<'f32', 4> =>
        reshape(linear(x, g.weight(name, 'bf16', [512, 512])), [1, 1, 'tokens', 512]);
      g.output({ y: attention(project('q'), project('k'), project('v')) });
    },
    inputs: { x: [1, 35, 512] },
    fragments: 1,
    shared: 1,
    walking: 1,
  },
  {
    what: 'a padded convolution',
    build: (g) => {
      const x = narrow(g.input('x', 'f32', ['batch', 'h', 'w', 64]));
      const kernel = transpose(g.weight('w', 'bf16', [128, 64, 3, 3]), [0, 2, 3, 1]);
      g.output({ y: conv2d(x, kernel, { bias: g.weight('bias', 'bf16', [128]), padding: 1 }) });
    },
    inputs: { x: [2, 9, 11, 64] },
    fragments: 1,
    shared: 1,
    walking: 0,
  },
  {
    what: 'a strided convolution padded on the far sides, of few channels',
    build: (g) => {
      const x = narrow(g.input('x', 'f32', [1, '2*h', '2*w', 24]));
      const kernel = transpose(g.weight('w', 'bf16', [40, 24, 3, 3]), [0, 2, 3, 1]);
      g.output({ y: conv2d(x, kernel, { stride: 2, padding: [0, 0, 1, 1] }) });
    },
    inputs: { x: [1, 12, 10, 24] },
    fragments: 1,
    shared: 0,
    walking: 0,
  },
  {
    what: 'a convolution of an enlarged picture',
    build: (g) => {
      const x = narrow(g.input('x', 'f32', [1, 'h', 'w', 64]));
      const kernel = transpose(g.weight('w', 'bf16', [72, 64, 3, 3]), [0, 2, 3, 1]);
      g.output({ y: conv2d(upsampleNearest(x, 2), kernel, { padding: 1 }) });
    },
    inputs: { x: [1, 5, 7, 64] },
    fragments: 1,
    shared: 1,
    walking: 0,
  },
];

export interface MatrixRun {
  readonly compiled: CompiledModule;
  readonly module: Module;
  readonly inputs: ReadonlyMap<string, HostTensor>;
  readonly weights: ReadonlyMap<string, HostTensor>;
}

/** Compiles a case for a target with operands of 16 bits, with random numbers for all it reads. */
export function prepareMatrixCase(
  test: MatrixCase,
  target: Target,
  print: (kernel: ThreadKernel) => string,
  operands: 'bf16' | 'f16' | 'f32' = 'bf16',
  schedules?: CompileOptions['schedules'],
): MatrixRun {
  const random = new Random(7);
  const g = graph('case');
  test.build(g);
  const module = g.build();
  const fill = (dtype: HostTensor['dtype'], shape: readonly number[]): HostTensor => {
    const data = Float64Array.from({ length: shape.reduce((count, size) => count * size, 1) }, () =>
      dtype === 'bool' ? Number(random.chance(0.7)) : roundToDType(dtype, random.between(-1, 1)),
    );
    return { dtype, shape, data };
  };
  const parameters = module.functions.get('case')?.body.parameters ?? [];
  const inputs = new Map(parameters.map(({ name, type }) => [name, fill(type.dtype, test.inputs[name] ?? [])]));
  const weights = new Map(
    [...module.weights].map(([name, { type }]) => [
      name,
      fill(
        type.dtype,
        type.shape.map((size) => size.evaluate({})),
      ),
    ]),
  );
  return {
    compiled: compileModule(module, target, { print, operands, ...(schedules && { schedules }) }),
    module,
    inputs,
    weights,
  };
}

/** Runs it and holds the results against the graph interpreter: rounding to bf16 is a relative 2^-9 a factor. */
export async function expectSameNumbers(
  { compiled, module, inputs, weights }: MatrixRun,
  device: Device,
): Promise<void> {
  const plan = compiled.plans.get('case');
  if (plan === undefined) throw new Error('no plan');
  const session = await Session.create({ plan, kernels: compiled.kernels, device, weights: memoryWeights(weights) });
  const got = await session.run(new Map([...inputs].map(([name, tensor]) => [name, fromHostTensor(tensor)])));
  const want = interpretFunction(module, 'case', inputs, (name) => weights.get(name) as HostTensor, {
    precision: 'f32',
  });
  for (const [name, tensor] of want) {
    const { relativeL2 } = compareTensors(toHostTensor(got.get(name)!), tensor);
    expect(relativeL2, name).toBeLessThan(1.5e-2);
  }
  await session.destroy();
}
