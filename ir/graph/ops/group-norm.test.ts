import { describe, expect, it } from 'vitest';
import { hostTensor, inferError, inferTypes, patternTensor, runOperation } from '../../../test/run-operation.js';
import { compareTensors } from '../../host-tensor.js';
import type { HostTensor } from '../../host-tensor.js';

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
