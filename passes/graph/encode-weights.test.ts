import { describe, expect, it } from 'vitest';
import { cpuTarget } from '../../backends/target.js';
import { decodeRows } from '../../ir/encoded-rows.js';
import { encodeRows } from '../../ir/encode-rows.js';
import { parseEncoding } from '../../ir/encoding.js';
import type { Module } from '../../ir/graph/graph.js';
import { interpretFunction } from '../../ir/graph/interpret.js';
import { parseModule } from '../../ir/graph/parse.js';
import { printModule } from '../../ir/graph/print.js';
import { verifyModule } from '../../ir/graph/verify.js';
import { compareTensors, type HostTensor } from '../../ir/host-tensor.js';
import { expectUnchanged, patternCases } from '../../test/run-pass.js';
import { patternTensor } from '../../test/run-operation.js';
import { createWeightReader } from '../validate.js';
import { encodeWeights } from './encode-weights.js';
import { mergeProjections } from './merge-projections.js';

const pass = encodeWeights((tensor) => (tensor.startsWith('plain') ? undefined : tensor.split('.')[1]));

/** Numbers of the tensors that the names `NAME.ENCODING.ROWS.COLUMNS` say. */
function tensorOf(name: string): HostTensor {
  const [, , rows = '', columns = ''] = name.split('.');
  return patternTensor('f32', [Number(rows), Number(columns)], name.length);
}

/** As `tensorOf`, after encoding: what a dense weight would have to hold. */
function decodedTensorOf(name: string): HostTensor {
  const { shape, data } = tensorOf(name);
  const [rows, columns] = shape as readonly [number, number];
  const encoding = parseEncoding(name.split('.')[1] ?? '');
  const fields = encodeRows(encoding, rows, columns, Float32Array.from(data));
  return { dtype: 'f32', shape, data: Float64Array.from(decodeRows(encoding, rows, columns, fields)) };
}

/** Exactly, or as far as a weight of 16 bits would have rounded the numbers. */
function expectSame(before: Module, after: Module, tolerance = 0): void {
  for (const { functionName, inputs } of patternCases(before)) {
    const run = (module: Module, read: (name: string) => HostTensor): ReadonlyMap<string, HostTensor> =>
      interpretFunction(module, functionName, inputs, createWeightReader(module, read), { precision: 'f32' });
    const [want, got] = [run(before, decodedTensorOf), run(after, tensorOf)];
    for (const [name, tensor] of want) {
      expect(compareTensors(got.get(name) as HostTensor, tensor).relativeL2).toBeLessThanOrEqual(tolerance);
    }
  }
}

function expectText(before: string, after: string, tolerance?: number): void {
  const module = parseModule(before);
  const result = pass.run(module, cpuTarget);
  verifyModule(result);
  expect(printModule(result)).toBe(printModule(parseModule(after)));
  expectSame(module, result, tolerance);
}

const linear = (tensor: string, shape = '[20, 32]'): string => `weight @w : f32${shape} = tensor "${tensor}"
  func @f(%x: f32[batch, img, 32]) -> (y: %y) {
    %y = matmul(%x, @w) {transposeB = true}
  }`;

describe('encode-weights', () => {
  it('decodes the arrays of a weight', () => {
    expectText(
      linear('w.nf4:16.20.32'),
      `weight @w : f32[20, 32] = tensor "w.nf4:16.20.32"
      weight @w.codes : u32[20, 4] = encoded_rows(tensor "w.nf4:16.20.32" : [20, 32], "nf4:16", codes)
      weight @w.scales : f32[20, 2] = encoded_rows(tensor "w.nf4:16.20.32" : [20, 32], "nf4:16", scales)
      func @f(%x: f32[batch, img, 32]) -> (y: %y) {
        %w.decoded = dequantize(@w.codes, @w.scales) {encoding = "nf4:16"}
        %y = matmul(%x, %w.decoded) {transposeB = true}
      }`,
    );
  });

  it('takes pieces of the arrays where a product has some rows, and keeps the type of a result', () => {
    expectText(
      `weight @w : bf16[20, 8] = concat_rows(tensor "a.int8.8.8" : [8, 8], tensor "b.int8.12.8" : [12, 8])
      func @f(%x: bf16[img, 8]) -> (y: %y) {
        %rows = slice(@w) {axis = 0, start = 8, size = 12}
        %y = matmul(%x, %rows) {transposeB = true}
      }`,
      `weight @w : bf16[20, 8] = concat_rows(tensor "a.int8.8.8" : [8, 8], tensor "b.int8.12.8" : [12, 8])
      weight @w.codes : u32[20, 2] = encoded_rows(concat_rows(tensor "a.int8.8.8" : [8, 8], tensor "b.int8.12.8" : [12, 8]) : [20, 8], "int8", codes)
      weight @w.scales : f32[20, 1] = encoded_rows(concat_rows(tensor "a.int8.8.8" : [8, 8], tensor "b.int8.12.8" : [12, 8]) : [20, 8], "int8", scales)
      func @f(%x: bf16[img, 8]) -> (y: %y) {
        %rows = slice(@w) {axis = 0, start = 8, size = 12}
        %w.codes.rows = slice(@w.codes) {axis = 0, start = 8, size = 12}
        %w.scales.rows = slice(@w.scales) {axis = 0, start = 8, size = 12}
        %rows.decoded = dequantize(%w.codes.rows, %w.scales.rows) {encoding = "int8"}
        %y.f32 = matmul(%x, %rows.decoded) {transposeB = true}
        %y = cast(%y.f32) {dtype = bf16}
      }`,
      2 ** -7,
    );
  });

  it.each(['int4:16', 'int4z:32', 'fp4:16', 'f8e4m3', 'f8e5m2'])(
    'computes what a weight of the numbers of %s does',
    (text) => {
      const before = parseModule(linear(`w.${text}.20.32`));
      expectSame(before, pass.run(before, cpuTarget));
    },
  );

  it.each([
    ['no encoding', linear('plain.int8.20.32')],
    ['rows that are no whole groups', linear('w.nf4:64.20.32')],
    ['a matrix the other way around', linear('w.int8.32.20', '[32, 20]').replace('transposeB = true', 'transposeB = false')],
    ['rows that are not those of a tensor', linear('').replace('tensor ""', 'permute(tensor "w.int8.32.20" : [32, 20], [1, 0])')],
    ['tensors of different encodings', linear('').replace('tensor ""', 'concat_rows(tensor "a.int8.10.32" : [10, 32], tensor "b.nf4:16.10.32" : [10, 32])')],
    ['columns of a weight', `weight @w : f32[20, 32] = tensor "w.int8.20.32"
      func @f(%x: f32[img, 8]) -> (y: %y) {
        %part = slice(@w) {axis = 1, start = 8, size = 8}
        %y = matmul(%x, %part) {transposeB = true}
      }`],
  ])('leaves %s', (_, text) => {
    expectUnchanged(pass, text);
  }); // prettier-ignore
});

describe('merge-projections', () => {
  const two = (first: string, second: string): string => `weight @a : bf16[8, 32] = tensor "${first}"
    weight @b : bf16[8, 32] = tensor "${second}"
    func @f(%x: f32[img, 32]) -> (y: %y, z: %z) {
      %y = matmul(%x, @a) {transposeB = true}
      %z = matmul(%x, @b) {transposeB = true}
    }`;
  const merge = mergeProjections((tensor) => tensor.split('.')[1]);

  it('keeps weights apart that are encoded differently', () => {
    expectUnchanged(merge, two('a.int8.8.32', 'b.nf4:16.8.32'));
    expectUnchanged(merge, two('a.int8.8.32', 'b'));
  });

  it('merges those of one encoding, and those whose rows are no whole groups', () => {
    for (const [first, second] of [['a.int8.8.32', 'b.int8.8.32'], ['a.nf4:64.8.32', 'b']] as const) {
      const merged = merge.run(parseModule(two(first, second)), cpuTarget);
      expect([...merged.weights.keys()]).toContain('a.b');
    } // prettier-ignore
  });
});
