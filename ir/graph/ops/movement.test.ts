import { describe, expect, it } from 'vitest';
import { hostTensor, inferError, inferTypes, patternTensor, runOperation } from '../../../test/run-operation.js';
import { Dim } from '../../dim.js';
import type { HostTensor } from '../../host-tensor.js';

const data = (tensors: readonly HostTensor[]): number[] => [...(tensors[0] as HostTensor).data];
const counted = (shape: readonly number[]): HostTensor =>
  hostTensor(
    'f32',
    shape,
    Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, index) => index),
  );
const dims = (...sizes: readonly (number | string)[]): readonly Dim[] => sizes.map((size) => Dim.of(size));

describe('reshape', () => {
  it('keeps the order and counts polynomials', () => {
    expect(data(runOperation('reshape', [counted([2, 3])], { shape: dims(3, 2) }))).toEqual([0, 1, 2, 3, 4, 5]);
    expect(inferTypes('reshape', [['f32', [1, 'h', 'w', 4, 8]]], { shape: dims(1, 'h*w', 32) })).toEqual([
      'f32[1, h*w, 32]',
    ]);
    expect(inferTypes('reshape', [['f32', ['img+txt', 6]]], { shape: dims(2, 'img+txt', 3) })).toEqual([
      'f32[2, img+txt, 3]',
    ]);
    expect(inferError('reshape', [['f32', ['img', 6]]], { shape: dims('img', 5) })).toMatchObject({
      code: 'F2C115',
      detail: { expected: '6*img elements, as f32[img, 6] has', found: '5*img elements in [img, 5]' },
    });
  });
});

describe('transpose', () => {
  it('moves axes', () => {
    const [got] = runOperation('transpose', [counted([2, 3, 2])], { permutation: [2, 0, 1] }) as [HostTensor];
    expect(got.shape).toEqual([2, 2, 3]);
    expect([...got.data]).toEqual([0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11]);
    expect(data(runOperation('transpose', [counted([])], { permutation: [] }))).toEqual([0]);
  });

  it('is undone by the inverse, with long rows too', () => {
    const x = patternTensor('f32', [3, 4, 2, 50]);
    const [there] = runOperation('transpose', [x], { permutation: [2, 0, 1, 3] }) as [HostTensor];
    expect(runOperation('transpose', [there], { permutation: [1, 2, 0, 3] })).toEqual([x]);
  });

  it('needs every axis once', () => {
    expect(inferTypes('transpose', [['bf16', ['b', 'img', 4]]], { permutation: [1, 2, 0] })).toEqual([
      'bf16[img, 4, b]',
    ]);
    for (const permutation of [
      [0, 1],
      [0, 0, 1],
      [0, 1, 3],
      [-1, 0, 1],
    ]) {
      expect(inferError('transpose', [['f32', [2, 3, 4]]], { permutation }).code).toBe('F2C114');
    }
  });
});

describe('slice', () => {
  it('cuts one axis', () => {
    const attributes = { axis: 1, start: Dim.of(1), size: Dim.of(2) };
    expect(data(runOperation('slice', [counted([2, 4])], attributes))).toEqual([1, 2, 5, 6]);
    expect(
      data(
        runOperation(
          'slice',
          [counted([4, 2])],
          { axis: 0, start: Dim.of('2*step'), size: Dim.of(1) },
          { sizes: { step: 1 } },
        ),
      ),
    ).toEqual([4, 5]);
    expect(data(runOperation('slice', [counted([2, 4])], { axis: 1, start: Dim.of(4), size: Dim.of(0) }))).toEqual([]);
  });

  it('stays inside, at once for known sizes and later for symbols', () => {
    const outside = { axis: 0, start: Dim.of(3), size: Dim.of(2) };
    expect(inferError('slice', [['f32', [4]]], outside).code).toBe('F2C114');
    expect(inferError('slice', [['f32', ['img+1']]], { axis: 0, start: Dim.of(2), size: Dim.of('img') }).code).toBe(
      'F2C114',
    );
    expect(inferError('slice', [['f32', [4]]], { ...outside, axis: 1 }).code).toBe('F2C114');
    expect(
      inferTypes('slice', [['f32', ['img+txt', 4]]], { axis: 0, start: Dim.of('txt'), size: Dim.of('img') }),
    ).toEqual(['f32[img, 4]']);
    const late = { axis: 0, start: Dim.of('s'), size: Dim.of(2) };
    expect(() => runOperation('slice', [counted([4])], late, { sizes: { s: 3 } })).toThrow(
      expect.objectContaining({
        code: 'F2C167',
        detail: expect.objectContaining({ found: '2 elements from 3 (start s, size 2)' }),
      }),
    );
  });
});

describe('split and concat', () => {
  it('split cuts all of the axis, concat joins it again', () => {
    const x = patternTensor('f32', [2, 7, 3]);
    const parts = runOperation('split', [x], { axis: 1, sizes: dims(2, 0, 5) });
    expect(parts.map((part) => part.shape)).toEqual([
      [2, 2, 3],
      [2, 0, 3],
      [2, 5, 3],
    ]);
    expect([...(parts[2] as HostTensor).data.slice(0, 3)]).toEqual([...x.data.slice(6, 9)]);
    expect(runOperation('concat', parts, { axis: 1 })).toEqual([x]);
  });

  it('joins any axis in order', () => {
    const [a, b] = [hostTensor('i32', [2, 1], [1, 2]), hostTensor('i32', [2, 2], [3, 4, 5, 6])];
    expect(data(runOperation('concat', [a, b, a], { axis: 1 }))).toEqual([1, 3, 4, 1, 2, 5, 6, 2]);
    expect(data(runOperation('concat', [b, b], { axis: 0 }))).toEqual([3, 4, 5, 6, 3, 4, 5, 6]);
  });

  it('infers and refuses', () => {
    const sizes = dims('txt', 'img');
    expect(inferTypes('split', [['bf16', ['img+txt', 4]]], { axis: 0, sizes })).toEqual([
      'bf16[txt, 4]',
      'bf16[img, 4]',
    ]);
    expect(inferError('split', [['bf16', ['img', 4]]], { axis: 0, sizes })).toMatchObject({
      code: 'F2C113',
      detail: { found: 'img+txt = txt + img' },
    });
    expect(inferError('split', [['bf16', [4]]], { axis: 0, sizes: [] }).code).toBe('F2C113');
    expect(inferError('split', [['bf16', [4]]], { axis: 0, sizes: dims(6, -2) }).code).toBe('F2C114');
    expect(
      inferTypes(
        'concat',
        [
          ['f32', ['txt', 8]],
          ['f32', ['img', 8]],
        ],
        { axis: 0 },
      ),
    ).toEqual(['f32[img+txt, 8]']);
    expect(
      inferError(
        'concat',
        [
          ['f32', ['txt', 8]],
          ['bf16', ['img', 8]],
        ],
        { axis: 0 },
      ).code,
    ).toBe('F2C112');
    expect(
      inferError(
        'concat',
        [
          ['f32', ['txt', 8]],
          ['f32', ['img', 8]],
        ],
        { axis: 1 },
      ).code,
    ).toBe('F2C113');
    expect(inferError('concat', [], { axis: 0 }).code).toBe('F2C110');
  });
});

describe('broadcast, pad, upsample_nearest', () => {
  it('broadcast repeats', () => {
    expect(data(runOperation('broadcast', [counted([2, 1])], { shape: dims(2, 2, 3) }))).toEqual([
      0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1,
    ]);
    expect(data(runOperation('broadcast', [counted([1])], { shape: dims('n') }, { sizes: { n: 0 } }))).toEqual([]);
    expect(inferTypes('broadcast', [['f32', [1, 4]]], { shape: dims('img', 4) })).toEqual(['f32[img, 4]']);
    expect(inferError('broadcast', [['f32', ['img', 4]]], { shape: dims(1, 4) }).code).toBe('F2C113');
    expect(inferError('broadcast', [['f32', [1, 4]]], { shape: dims(4) }).code).toBe('F2C113');
  });

  it('pad puts the value around', () => {
    const attributes = { low: [1, 0], high: [0, 2], value: 9 };
    expect(data(runOperation('pad', [counted([2, 2])], attributes))).toEqual([9, 9, 9, 9, 0, 1, 9, 9, 2, 3, 9, 9]);
    expect(inferTypes('pad', [['f32', ['h', 4]]], attributes)).toEqual(['f32[h+1, 6]']);
    expect(inferError('pad', [['f32', ['h']]], attributes).code).toBe('F2C114');
    expect(inferError('pad', [['f32', [2, 2]]], { ...attributes, low: [-1, 0] }).code).toBe('F2C114');
    expect(inferError('pad', [['i32', [2, 2]]], { ...attributes, value: 0.5 }).code).toBe('F2C114');
  });

  it('upsample_nearest repeats pixels', () => {
    const [got] = runOperation('upsample_nearest', [counted([1, 2, 1, 2])], { factor: 2 }) as [HostTensor];
    expect(got.shape).toEqual([1, 4, 2, 2]);
    expect([...got.data]).toEqual([0, 1, 0, 1, 0, 1, 0, 1, 2, 3, 2, 3, 2, 3, 2, 3]);
    expect(inferTypes('upsample_nearest', [['f32', ['b', 'h', 'w', 4]]], { factor: 2 })).toEqual([
      'f32[b, 2*h, 2*w, 4]',
    ]);
    expect(inferError('upsample_nearest', [['f32', ['h', 'w', 4]]], { factor: 2 }).code).toBe('F2C111');
    expect(inferError('upsample_nearest', [['f32', [1, 1, 1, 1]]], { factor: 1.5 }).code).toBe('F2C114');
  });
});

describe('gather', () => {
  it('takes rows by id', () => {
    const [got] = runOperation('gather', [counted([3, 2]), hostTensor('i32', [2, 2], [2, 0, 0, 1])], {}) as [
      HostTensor,
    ];
    expect(got.shape).toEqual([2, 2, 2]);
    expect([...got.data]).toEqual([4, 5, 0, 1, 0, 1, 2, 3]);
    expect(data(runOperation('gather', [counted([3]), hostTensor('i32', [], [2])], {}))).toEqual([2]);
  });

  it('refuses ids outside the table and other id types', () => {
    expect(() => runOperation('gather', [counted([3, 2]), hostTensor('i32', [2], [0, 3])], {})).toThrow(
      expect.objectContaining({ code: 'F2C168', detail: expect.objectContaining({ expected: '0..2', found: '3' }) }),
    );
    expect(() => runOperation('gather', [counted([3, 2]), hostTensor('i32', [1], [-1])], {})).toThrow('-1');
    expect(
      inferTypes(
        'gather',
        [
          ['bf16', [1000, 64]],
          ['i32', ['b', 'txt']],
        ],
        {},
      ),
    ).toEqual(['bf16[b, txt, 64]']);
    expect(
      inferError(
        'gather',
        [
          ['bf16', [1000, 64]],
          ['i64', ['txt']],
        ],
        {},
      ).code,
    ).toBe('F2C112');
    expect(
      inferError(
        'gather',
        [
          ['bf16', []],
          ['i32', ['txt']],
        ],
        {},
      ).code,
    ).toBe('F2C111');
  });
});
