import { describe, expect, it } from 'vitest';
import { hostTensor, inferError, inferTypes, patternTensor, runOperation } from '../../../test/run-operation.js';
import { compareTensors } from '../../host-tensor.js';
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

describe('groups', () => {
  const x = patternTensor('f32', [2, 3, 5, 6], 4);
  const weight = patternTensor('f32', [6], 5);
  const bias = patternTensor('f32', [6], 6);

  it('equals layer_norm over [positions × channels of the group]', () => {
    const grouped = { ...x, shape: [2, 15, 3, 2] };
    const [rows] = runOperation('transpose', [grouped], { permutation: [0, 2, 1, 3] }) as [HostTensor];
    const [flat] = runOperation('layer_norm', [{ ...rows, shape: [2, 3, 30] }], { eps: 1e-6 }) as [HostTensor];
    const [back] = runOperation('transpose', [{ ...flat, shape: [2, 3, 15, 2] }], { permutation: [0, 2, 1, 3] }) as [
      HostTensor,
    ];
    const [scaled] = runOperation('mul', [{ ...back, shape: x.shape }, weight], {}) as [HostTensor];
    const [want] = runOperation('add', [scaled, bias], {}) as [HostTensor];
    const [got] = runOperation('group_norm', [x, weight, bias], { groups: 3, eps: 1e-6 }) as [HostTensor];
    expect(compareTensors(got, want).maxAbs).toBeLessThan(1e-14);
  });

  it('group_apply after group_statistics is group_norm', () => {
    const [statistics] = runOperation('group_statistics', [x], { groups: 3, eps: 1e-6 }) as [HostTensor];
    const [got] = runOperation('group_apply', [x, statistics, weight, bias], { groups: 3 }) as [HostTensor];
    const [want] = runOperation('group_norm', [x, weight, bias], { groups: 3, eps: 1e-6 }) as [HostTensor];
    expect(compareTensors(got, want).maxAbs).toBe(0);
  });

  it('group_statistics: mean and reciprocal deviation', () => {
    const values = hostTensor('f32', [1, 2, 4], [1, 3, 10, 10, 5, 7, 10, 10]);
    const [got] = runOperation('group_statistics', [values], { groups: 2, eps: 4 }) as [HostTensor];
    expect(got.shape).toEqual([1, 2, 2]);
    // Group 0: 1, 3, 5, 7: mean 4, variance 5, with eps 9. Group 1 is constant.
    expect([...got.data]).toEqual([4, 1 / 3, 10, 0.5]);
  });

  it('infers and refuses', () => {
    const image = ['bf16', ['b', '8*h', '8*w', 64]] as const;
    const affine = ['f32', [64]] as const;
    const attributes = { groups: 32, eps: 1e-6 };
    expect(inferTypes('group_norm', [image, affine, affine], attributes)).toEqual(['f32[b, 8*h, 8*w, 64]']);
    expect(inferTypes('group_statistics', [image], attributes)).toEqual(['f32[b, 32, 2]']);
    const statistics = ['f32', ['b', 32, 2]] as const;
    expect(inferTypes('group_apply', [image, statistics, ['bf16', [64]], ['bf16', [64]]], { groups: 32 })).toEqual([
      'bf16[b, 8*h, 8*w, 64]',
    ]);
    expect(inferError('group_norm', [image, affine, affine], { groups: 24, eps: 1e-6 })).toMatchObject({
      code: 'F2C116',
      detail: { expected: "a multiple of 24 in the last axis of 'x'", found: '64' },
    });
    expect(inferError('group_apply', [image, ['f32', ['b', 16, 2]], affine, affine], { groups: 32 }).code).toBe(
      'F2C113',
    );
    expect(inferError('group_apply', [image, ['bf16', ['b', 32, 2]], affine, affine], { groups: 32 }).code).toBe(
      'F2C112',
    );
    expect(inferError('group_norm', [image, affine, ['f32', [32]]], attributes).detail.where).toEqual([
      'group_norm',
      'bias',
    ]);
    expect(inferError('group_norm', [image, affine, affine], { groups: 0, eps: 1e-6 }).code).toBe('F2C114');
    expect(inferError('group_statistics', [['f32', [64]]], attributes).code).toBe('F2C111');
  });
});
