/** Products of quantised integers on any device: sums of bytes are exact, so that rows of whole numbers have whole products, bit for bit. */
import { expect, it } from 'vitest';
import { kernelPrinter } from '../backends/print-kernel.js';
import { interpretFunction } from '../ir/graph/interpret.js';
import { parseModule } from '../ir/graph/parse.js';
import type { Module } from '../ir/graph/graph.js';
import { compareTensors, type HostTensor } from '../ir/host-tensor.js';
import { compileModule, type CompileOptions } from '../passes/compile.js';
import type { CompiledModule } from '../passes/compiled.js';
import { quantizeProducts } from '../passes/graph/quantize-products.js';
import { createWeightReader } from '../passes/validate.js';
import type { Device } from '../runtime/device.js';
import { expectSameNumbers, runOnDevice } from './encoded-products.js';
import { compilingTimeoutMs } from './golden-on-device.js';
import { Random } from './random.js';
import { patternCases, patternWeights } from './run-pass.js';

/** Whole numbers from -127 to 127, one of ±127 in each row, whose scale is then 1. */
export function wholeRows(rows: number, columns: number, seed: number): HostTensor {
  const random = new Random(seed);
  const data = new Float64Array(rows * columns).map(() => random.integer(-127, 127));
  for (let row = 0; row < rows; row++) data[row * columns + random.integer(0, columns - 1)] = random.pick([127, -127]);
  return { dtype: 'f32', shape: [rows, columns], data };
}

/** x[m, K] · w[N, K]ᵀ, and of some of its rows with work behind it. */
function productModule(rows: number, depth: number): { readonly module: Module; readonly some: number } {
  const some = Math.ceil(rows / 2);
  const module = parseModule(`weight @w : f32[${rows}, ${depth}] = tensor "w"
func @f(%x: f32[m, ${depth}]) -> (y: %y, z: %z) {
  %y = matmul(%x, @w) {transposeB = true}
  %part = slice(@w) {axis = 0, start = ${rows - some}, size = ${some}}
  %p = matmul(%x, %part) {transposeB = true}
  %n = neg(%p)
  %z = add(%n, %p)
}`);
  return { module, some };
}

/** Products of bytes among a module's kernels. */
export function countByteProducts({ kernels }: Pick<CompiledModule, 'kernels'>): number {
  return [...kernels.values()].filter(({ tile }) => JSON.stringify(tile.body).includes('"inBytes":true')).length;
}

/** Numbers of rows, columns and of what is added up. */
export type ByteSizes = readonly [m: number, rows: number, depth: number];

export const byteSizes: readonly ByteSizes[] = [
  [1, 7, 16],
  [5, 33, 48],
  [19, 40, 80],
  [37, 12, 1040],
];

/** Linear layers with what their kernels do besides, and sizes. */
export const byteGraphs: readonly (readonly [string, string, Readonly<Record<string, number>>])[] = [
  [
    'a gate and a residual',
    `weight @w : bf16[16, 48] = tensor "w"
    func @f(%x: f32[1, n, 48], %r: f32[1, n, 16], %g: f32[1, 1, 16]) -> (y: %y) {
      %p = matmul(%x, @w) {transposeB = true}
      %a = mul(%g, %p)
      %y = add(%r, %a)
    }`,
    { n: 37 },
  ],
  [
    'SwiGLU behind a norm, and what follows it',
    `weight @w : bf16[96, 32] = tensor "w"
    weight @d : f32[32, 48] = tensor "d"
    func @f(%x: f32[n, 32], %m: f32[1, 32]) -> (y: %y) {
      %l = layer_norm(%x) {eps = 1e-6}
      %h = mul(%l, %m)
      %p = matmul(%h, @w) {transposeB = true}
      %gate, %up = split(%p) {axis = 1, sizes = [48, 48]}
      %s = silu(%gate)
      %u = mul(%s, %up)
      %y = matmul(%u, @d) {transposeB = true}
    }`,
    { n: 19 },
  ],
  [
    'norms and rotations of heads',
    `weight @w : bf16[288, 48] = tensor "w"
    weight @qn : bf16[32] = tensor "qn"
    weight @kn : bf16[32] = tensor "kn"
    func @f(%x: f32[b, t, 48], %c: f32[t, 16], %s: f32[t, 16]) -> (q: %qe, k: %ke, v: %vh) {
      %p = matmul(%x, @w) {transposeB = true}
      %q, %k, %v = split(%p) {axis = 2, sizes = [96, 96, 96]}
      %qh = reshape(%q) {shape = [b, t, 3, 32]}
      %qr = rms_norm(%qh, @qn) {eps = 0.000001}
      %qe = rope(%qr, %c, %s) {style = interleaved}
      %kh = reshape(%k) {shape = [b, t, 3, 32]}
      %kr = rms_norm(%kh, @kn) {eps = 0.01}
      %ke = rope(%kr, %c, %s) {style = interleaved}
      %vh = reshape(%v) {shape = [b, t, 3, 32]}
    }`,
    { b: 2, t: 9 },
  ],
];

/**
 * Tests of a device: exact sums, and the fusions of linear layers against the quantised graph.
 *
 * @param sizes of the exact products
 */
export function describeByteProducts(device: () => Device, sizes: readonly ByteSizes[] = byteSizes): void {
  const timeout = compilingTimeoutMs;
  const options: Partial<CompileOptions> = { operands: 'int8' };

  it.each(sizes)('sums of %i rows, %i columns, %i products are exact', { timeout }, async (m, rows, depth) => {
    const { module, some } = productModule(rows, depth);
    const [x, w] = [wholeRows(m, depth, m + depth), wholeRows(rows, depth, rows)];
    const { target } = device();
    const compiled = compileModule(module, target, { print: kernelPrinter(target), ...options });
    expect(countByteProducts(compiled)).toBe(2);
    const got = await runOnDevice(device(), { module, tensors: new Map([['w', w]]) }, { x }, options);
    const want = Array.from({ length: m * rows }, (_, at) => {
      const [row, column] = [Math.floor(at / rows), at % rows];
      let sum = 0;
      for (let k = 0; k < depth; k++) sum += x.data[row * depth + k]! * w.data[column * depth + k]!;
      return Math.fround(sum);
    });
    expectSameNumbers(got.get('y')!.data, want);
    expectSameNumbers(got.get('z')!.data, new Float64Array(m * some));
  });

  it.each(byteGraphs)('compute what the quantised graph does: %s', { timeout }, async (_, text, bound) => {
    const module = parseModule(text);
    const readTensor = patternWeights(module);
    const tensors = new Map([...module.weights].map(([name]) => [name, readTensor(name)]));
    const inputs = patternCases(module, bound)[0]!.inputs;
    const got = await runOnDevice(device(), { module, tensors }, Object.fromEntries(inputs), options);
    const quantised = quantizeProducts(() => true, 'i8').run(module, device().target);
    const weights = createWeightReader(quantised, readTensor);
    const want = interpretFunction(quantised, 'f', inputs, weights, { precision: 'f32' });
    for (const [name, tensor] of want) {
      // A quotient that is nearly between two integers may be rounded the other way, by a 127th of a row's largest.
      expect(compareTensors(got.get(name)!, tensor).relativeL2, name).toBeLessThan(2e-3);
    }
  });
}
