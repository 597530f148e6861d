import { describe, expect, it } from 'vitest';
import { hostTensor, inferError, inferTypes, runOperation } from '../../../test/run-operation.js';
import type { HostTensor } from '../../host-tensor.js';

const data = (tensors: readonly HostTensor[]): number[] => [...(tensors[0] as HostTensor).data];

describe('over the last axis', () => {
  it('layer_norm: mean 0, variance 1, biased', () => {
    const x = hostTensor('f32', [2, 4], [1, 2, 3, 6, 5, 5, 5, 5]);
    // Mean 3, variance (4 + 1 + 0 + 9) / 4 = 3.5; with eps 0.5 the factor is 1/2.
    expect(data(runOperation('layer_norm', [x], { eps: 0.5 }))).toEqual([-1, -0.5, 0, 1.5, 0, 0, 0, 0]);
  });

  it('rms_norm: no mean taken off', () => {
    const x = hostTensor('f32', [2, 2], [1, 7, 0, 0]);
    const weight = hostTensor('f32', [2], [10, 1]);
    // (1 + 49) / 2 = 25.
    expect(data(runOperation('rms_norm', [x, weight], { eps: 1e-30 }))).toEqual(
      [2, 1.4, 0, 0].map((y) => expect.closeTo(y, 15)),
    );
    expect(data(runOperation('rms_norm', [x, weight], { eps: 75 }))).toEqual(
      [1, 0.7, 0, 0].map((y) => expect.closeTo(y, 15)),
    );
  });

  it('softmax: sums to 1, does not overflow', () => {
    const x = hostTensor('f32', [2, 3], [Math.log(1), Math.log(2), Math.log(5), 1000, 1000, -1000]);
    const want = [0.125, 0.25, 0.625, 0.5, 0.5, 0];
    expect(data(runOperation('softmax', [x], {}))).toEqual(want.map((y) => expect.closeTo(y, 15)));
  });

  it('quantize_rows: the largest magnitude of a row is 448 of its scale', () => {
    const x = hostTensor('f32', [5, 3], [4.48, 1, -0.171, 0, -0, 0, -896, 448, 1, 1e-31, -1e-32, 0, 1, NaN, 2]);
    for (const precision of ['f32', 'f64'] as const) {
      const [values, scales] = runOperation('quantize_rows', [x], { dtype: 'f8e4m3' }, { precision }) as [
        HostTensor,
        HostTensor,
      ];
      expect([values.dtype, scales.dtype, scales.shape]).toEqual(['f8e4m3', 'f32', [5, 1]]);
      expect([...scales.data]).toEqual([expect.closeTo(0.01, 8), 1, 2, 1, NaN]);
      // 100 and -17.1 in steps of 8 and 2; -448, 224 and 0.5 are values.
      expect([...values.data]).toEqual([448, 96, -18, 0, -0, 0, -448, 224, 0.5, 0, -0, 0, NaN, NaN, NaN]);
    }
    expect(inferTypes('quantize_rows', [['bf16', ['b', 'img', 128]]], { dtype: 'f8e4m3' })).toEqual([
      'f8e4m3[b, img, 128]',
      'f32[b, img, 1]',
    ]);
    expect(inferError('quantize_rows', [['f32', []]], { dtype: 'f8e4m3' }).code).toBe('F2C111');
    expect(inferError('quantize_rows', [['i32', [4, 4]]], { dtype: 'f8e4m3' }).code).toBe('F2C112');
  });

  it('takes rows of nothing and no rows', () => {
    expect(data(runOperation('layer_norm', [hostTensor('f32', [3, 0], [])], { eps: 1 }))).toEqual([]);
    expect(data(runOperation('softmax', [hostTensor('f32', [0, 3], [])], {}))).toEqual([]);
  });

  it('infers and refuses', () => {
    expect(
      inferTypes(
        'rms_norm',
        [
          ['bf16', ['img', 128]],
          ['f32', [128]],
        ],
        { eps: 1e-6 },
      ),
    ).toEqual(['f32[img, 128]']);
    expect(inferTypes('layer_norm', [['bf16', ['img', 128]]], { eps: 1e-6 })).toEqual(['bf16[img, 128]']);
    expect(
      inferError(
        'rms_norm',
        [
          ['bf16', ['img', 128]],
          ['f32', [64]],
        ],
        { eps: 1e-6 },
      ),
    ).toMatchObject({
      code: 'F2C113',
      detail: { where: ['rms_norm', 'weight'], expected: '[128]', found: '[64]' },
    });
    expect(
      inferError(
        'rms_norm',
        [
          ['bf16', ['img', 128]],
          ['f32', [1, 128]],
        ],
        { eps: 1e-6 },
      ).code,
    ).toBe('F2C111');
    expect(inferError('layer_norm', [['f32', ['img', 128]]], { eps: 0 }).code).toBe('F2C114');
    expect(inferError('softmax', [['f32', []]], {}).code).toBe('F2C111');
    expect(inferError('softmax', [['i32', [4]]], {}).code).toBe('F2C112');
  });
});
