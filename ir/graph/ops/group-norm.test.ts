import { describe, expect, it } from 'vitest';
import { hostTensor, inferError, inferTypes, patternTensor, runOperation } from '../../../test/run-operation.js';
import { compareTensors } from '../../host-tensor.js';
import type { HostTensor } from '../../host-tensor.js';

interface StatisticsOptions {
  readonly groups: number;
  readonly eps: number;
  readonly precision?: 'f32' | 'f64';
}

function statisticsOf(x: HostTensor, { groups, eps, ...options }: StatisticsOptions): HostTensor {
  const moments = runOperation('group_moments', [x], { groups }, options);
  return runOperation('combine_moments', moments, { eps }, options)[0] as HostTensor;
}

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

  it('group_apply after group_moments and combine_moments is group_norm', () => {
    const statistics = statisticsOf(x, { groups: 3, eps: 1e-6 });
    const [got] = runOperation('group_apply', [x, statistics, weight, bias], { groups: 3 }) as [HostTensor];
    const [want] = runOperation('group_norm', [x, weight, bias], { groups: 3, eps: 1e-6 }) as [HostTensor];
    expect(compareTensors(got, want).maxAbs).toBeLessThan(1e-14);
  });

  it('group_moments: mean and variance of each row', () => {
    const values = hostTensor('f32', [1, 2, 2, 4], [1, 3, 9, 9, 5, 7, 9, 9, -2, 2, 0, 1, -2, 2, 0, 1]);
    const [got] = runOperation('group_moments', [values], { groups: 2 }) as [HostTensor];
    expect(got.shape).toEqual([1, 2, 2, 2]);
    expect([...got.data]).toEqual([4, 5, 9, 0, 0, 4, 0.5, 0.25]);
  });

  it('group_moments: of [B, R, C] by channels alone, of [B, C] as one row', () => {
    const values = hostTensor('f32', [2, 4], [1, 3, 9, 9, -2, 2, 0, 1]);
    const wanted = [2, 1, 9, 0, 0, 4, 0.5, 0.25];
    const [flat] = runOperation('group_moments', [values], { groups: 2 }) as [HostTensor];
    expect(flat).toMatchObject({ shape: [2, 1, 2, 2], data: Float64Array.from(wanted) });
    const [rows] = runOperation('group_moments', [{ ...values, shape: [1, 2, 4] }], { groups: 2 }) as [HostTensor];
    expect(rows).toMatchObject({ shape: [1, 2, 2, 2], data: Float64Array.from(wanted) });
  });

  it('combine_moments: mean and reciprocal deviation of all', () => {
    const moments = hostTensor('f32', [1, 2, 2, 2], [2, 1, 9, 0, 6, 1, 9, 0]);
    const [got] = runOperation('combine_moments', [moments], { eps: 4 }) as [HostTensor];
    expect(got.shape).toEqual([1, 2, 2]);
    // Group 0, as of 1, 3 and 5, 7: mean 4, variance 5, with eps 9. Group 1 is constant.
    expect([...got.data]).toEqual([4, 1 / 3, 9, 0.5]);
  });

  it.each([
    ['f64', 1e8, 1e-14],
    ['f32', 1e4, 1e-6],
  ] as const)('does not lose what is small beside a large mean: %s', (precision, offset, tolerance) => {
    // Whole numbers, as many as a power of two: their means are exact, a mean of their squares is not.
    const noise = patternTensor('i32', [2, 8, 4, 4], 7).data;
    const small = hostTensor('f32', [2, 8, 4, 4], noise);
    const large = hostTensor(
      'f32',
      [2, 8, 4, 4],
      noise.map((value) => offset + value),
    );
    const options = { groups: 2, eps: 1e-3, precision };
    const [want, got] = [statisticsOf(small, options), statisticsOf(large, options)];
    for (let at = 0; at < want.data.length; at += 2) {
      expect(got.data[at]).toBe(offset + (want.data[at] as number));
      expect(Math.abs((got.data[at + 1] as number) / (want.data[at + 1] as number) - 1)).toBeLessThan(tolerance);
    }
  });

  it('has no number for the moments of nothing', () => {
    const [moments] = runOperation('group_moments', [hostTensor('f32', [1, 2, 0, 4], [])], { groups: 1 }) as [
      HostTensor,
    ];
    expect([...moments.data]).toEqual([NaN, NaN, NaN, NaN]);
    expect([...statisticsOf(hostTensor('f32', [1, 0, 2, 4], []), { groups: 1, eps: 1 }).data]).toEqual([NaN, NaN]);
    expect(statisticsOf(hostTensor('f32', [0, 2, 2, 4], []), { groups: 2, eps: 1 }).shape).toEqual([0, 2, 2]);
  });

  it('infers and refuses', () => {
    const image = ['bf16', ['b', '8*h', '8*w', 64]] as const;
    const affine = ['f32', [64]] as const;
    const attributes = { groups: 32, eps: 1e-6 };
    expect(inferTypes('group_norm', [image, affine, affine], attributes)).toEqual(['f32[b, 8*h, 8*w, 64]']);
    expect(inferTypes('group_moments', [image], { groups: 32 })).toEqual(['f32[b, 8*h, 32, 2]']);
    expect(inferTypes('group_moments', [['f64', ['b', 64]]], { groups: 16 })).toEqual(['f32[b, 1, 16, 2]']);
    expect(inferTypes('combine_moments', [['f32', ['b', '8*h', 32, 2]]], { eps: 1 })).toEqual(['f32[b, 32, 2]']);
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
    expect(inferError('group_moments', [['f32', [64]]], { groups: 32 }).code).toBe('F2C111');
    expect(inferError('group_moments', [image], { groups: 24 }).code).toBe('F2C116');
    expect(inferError('combine_moments', [['f32', ['b', 32, 2]]], { eps: 1 }).code).toBe('F2C111');
    expect(inferError('combine_moments', [['bf16', ['b', 'h', 32, 2]]], { eps: 1 }).code).toBe('F2C112');
    expect(inferError('combine_moments', [['f32', ['b', 'h', 32, 3]]], { eps: 1 }).code).toBe('F2C113');
    expect(inferError('combine_moments', [['f32', ['b', 'h', 32, 2]]], { eps: 0 }).code).toBe('F2C114');
  });
});
