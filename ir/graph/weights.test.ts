import { expect, it } from 'vitest';
import { hostTensor } from '../../test/run-operation.js';
import type { HostTensor } from '../host-tensor.js';
import type { WeightSource } from './graph.js';
import { Dim } from '../dim.js';
import { tensorType } from './types.js';
import { materializeWeight } from './weights.js';

const stored: Readonly<Record<string, HostTensor>> = {
  gate: hostTensor('f32', [4, 2], [1, 2, 3, 4, 5, 6, 7, 8]),
  up: hostTensor('f32', [4, 2], [11, 12, 13, 14, 15, 16, 17, 18]),
  bias: hostTensor('f32', [3], [0.1, 0.2, 0.3]),
  conv: hostTensor('f32', [2, 3, 1, 1], [1, 2, 3, 4, 5, 6]),
};

function read(name: string): HostTensor {
  const tensor = stored[name];
  if (tensor === undefined) throw new Error(`no tensor ${name}`);
  return tensor;
}

const tensor = (name: string): WeightSource => ({ kind: 'tensor', tensor: name });
const part = (name: string) => ({ shape: read(name).shape, source: tensor(name) });

function materialize(
  shape: readonly number[],
  source: WeightSource,
  dtype: 'f32' | 'bf16' | 'f8e4m3' = 'f32',
): HostTensor {
  return materializeWeight({ name: 'w', type: tensorType(dtype, shape), source }, read);
}

it('reads a tensor, in the declared type and without axes of 1', () => {
  expect(materialize([4, 2], tensor('gate'))).toEqual(stored['gate']);
  expect([...materialize([3], tensor('bias'), 'bf16').data]).toEqual([0.10009765625, 0.2001953125, 0.30078125]);
  expect(materialize([2, 3], tensor('conv')).shape).toEqual([2, 3]);
});

it('puts rows one after another', () => {
  const joined = materialize([8, 2], { kind: 'concat_rows', parts: [part('up'), part('gate')] });
  expect([...joined.data]).toEqual([11, 12, 13, 14, 15, 16, 17, 18, 1, 2, 3, 4, 5, 6, 7, 8]);
  expect([...materialize([6], { kind: 'concat_rows', parts: [part('bias'), part('bias')] }).data]).toEqual([
    0.1, 0.2, 0.3, 0.1, 0.2, 0.3,
  ]);
});

it('interleaves rows in groups', () => {
  const parts = [part('gate'), part('up')];
  expect([...materialize([8, 2], { kind: 'interleave_rows', group: 1, parts }).data]).toEqual([
    1, 2, 11, 12, 3, 4, 13, 14, 5, 6, 15, 16, 7, 8, 17, 18,
  ]);
  expect([...materialize([8, 2], { kind: 'interleave_rows', group: 2, parts }).data]).toEqual([
    1, 2, 3, 4, 11, 12, 13, 14, 5, 6, 7, 8, 15, 16, 17, 18,
  ]);
});

it('takes rows of a part', () => {
  const of = { shape: [8, 2], source: { kind: 'concat_rows', parts: [part('gate'), part('up')] } } as const;
  expect([...materialize([3, 2], { kind: 'slice_rows', of, start: 3 }).data]).toEqual([7, 8, 11, 12, 13, 14]);
  expect(() => materialize([3, 2], { kind: 'slice_rows', of, start: 6 })).toThrow('what rows are taken of');
});

it('adds up taps that fall on one pixel', () => {
  const taps = { shape: [1, 3, 3, 1], data: Float64Array.from([1, 2, 4, 8, 16, 32, 64, 128, 256]) };
  const declaration = { name: 'w', type: { dtype: 'f32', shape: [4, 2, 2, 1].map((size) => Dim.of(size)) } } as const;
  const of = { shape: taps.shape, source: { kind: 'tensor', tensor: 'w' } } as const;
  const made = materializeWeight({ ...declaration, source: { kind: 'upsampled_filters', of } }, () => ({
    ...taps,
    dtype: 'f32',
  }));
  // By position: first and last of rows and of columns alone, or with the middle.
  expect([...made.data]).toEqual([
    1, 6, 72, 432, //
    3, 4, 216, 288,
    9, 54, 64, 384,
    27, 36, 192, 256,
  ]); // prettier-ignore
});

it('quantises rows to 8 bits, each with its scale', () => {
  const of = part('gate');
  const values = materialize([4, 2], { kind: 'quantize_rows', dtype: 'f8e4m3', of }, 'f8e4m3');
  const scales = materialize([4], { kind: 'row_scales', dtype: 'f8e4m3', of });
  expect([...scales.data]).toEqual([2, 4, 6, 8].map((largest) => Math.fround(largest / 448)));
  // 224; 336, 373.33 and 392 in steps of 32, the first to the even one of its neighbours.
  expect([...values.data]).toEqual([224, 448, 320, 448, 384, 448, 384, 448]);
  expect(() => materialize([5, 2], { kind: 'quantize_rows', dtype: 'f8e4m3', of })).toThrow(
    'what the rows are quantised to',
  );
});

it('permutes, also packed parts', () => {
  expect([...materialize([2, 4], { kind: 'permute', of: part('gate'), permutation: [1, 0] }).data]).toEqual([
    1, 3, 5, 7, 2, 4, 6, 8,
  ]);
  const both = { shape: [8, 2], source: { kind: 'concat_rows', parts: [part('gate'), part('up')] } } as const;
  expect([...materialize([2, 8], { kind: 'permute', of: both, permutation: [1, 0] }).data.slice(0, 8)]).toEqual([
    1, 3, 5, 7, 11, 13, 15, 17,
  ]);
  const turned = { shape: [2, 4], source: { kind: 'permute', of: part('gate'), permutation: [1, 0] } } as const;
  expect([...materialize([4, 4], { kind: 'concat_rows', parts: [turned, turned] }).data.slice(4)].slice(0, 8)).toEqual([
    2, 4, 6, 8, 1, 3, 5, 7,
  ]);
});

it('names the tensor or the part that does not fit', () => {
  expect(() => materialize([4, 3], tensor('gate'))).toThrow(
    expect.objectContaining({ code: 'F2C165', detail: { where: ['@w', 'gate'], expected: '[4, 3]', found: '[4, 2]' } }),
  );
  const parts = [part('gate'), part('up')];
  expect(() => materialize([7, 2], { kind: 'concat_rows', parts })).toThrow('all rows together');
  expect(() => materialize([8, 2], { kind: 'interleave_rows', group: 3, parts })).toThrow('a part of the weight');
  expect(() => materialize([4, 2], { kind: 'permute', of: part('gate'), permutation: [1, 0] })).toThrow('permuted');
  const uneven = [part('gate'), { shape: [3], source: tensor('bias') }];
  expect(() => materialize([7, 2], { kind: 'concat_rows', parts: uneven })).toThrow(
    expect.objectContaining({ detail: expect.objectContaining({ where: ['@w', 'part 1'] }) }),
  );
});
