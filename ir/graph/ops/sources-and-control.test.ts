import { expect, it } from 'vitest';
import { inferError, inferTypes, runOperation } from '../../../test/run-operation.js';
import { Dim } from '../../dim.js';
import type { HostTensor } from '../../host-tensor.js';
import { unaryKinds } from '../attributes.js';
import { tensorType } from '../types.js';
import { opTable } from './index.js';

it('every row is of its own kind', () => {
  for (const [kind, row] of Object.entries(opTable)) expect(row.kind).toBe(kind);
  for (const kind of unaryKinds) expect(opTable[kind].category).toBe('pointwise');
});

it('only loop and fused have no reference semantics', () => {
  const without = Object.values(opTable).filter((row) => row.evaluate === undefined);
  expect(without.map((row) => row.kind)).toEqual(['loop', 'fused']);
});

it('constant: a splat, also over symbols, or all values', () => {
  const splat = { dtype: 'f32', shape: [Dim.of('n'), Dim.of(2)], values: [0.1] } as const;
  const [filled] = runOperation('constant', [], splat, { sizes: { n: 2 }, precision: 'f32' }) as [HostTensor];
  expect(filled.shape).toEqual([2, 2]);
  expect([...filled.data]).toEqual(new Array(4).fill(Math.fround(0.1)));
  const listed = { dtype: 'i32', shape: [Dim.of(3)], values: [1, -2, 3] } as const;
  expect([...(runOperation('constant', [], listed)[0] as HostTensor).data]).toEqual([1, -2, 3]);
  expect(inferTypes('constant', [], { dtype: 'bf16', shape: [], values: [1] })).toEqual(['bf16[]']);
});

it('constant: refuses wrong counts and values that are not of the type', () => {
  const shape = [Dim.of(3)];
  expect(inferError('constant', [], { dtype: 'f32', shape, values: [1, 2] }).code).toBe('F2C118');
  expect(inferError('constant', [], { dtype: 'f32', shape: [Dim.of('n')], values: [1, 2] }).code).toBe('F2C118');
  const many = new Array<number>(4097).fill(0);
  expect(inferError('constant', [], { dtype: 'f32', shape: [Dim.of(4097)], values: many }).detail.found).toBe('4097');
  expect(inferError('constant', [], { dtype: 'i32', shape, values: [0.5] }).code).toBe('F2C118');
  expect(inferError('constant', [], { dtype: 'u8', shape, values: [256] }).code).toBe('F2C118');
  expect(inferError('constant', [], { dtype: 'bool', shape, values: [2] }).code).toBe('F2C118');
  expect(inferError('constant', [['f32', [1]]], { dtype: 'f32', shape, values: [1] }).code).toBe('F2C110');
});

it('iota counts', () => {
  expect([...(runOperation('iota', [], { size: Dim.of('n') }, { sizes: { n: 3 } })[0] as HostTensor).data]).toEqual([
    0, 1, 2,
  ]);
  expect(inferTypes('iota', [], { size: Dim.of('img') })).toEqual(['i32[img]']);
  expect(inferError('iota', [], { size: Dim.of(-1) }).code).toBe('F2C114');
  expect(() => runOperation('iota', [], { size: Dim.of('n-2') }, { sizes: { n: 1 } })).toThrow(
    expect.objectContaining({ code: 'F2C169' }),
  );
});

it('weight has the declared type', () => {
  const type = tensorType('bf16', [4, 4]);
  const context = { weightType: (name: string) => (name === 'w' ? type : undefined) };
  expect(opTable.weight.infer([], { name: 'w' }, context)).toEqual([type]);
  expect(() => opTable.weight.infer([], { name: 'v' }, context)).toThrow(expect.objectContaining({ code: 'F2C117' }));
});

it('loop gives back the types it carries; fused has none of its own', () => {
  expect(
    inferTypes(
      'loop',
      [
        ['f32', ['img']],
        ['i32', []],
      ],
      { count: Dim.of(4), symbol: 'step' },
    ),
  ).toEqual(['f32[img]', 'i32[]']);
  expect(inferError('loop', [], { count: Dim.of(-1), symbol: 'step' }).code).toBe('F2C114');
  expect(() => inferTypes('fused', [['f32', [1]]], { anchor: 'map' })).toThrow('internal');
});
