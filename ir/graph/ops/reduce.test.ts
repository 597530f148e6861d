import { expect, it } from 'vitest';
import { hostTensor, inferError, inferTypes, runOperation } from '../../../test/run-operation.js';
import type { HostTensor } from '../../host-tensor.js';
import type { ReduceKind } from '../attributes.js';

const x = hostTensor('f32', [2, 2, 3], [1, 2, 3, 4, 5, 6, -1, -2, -3, -4, -5, -6]);

function reduce(kind: ReduceKind, axes: readonly number[], of: HostTensor = x): number[] {
  return [...(runOperation(kind, [of], { axes, keepDims: false })[0] as HostTensor).data];
}

it('reduces any axes', () => {
  expect(reduce('reduce_sum', [2])).toEqual([6, 15, -6, -15]);
  expect(reduce('reduce_sum', [0])).toEqual([0, 0, 0, 0, 0, 0]);
  expect(reduce('reduce_sum', [1])).toEqual([5, 7, 9, -5, -7, -9]);
  expect(reduce('reduce_mean', [1, 2])).toEqual([3.5, -3.5]);
  expect(reduce('reduce_mean', [2, 1])).toEqual([3.5, -3.5]);
  expect(reduce('reduce_max', [0, 1, 2])).toEqual([6]);
  expect(reduce('reduce_max', [1])).toEqual([4, 5, 6, -1, -2, -3]);
});

it('reduces nothing to the identity', () => {
  const empty = hostTensor('f32', [2, 0], []);
  expect(reduce('reduce_sum', [1], empty)).toEqual([0, 0]);
  expect(reduce('reduce_max', [1], empty)).toEqual([-Infinity, -Infinity]);
  expect(reduce('reduce_mean', [1], empty)).toEqual([NaN, NaN]);
  expect(reduce('reduce_sum', [0], empty)).toEqual([]);
});

it('adds in doubles and rounds once', () => {
  const tiny = hostTensor('f32', [5], [1, 2 ** -25, 2 ** -25, 2 ** -25, 2 ** -25]);
  const [sum] = runOperation('reduce_sum', [tiny], { axes: [0], keepDims: true }, { precision: 'f32' });
  expect([...(sum as HostTensor).data]).toEqual([1 + 2 ** -23]);
});

it('infers shapes with and without the axes', () => {
  const operand = ['bf16', ['b', 'img', 128]] as const;
  expect(inferTypes('reduce_sum', [operand], { axes: [1], keepDims: true })).toEqual(['bf16[b, 1, 128]']);
  expect(inferTypes('reduce_sum', [operand], { axes: [2, 0], keepDims: false })).toEqual(['bf16[img]']);
});

it('refuses axes that do not exist, repeat or are none, and integers', () => {
  for (const axes of [[3], [-1], [0, 0], [], [0.5]]) {
    expect(inferError('reduce_mean', [['f32', [2, 3, 4]]], { axes, keepDims: false }).code).toBe('F2C114');
  }
  expect(inferError('reduce_sum', [['i32', [2]]], { axes: [0], keepDims: false }).code).toBe('F2C112');
});
