/** Kernels of drivers whose lanes share out loads: every product and attention against the graph's definition, on odd sizes. */
import { describe, expect, it } from 'vitest';
import { portableWebgpu, type Target } from '../backends/target.js';
import { parseModule } from '../ir/graph/parse.js';
import type { Expression } from '../ir/kernel/thread.js';
import { forEachExpression } from '../ir/kernel/statements.js';
import { verifyThreadKernel } from '../ir/kernel/thread-verify.js';
import { patternCases, patternWeights } from './run-pass.js';
import { validatePlan } from './validate-plan.js';

function targetOf(lanes: number): Target {
  return { ...portableWebgpu, stagingPays: false, subgroups: { min: lanes, max: lanes } };
}

/** Runs the graph's kernels, one invocation after another, and counts what lanes take from each other. */
function broadcastsOf(text: string, n: number, target: Target): number {
  const module = parseModule(text);
  const [sample] = patternCases(module, { n });
  if (sample === undefined) throw new Error('no function');
  const readTensor = patternWeights(module);
  const { compiled } = validatePlan({ module, functionName: 'f', inputs: sample.inputs, readTensor }, target);
  let broadcasts = 0;
  const count = ({ kind }: Expression): void => void (kind === 'subgroup_broadcast' && broadcasts++);
  for (const { thread } of compiled.kernels.values()) {
    verifyThreadKernel(thread, target);
    forEachExpression(thread.body, count);
  }
  return broadcasts;
}

describe.each([4, 8, 16])('with subgroups of %i', (lanes) => {
  const target = targetOf(lanes);

  it.each([
    [2, 4, 4, 'f32'],
    [3, 12, 33, 'bf16'],
    [17, 100, 20, 'f16'],
    [40, 64, 96, 'bf16'],
    [33, 8, 130, 'f32'],
    // Rows of w that no vectors lie in.
    [19, 7, 65, 'bf16'],
    [16, 33, 9, 'f32'],
  ] as const)('%i rows of depth %i times %i columns in %s', (rows, depth, columns, dtype) => {
    const text = (m: string): string => `
      weight @w : ${dtype}[${columns}, ${depth}] = tensor "w"
      weight @b : f32[${columns}] = tensor "b"
      func @f(%x: f32[${m}, ${depth}], %r: f32[${m}, ${columns}]) -> (y: %y) {
        %s = silu(%x)
        %p = matmul(%s, @w) {transposeB = true}
        %h = mul(%p, @b)
        %y = add(%h, %r)
      }`;
    expect(broadcastsOf(text('n'), rows, target)).toBeGreaterThan(0);
    expect(broadcastsOf(text(`${rows}`), rows, target)).toBeGreaterThan(0);
  });

  it('two products of one operand, and a split of their columns', () => {
    const text = `
      weight @w : bf16[52, 20] = tensor "w"
      func @f(%x: f32[n, 20]) -> (y: %y, q: %q) {
        %p = matmul(%x, @w) {transposeB = true}
        %q, %g, %u = split(%p) {axis = 1, sizes = [8, 22, 22]}
        %i = silu(%g)
        %y = mul(%i, %u)
      }`;
    expect(broadcastsOf(text, 19, target)).toBeGreaterThan(0);
  });

  it.each([10, 32])('three products of one operand, %i columns each', (columns) => {
    const text = `
      weight @w : f32[${3 * columns}, 16] = tensor "w"
      func @f(%x: f32[n, 16]) -> (y: %y) {
        %p = matmul(%x, @w) {transposeB = true}
        %a, %b, %c = split(%p) {axis = 1, sizes = [${columns}, ${columns}, ${columns}]}
        %d = mul(%a, %b)
        %y = mul(%d, %c)
      }`;
    expect(broadcastsOf(text, 19, target)).toBeGreaterThan(0);
  });

  it('products of batches', () => {
    const text = `
      func @f(%x: f32[3, n, 12], %w: f32[3, 10, 12]) -> (y: %y) {
        %y = matmul(%x, %w) {transposeB = true}
      }`;
    expect(broadcastsOf(text, 21, target)).toBeGreaterThan(0);
  });

  it.each([
    [1, '[1, 1, 1, 1]', 8, 12],
    [1, '[1, 1, 1, 1]', 3, 10],
    [2, '[0, 1, 0, 1]', 4, 33],
  ])('a convolution of stride %i, padded by %s', (stride, padding, inputs, outputs) => {
    const text = `
      weight @w : f32[${outputs}, 3, 3, ${inputs}] = tensor "w"
      func @f(%x: f32[2, ${stride}*n, ${6 + (stride % 2)}, ${inputs}]) -> (y: %y) {
        %s = silu(%x)
        %y = conv2d(%s, @w) {stride = ${stride}, padding = ${padding}}
      }`;
    expect(broadcastsOf(text, 6, target)).toBeGreaterThan(0);
  });

  it.each([4, 12, 16, 64, 80, 128])('attention of heads of %i', (size) => {
    const text = (causal: boolean): string => `
      func @f(%q: f32[2, 4, n, ${size}], %k: f32[2, 2, n, ${size}], %v: f32[2, 2, n, ${size}], %m: bool[2, n]) -> (y: %y, z: %z) {
        %y = attention(%q, %k, %v, %m) {scale = 0.3, causal = ${causal}}
        %z = attention(%q, %k, %v) {scale = 0.3, causal = ${causal}}
      }`;
    for (const causal of [false, true]) expect(broadcastsOf(text(causal), 19, target)).toBeGreaterThan(0);
  });

  it('a product whose right factor has its rows along the columns', () => {
    const text = `
      weight @v : bf16[9, 12] = tensor "v"
      func @f(%x: f32[n, 9]) -> (y: %y) {
        %y = matmul(%x, @v) {transposeB = false}
      }`;
    expect(broadcastsOf(text, 19, target)).toBeGreaterThan(0);
  });
});

it('lanes of any number share nothing out', () => {
  const text = `
    weight @w : f32[32, 32] = tensor "w"
    func @f(%x: f32[n, 32]) -> (y: %y) {
      %y = matmul(%x, @w) {transposeB = true}
    }`;
  const gpu: Target = { ...portableWebgpu, subgroups: { min: 8, max: 8 } };
  const unknown: Target = { ...portableWebgpu, stagingPays: false, subgroups: { min: 4, max: 8 } };
  expect([gpu, unknown].map((target) => broadcastsOf(text, 20, target))).toEqual([0, 0]);
});
