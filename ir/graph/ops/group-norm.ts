import { Dim } from '../../dim.js';
import { countElements } from '../../host-tensor.js';
import type { HostTensor } from '../../host-tensor.js';
import type { OpKind } from '../attributes.js';
import type { TensorType } from '../graph.js';
import type { EvaluateContext, OpDefinition } from '../op-table.js';
import {
  expectAffine,
  expectDType,
  expectFloat,
  expectMinimumRank,
  expectOperands,
  expectPositiveInteger,
  expectPositiveNumber,
  expectShape,
  rejectOperation,
  widerFloat,
} from './checks.js';
import { costPerElement } from './cost.js';
import { allocateResult, roundResult } from './rounding.js';

/** Checks x[B, ..., C] and that C splits into `groups`. */
function expectGroups(kind: OpKind, x: TensorType, groups: number): Dim {
  expectFloat(kind, 'x', x);
  expectMinimumRank(kind, 'x', x, 2);
  expectPositiveInteger(kind, 'groups', groups);
  const channels = x.shape.at(-1) as Dim;
  if (!channels.isMultipleOf(groups)) {
    rejectOperation('F2C116', kind, 'the channels do not split into the groups', {
      expected: `a multiple of ${groups} in the last axis of 'x'`,
      found: channels.text,
      hint: 'Images are [B, H, W, C]: channels last.',
    });
  }
  return channels;
}

/** (mean, 1/sqrt(variance + eps)) of each batch element and group, as doubles in [B, groups, 2]. */
function computeGroupStatistics(x: HostTensor, groups: number, eps: number): Float64Array {
  const batch = x.shape[0] as number;
  const channels = x.shape.at(-1) as number;
  const positions = countElements(x.shape.slice(1, -1));
  const groupSize = channels / groups;
  const count = positions * groupSize;
  const statistics = new Float64Array(batch * groups * 2);
  const sumOver = (b: number, group: number, term: (value: number) => number): number => {
    let sum = 0;
    for (let position = 0; position < positions; position++) {
      const start = (b * positions + position) * channels + group * groupSize;
      for (let i = start; i < start + groupSize; i++) sum += term(x.data[i] as number);
    }
    return sum;
  };
  for (let b = 0; b < batch; b++) {
    for (let group = 0; group < groups; group++) {
      const mean = sumOver(b, group, (value) => value) / count;
      const variance = sumOver(b, group, (value) => (value - mean) ** 2) / count;
      statistics.set([mean, 1 / Math.sqrt(variance + eps)], (b * groups + group) * 2);
    }
  }
  return statistics;
}

function applyGroupStatistics(
  operands: { readonly x: HostTensor; readonly weight: HostTensor; readonly bias: HostTensor },
  statistics: Float64Array,
  groups: number,
  type: TensorType | undefined,
  context: EvaluateContext,
): readonly HostTensor[] {
  const { x, weight, bias } = operands;
  const result = allocateResult(type, context);
  const channels = x.shape.at(-1) as number;
  const positions = countElements(x.shape.slice(1, -1));
  const groupSize = channels / groups;
  for (let i = 0; i < x.data.length; i++) {
    const channel = i % channels;
    const at = (Math.floor(i / (positions * channels)) * groups + Math.floor(channel / groupSize)) * 2;
    const normalized = ((x.data[i] as number) - (statistics[at] as number)) * (statistics[at + 1] as number);
    result.data[i] = normalized * (weight.data[channel] as number) + (bias.data[channel] as number);
  }
  return [roundResult(result, context.precision)];
}

const groupNorm: OpDefinition<'group_norm'> = {
  kind: 'group_norm',
  category: 'statistics',
  infer(operands, { groups, eps }) {
    const [x, weight, bias] = expectOperands('group_norm', operands, ['x', 'weight', 'bias']);
    expectAffine('group_norm', expectGroups('group_norm', x, groups), { weight, bias });
    expectPositiveNumber('group_norm', 'eps', eps);
    return [{ dtype: widerFloat(widerFloat(x.dtype, weight.dtype), bias.dtype), shape: x.shape }];
  },
  evaluate(operands, { groups, eps }, results, context) {
    const [x, weight, bias] = expectOperands('group_norm', operands, ['x', 'weight', 'bias']);
    const statistics = computeGroupStatistics(x, groups, eps);
    return applyGroupStatistics({ x, weight, bias }, statistics, groups, results[0], context);
  },
  cost: costPerElement(7),
};

const groupStatistics: OpDefinition<'group_statistics'> = {
  kind: 'group_statistics',
  category: 'statistics',
  infer(operands, { groups, eps }) {
    const [x] = expectOperands('group_statistics', operands, ['x']);
    expectGroups('group_statistics', x, groups);
    expectPositiveNumber('group_statistics', 'eps', eps);
    return [{ dtype: 'f32', shape: [x.shape[0] as Dim, Dim.of(groups), Dim.of(2)] }];
  },
  evaluate(operands, { groups, eps }, results, context) {
    const [x] = expectOperands('group_statistics', operands, ['x']);
    const result = allocateResult(results[0], context);
    result.data.set(computeGroupStatistics(x, groups, eps));
    return [roundResult(result, context.precision)];
  },
  cost: costPerElement(4),
};

/** The statistics are f32 whatever `x` is and do not widen the result, so this has the type `group_norm` has. */
const groupApply: OpDefinition<'group_apply'> = {
  kind: 'group_apply',
  category: 'injective',
  infer(operands, { groups }) {
    const [x, statistics, weight, bias] = expectOperands('group_apply', operands, [
      'x',
      'statistics',
      'weight',
      'bias',
    ]);
    expectAffine('group_apply', expectGroups('group_apply', x, groups), { weight, bias });
    expectDType('group_apply', 'statistics', statistics, 'f32');
    expectShape('group_apply', 'statistics', statistics, [x.shape[0] as Dim, groups, 2]);
    return [{ dtype: widerFloat(widerFloat(x.dtype, weight.dtype), bias.dtype), shape: x.shape }];
  },
  evaluate(operands, { groups }, results, context) {
    const [x, statistics, weight, bias] = expectOperands('group_apply', operands, [
      'x',
      'statistics',
      'weight',
      'bias',
    ]);
    return applyGroupStatistics({ x, weight, bias }, statistics.data, groups, results[0], context);
  },
  cost: costPerElement(4),
};

export const groupNormOps = {
  group_norm: groupNorm,
  group_statistics: groupStatistics,
  group_apply: groupApply,
};
