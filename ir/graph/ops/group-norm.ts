import { Dim } from '../../dim.js';
import { countElements } from '../../host-tensor.js';
import type { HostTensor } from '../../host-tensor.js';
import type { OpKind } from '../attributes.js';
import type { TensorType } from '../graph.js';
import type { EvaluateContext, OpDefinition } from '../op-table.js';
import {
  expectAffine,
  expectDim,
  expectDType,
  expectFloat,
  expectMinimumRank,
  expectOperands,
  expectPositiveInteger,
  expectPositiveNumber,
  expectRank,
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

/** (mean, variance) of each group in each of `parts` runs of positions, as doubles in [parts, groups, 2]. */
function computeMoments(
  x: HostTensor,
  { parts, positions, groups }: Readonly<Record<'parts' | 'positions' | 'groups', number>>,
): Float64Array {
  const channels = x.shape.at(-1) as number;
  const groupSize = channels / groups;
  const count = positions * groupSize;
  const moments = new Float64Array(parts * groups * 2);
  const sumOver = (part: number, group: number, term: (value: number) => number): number => {
    let sum = 0;
    for (let position = 0; position < positions; position++) {
      const start = (part * positions + position) * channels + group * groupSize;
      for (let i = start; i < start + groupSize; i++) sum += term(x.data[i] as number);
    }
    return sum;
  };
  for (let part = 0; part < parts; part++) {
    for (let group = 0; group < groups; group++) {
      const mean = sumOver(part, group, (value) => value) / count;
      const variance = sumOver(part, group, (value) => (value - mean) ** 2) / count;
      moments.set([mean, variance], (part * groups + group) * 2);
    }
  }
  return moments;
}

/**
 * Of moments [batch, parts, groups, 2] of parts of equally many numbers: (mean, 1/sqrt(variance + eps)) of all, as doubles
 * in [batch, groups, 2]. The variance of all is the average of the parts' and the variance of their means.
 */
function poolMoments(
  moments: Float64Array,
  { batch, parts, groups, eps }: Readonly<Record<'batch' | 'parts' | 'groups' | 'eps', number>>,
): Float64Array {
  const statistics = new Float64Array(batch * groups * 2);
  const average = (b: number, group: number, term: (mean: number, variance: number) => number): number => {
    let sum = 0;
    for (let part = 0; part < parts; part++) {
      const at = ((b * parts + part) * groups + group) * 2;
      sum += term(moments[at] as number, moments[at + 1] as number);
    }
    return sum / parts;
  };
  for (let b = 0; b < batch; b++) {
    for (let group = 0; group < groups; group++) {
      const mean = average(b, group, (part) => part);
      const variance = average(b, group, (part, within) => within + (part - mean) ** 2);
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
    const batch = x.shape[0] as number;
    const moments = computeMoments(x, { parts: batch, positions: countElements(x.shape.slice(1, -1)), groups });
    const statistics = poolMoments(moments, { batch, parts: 1, groups, eps });
    return applyGroupStatistics({ x, weight, bias }, statistics, groups, results[0], context);
  },
  cost: costPerElement(7),
};

const groupMoments: OpDefinition<'group_moments'> = {
  kind: 'group_moments',
  category: 'statistics',
  infer(operands, { groups }) {
    const [x] = expectOperands('group_moments', operands, ['x']);
    expectGroups('group_moments', x, groups);
    const [batch, rows] = x.shape.slice(0, -1) as [Dim, Dim?];
    return [{ dtype: 'f32', shape: [batch, rows ?? Dim.of(1), Dim.of(groups), Dim.of(2)] }];
  },
  evaluate(operands, { groups }, results, context) {
    const [x] = expectOperands('group_moments', operands, ['x']);
    const result = allocateResult(results[0], context);
    const parts = countElements(x.shape.slice(0, -1).slice(0, 2));
    result.data.set(computeMoments(x, { parts, positions: countElements(x.shape.slice(2, -1)), groups }));
    return [roundResult(result, context.precision)];
  },
  cost: costPerElement(4),
};

const combineMoments: OpDefinition<'combine_moments'> = {
  kind: 'combine_moments',
  category: 'statistics',
  infer(operands, { eps }) {
    const [moments] = expectOperands('combine_moments', operands, ['moments']);
    expectDType('combine_moments', 'moments', moments, 'f32');
    expectRank('combine_moments', 'moments', moments, 'B, R, groups, 2');
    expectPositiveNumber('combine_moments', 'eps', eps);
    const [batch, , groups, pair] = moments.shape as readonly [Dim, Dim, Dim, Dim];
    expectDim('combine_moments', "the last axis of 'moments'", pair, 2);
    return [{ dtype: 'f32', shape: [batch, groups, Dim.of(2)] }];
  },
  evaluate(operands, { eps }, results, context) {
    const [moments] = expectOperands('combine_moments', operands, ['moments']);
    const result = allocateResult(results[0], context);
    const [batch, parts, groups] = moments.shape as readonly [number, number, number, number];
    result.data.set(poolMoments(moments.data, { batch, parts, groups, eps }));
    return [roundResult(result, context.precision)];
  },
  cost: costPerElement(3),
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
  group_moments: groupMoments,
  combine_moments: combineMoments,
  group_apply: groupApply,
};
