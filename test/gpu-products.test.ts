/** Products on GPUs through WebGPU in sizes that no tile, no round of invocations and no word divides: what their schedules must leave to others. */
import { describe, expect, it } from 'vitest';
import { portableWebgpu, type Target } from '../backends/target.js';
import { kernelPrinter } from '../backends/print-kernel.js';
import {
  add,
  attention,
  type FunctionGraph,
  linear,
  mul,
  reshape,
  silu,
  split,
  type Tensor,
  transpose,
} from '../frontend/index.js';
import { verifyThreadKernel } from '../ir/kernel/thread-verify.js';
import { InterpreterDevice } from '../runtime/interpreter-device.js';
import { expectSameNumbers, type MatrixCase, prepareMatrixCase } from './matrix-cases.js';
import { hopperWebgpu } from './webgpu-targets.js';

type Case = Pick<MatrixCase, 'what' | 'build' | 'inputs'>;

const twice = (rows: number, depth: number): Case => ({
  what: `a product of ${rows} rows and a depth of ${depth} that another reads`,
  build: (g) => {
    const x = g.input('x', 'f32', [rows, depth]);
    g.output({ y: linear(silu(linear(x, g.weight('w', 'bf16', [128, depth]))), g.weight('v', 'bf16', [64, 128])) });
  },
  inputs: { x: [rows, depth] },
});

const gated = (rows: number, parts: number, width: number): Case => ({
  what: `${parts} products of ${rows} rows and ${width} columns, multiplied, that another reads`,
  build: (g) => {
    const all = linear(g.input('x', 'f32', [rows, 64]), g.weight('w', 'bf16', [parts * width, 64]));
    const pieces = split(
      all,
      1,
      Array.from({ length: parts }, () => width),
    );
    const product = pieces.reduce((left, right) => mul(left, right));
    g.output({ y: linear(product, g.weight('v', 'bf16', [48, width])) });
  },
  inputs: { x: [rows, 64] },
});

const heads = (size: number, tokens: number): Case => ({
  what: `attention of ${tokens} tokens with heads of ${size}`,
  build: (g: FunctionGraph) => {
    const x = silu(g.input('x', 'f32', [1, tokens, 2 * size]));
    const project = (name: string): Tensor<'f32', 4> => {
      const projected = linear(x, g.weight(name, 'bf16', [2 * size, 2 * size]));
      return transpose(reshape(projected, [1, tokens, 2, size]), [0, 2, 1, 3]);
    };
    g.output({ y: add(attention(project('q'), project('k'), project('v')), 1) });
  },
  inputs: { x: [1, tokens, 2 * size] },
});

const cases: readonly Case[] = [
  twice(33, 36),
  twice(33, 12),
  twice(1, 40),
  twice(128, 64),
  gated(32, 2, 128),
  gated(16, 2, 256),
  gated(33, 3, 64),
  gated(70, 2, 64),
  heads(16, 64),
  heads(16, 96),
  heads(64, 33),
  heads(128, 40),
];

const withProduct = (rows: number, columns: number, depth: number, lanes: number): Target => {
  return { ...hopperWebgpu, subgroupProduct: { rows, columns, depth }, subgroups: { min: lanes, max: lanes } };
};

const targets: readonly (readonly [string, Target, readonly ('f32' | 'f16' | 'bf16')[]])[] = [
  ['any adapter', portableWebgpu, ['f32']],
  ['matrices of 16 × 16 × 16', hopperWebgpu, ['f32', 'f16', 'bf16']],
  ['matrices of 16 × 16 × 16 in 32 KiB', { ...hopperWebgpu, workgroupMemory: 32768 }, ['f16']],
  ['matrices of 16 × 8 × 16', withProduct(16, 8, 16, 32), ['f16']],
  ['matrices of 8 × 16 × 16', withProduct(8, 16, 16, 32), ['f16']],
  ['matrices of subgroups of 64', withProduct(16, 16, 16, 64), ['f16']],
];

describe.each(targets)('products with %s', (_, target, types) => {
  it.each(types.flatMap((operands) => cases.map((one) => ({ ...one, operands }))))(
    '$what, operands in $operands',
    async ({ operands, ...test }) => {
      const whole: MatrixCase = { ...test, fragments: 0, shared: 0, walking: 0 };
      const run = prepareMatrixCase(whole, target, kernelPrinter(target), operands);
      for (const { thread } of run.compiled.kernels.values()) verifyThreadKernel(thread, target);
      await expectSameNumbers(run, new InterpreterDevice(target));
      expect(run.compiled.kernels.size).toBeGreaterThan(0);
    },
  );
});
