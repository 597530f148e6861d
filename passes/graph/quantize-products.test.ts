import { describe, expect, it } from 'vitest';
import { cpuTarget } from '../../backends/target.js';
import { f8e4m3Values, nearestF8e4m3 } from '../../test/f8e4m3-cases.js';
import { expectUnchanged, patternCases, patternWeights } from '../../test/run-pass.js';
import { interpretFunction } from '../../ir/graph/interpret.js';
import { parseModule } from '../../ir/graph/parse.js';
import { printModule } from '../../ir/graph/print.js';
import { verifyModule } from '../../ir/graph/verify.js';
import { mostProductsOfBytes } from '../../ir/kernel/bytes.js';
import { compareTensors, type HostTensor } from '../../ir/host-tensor.js';
import { createWeightReader } from '../validate.js';
import { eliminateCommonSubexpressions } from './eliminate-common-subexpressions.js';
import { eliminateDeadCode } from './eliminate-dead-code.js';
import { quantizeProducts } from './quantize-products.js';

const pass = quantizeProducts(() => true, 'f8e4m3');

function expectText(before: string, after: string): void {
  const result = pass.run(parseModule(before), cpuTarget);
  verifyModule(result);
  expect(printModule(result)).toBe(printModule(parseModule(after)));
}

const linear = `weight @w : bf16[20, 12] = tensor "w"
  func @f(%x: f32[b, img, 12]) -> (y: %y) {
    %y = matmul(%x, @w) {transposeB = true}
  }`;

describe('quantize-products', () => {
  it('scales sums of 8-bit products by rows and by columns', () => {
    expectText(
      linear,
      `weight @w : bf16[20, 12] = tensor "w"
      weight @w.f8 : f8e4m3[20, 12] = quantize_rows(tensor "w" : [20, 12], f8e4m3)
      weight @w.scales : f32[20] = row_scales(tensor "w" : [20, 12], f8e4m3)
      func @f(%x: f32[b, img, 12]) -> (y: %y) {
        %x.f8, %x.scales = quantize_rows(%x) {dtype = f8e4m3}
        %y.sums = matmul(%x.f8, @w.f8) {transposeB = true}
        %y.by_row = mul(%y.sums, %x.scales)
        %y = mul(%y.by_row, @w.scales)
      }`,
    );
  });

  it('takes pieces of a quantised weight, and keeps the type of a result', () => {
    expectText(
      `weight @w : bf16[20, 4] = concat_rows(tensor "a" : [8, 4], tensor "b" : [12, 4])
      func @f(%x: bf16[img, 4]) -> (y: %y) {
        %rows = slice(@w) {axis = 0, start = 8, size = 12}
        %y = matmul(%x, %rows) {transposeB = true}
      }`,
      `weight @w : bf16[20, 4] = concat_rows(tensor "a" : [8, 4], tensor "b" : [12, 4])
      weight @w.f8 : f8e4m3[20, 4] = quantize_rows(concat_rows(tensor "a" : [8, 4], tensor "b" : [12, 4]) : [20, 4], f8e4m3)
      weight @w.scales : f32[20] = row_scales(concat_rows(tensor "a" : [8, 4], tensor "b" : [12, 4]) : [20, 4], f8e4m3)
      func @f(%x: bf16[img, 4]) -> (y: %y) {
        %rows = slice(@w) {axis = 0, start = 8, size = 12}
        %rows.f8 = slice(@w.f8) {axis = 0, start = 8, size = 12}
        %rows.scales = slice(@w.scales) {axis = 0, start = 8, size = 12}
        %x.f8, %x.scales = quantize_rows(%x) {dtype = f8e4m3}
        %y.sums = matmul(%x.f8, %rows.f8) {transposeB = true}
        %y.by_row = mul(%y.sums, %x.scales)
        %y.f32 = mul(%y.by_row, %rows.scales)
        %y = cast(%y.f32) {dtype = bf16}
      }`,
    );
  });

  it('quantises an input of several products, and a weight of several functions, once', () => {
    const module = parseModule(`weight @a : f32[8, 4] = tensor "a"
      weight @b : f32[8, 4] = tensor "b"
      func @f(%x: f32[img, 4]) -> (y: %y) {
        %s = matmul(%x, @a) {transposeB = true}
        %t = matmul(%x, @b) {transposeB = true}
        %y = mul(%s, %t)
      }
      func @g(%x: f32[img, 4]) -> (y: %y) {
        %y = matmul(%x, @a) {transposeB = true}
      }`);
    const passes = [pass, eliminateCommonSubexpressions, eliminateDeadCode];
    const result = passes.reduce((made, each) => each.run(made, cpuTarget), module);
    expect([...result.weights.keys()]).toEqual(['a.f8', 'a.scales', 'b.f8', 'b.scales']);
    expect(printModule(result).match(/= quantize_rows\(%x\)/g)).toHaveLength(2);
  });

  it.each([
    ['no weight', 'func @f(%x: f32[img, 4], %w: f32[8, 4]) -> (y: %y) {\n %y = matmul(%x, %w) {transposeB = true}\n}'],
    ['a weight by columns', 'weight @w : f32[4, 8] = tensor "w"\nfunc @f(%x: f32[img, 4]) -> (y: %y) {\n %y = matmul(%x, @w) {transposeB = false}\n}'],
    ['some of its columns', 'weight @w : f32[8, 6] = tensor "w"\nfunc @f(%x: f32[img, 4]) -> (y: %y) {\n %c = slice(@w) {axis = 1, start = 2, size = 4}\n %y = matmul(%x, %c) {transposeB = true}\n}'],
    ['several matrices', 'weight @w : f32[2, 8, 4] = tensor "w"\nfunc @f(%x: f32[2, img, 4]) -> (y: %y) {\n %y = matmul(%x, @w) {transposeB = true}\n}'],
    ['8 bits already', 'weight @w : f8e4m3[8, 4] = tensor "w"\nfunc @f(%x: f32[img, 4]) -> (y: %y) {\n %y = matmul(%x, @w) {transposeB = true}\n}'],
  ])('leaves alone a product with %s', (_, text) => expectUnchanged(pass, text)); // prettier-ignore

  it('leaves alone what may not be quantised, also as a part', () => {
    expectUnchanged(
      quantizeProducts((tensor) => tensor !== 'b', 'f8e4m3'),
      `weight @w : f32[20, 4] = concat_rows(tensor "a" : [8, 4], tensor "b" : [12, 4])
      func @f(%x: f32[img, 4]) -> (y: %y) {
        %y = matmul(%x, @w) {transposeB = true}
      }`,
    );
  });
});

describe('a quantised product', () => {
  const module = parseModule(linear);
  const readTensor = patternWeights(module);
  const [sample] = patternCases(module, { b: 2, img: 5 });
  const inputs = sample!.inputs;
  const run = (text: typeof module, precision: 'f32' | 'f64'): HostTensor =>
    interpretFunction(text, 'f', inputs, createWeightReader(text, readTensor), { precision }).get('y') as HostTensor;
  const quantised = pass.run(module, cpuTarget);

  it('is the sum of the products of rounded rows', () => {
    const [x, w] = [inputs.get('x') as HostTensor, readTensor('w')];
    const rowsOf = ({ data }: HostTensor, round: (value: number) => number) =>
      Array.from({ length: data.length / 12 }, (_, row) => {
        const elements = [...data.slice(12 * row, 12 * (row + 1))];
        const scale = round(Math.max(...elements.map(Math.abs)) / 448);
        return { scale, values: elements.map((value) => f8e4m3Values[nearestF8e4m3(value / scale)] as number) };
      });
    const columns = rowsOf(w, Math.fround);
    const expected = rowsOf(x, (value) => value).flatMap((row) =>
      columns.map(({ scale, values }) => {
        const sum = values.reduce((total, value, at) => total + value * (row.values[at] as number), 0);
        return sum * row.scale * scale;
      }),
    );
    const want: HostTensor = { dtype: 'f32', shape: [2, 5, 20], data: Float64Array.from(expected) };
    expect(compareTensors(run(quantised, 'f64'), want).relativeL2).toBeLessThan(1e-12);
    expect(compareTensors(run(quantised, 'f32'), want).relativeL2).toBeLessThan(1e-6);
  });

  it('is within a few percent of the exact one', () => {
    // Two factors with relative errors of up to 2^-4, evenly distributed and independent: about 2^-4 / sqrt(3) · sqrt(2) at most.
    const { relativeL2 } = compareTensors(run(quantised, 'f64'), run(module, 'f64'));
    expect(relativeL2).toBeGreaterThan(0.01);
    expect(relativeL2).toBeLessThan(0.05);
  });
});

describe('quantize-products to integers', () => {
  const bytes = quantizeProducts(() => true, 'i8');

  it('scales sums of products of bytes as those of floats', () => {
    const text = linear.replaceAll('12', '32');
    const result = bytes.run(parseModule(text), cpuTarget);
    verifyModule(result);
    expect(printModule(result)).toBe(
      printModule(
        parseModule(`weight @w : bf16[20, 32] = tensor "w"
        weight @w.i8 : i8[20, 32] = quantize_rows(tensor "w" : [20, 32], i8)
        weight @w.scales : f32[20] = row_scales(tensor "w" : [20, 32], i8)
        func @f(%x: f32[b, img, 32]) -> (y: %y) {
          %x.i8, %x.scales = quantize_rows(%x) {dtype = i8}
          %y.sums = matmul(%x.i8, @w.i8) {transposeB = true}
          %y.by_row = mul(%y.sums, %x.scales)
          %y = mul(%y.by_row, @w.scales)
        }`),
      ),
    );
  });

  it.each([
    ['whose rows are no whole vectors of bytes', 24],
    ['whose sums 32 bits do not hold', mostProductsOfBytes + 16],
  ])('leaves alone a product %s', (_, depth) => {
    const module = parseModule(linear.replaceAll('12', `${depth}`));
    expect(printModule(bytes.run(module, cpuTarget))).toBe(printModule(module));
  });

  it('is within a percent of the exact one, which floats of 8 bits are not', () => {
    const module = parseModule(linear.replaceAll('12', '64'));
    const readTensor = patternWeights(module);
    const { inputs } = patternCases(module, { b: 2, img: 5 })[0]!;
    const run = (text: typeof module): HostTensor =>
      interpretFunction(text, 'f', inputs, createWeightReader(text, readTensor), { precision: 'f64' }).get('y')!;
    const [exact, integers, floats] = [module, bytes.run(module, cpuTarget), pass.run(module, cpuTarget)].map(run) as [
      HostTensor,
      HostTensor,
      HostTensor,
    ];
    // Rounding to a 127th of the largest magnitude, evenly distributed: 1 / (127 sqrt(12)) of it for each factor, where 3 bits are 2^-4.
    expect(compareTensors(integers, exact).relativeL2).toBeLessThan(0.01);
    expect(compareTensors(integers, exact).relativeL2).toBeGreaterThan(0.001);
    expect(compareTensors(floats, exact).relativeL2).toBeGreaterThan(0.01);
  });
});
