import { Dim } from '../../dim.js';
import type { TensorType } from '../graph.js';
import type { OpDefinition } from '../op-table.js';
import {
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
import type { OpKind } from '../attributes.js';
import { costOfFlop, countElementsOf } from './cost.js';

/** Rough counts of arithmetic per element: one pass for each statistic and one to apply them. */
const flopPerElement = { layer_norm: 6, rms_norm: 4, softmax: 4, group_norm: 7, group_statistics: 4, group_apply: 4 };

function costOfNormalization(kind: keyof typeof flopPerElement) {
  return (operands: readonly TensorType[], _: unknown, results: readonly TensorType[]) =>
    costOfFlop(countElementsOf(operands[0] as TensorType).mul(flopPerElement[kind]), operands, results);
}

function expectRow(kind: OpKind, x: TensorType): Dim {
  expectFloat(kind, 'x', x);
  expectMinimumRank(kind, 'x', x, 1);
  return x.shape.at(-1) as Dim;
}

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

function expectAffine(kind: OpKind, channels: Dim, parameters: Readonly<Record<string, TensorType>>): void {
  for (const [name, type] of Object.entries(parameters)) {
    expectFloat(kind, name, type);
    expectShape(kind, name, type, [channels]);
  }
}

const layerNorm: OpDefinition<'layer_norm'> = {
  kind: 'layer_norm',
  category: 'row',
  infer(operands, { eps }) {
    const [x] = expectOperands('layer_norm', operands, ['x']);
    expectRow('layer_norm', x);
    expectPositiveNumber('layer_norm', 'eps', eps);
    return [x];
  },
  cost: costOfNormalization('layer_norm'),
};

const rmsNorm: OpDefinition<'rms_norm'> = {
  kind: 'rms_norm',
  category: 'row',
  infer(operands, { eps }) {
    const [x, weight] = expectOperands('rms_norm', operands, ['x', 'weight']);
    expectAffine('rms_norm', expectRow('rms_norm', x), { weight });
    expectPositiveNumber('rms_norm', 'eps', eps);
    return [{ dtype: widerFloat(x.dtype, weight.dtype), shape: x.shape }];
  },
  cost: costOfNormalization('rms_norm'),
};

const softmax: OpDefinition<'softmax'> = {
  kind: 'softmax',
  category: 'row',
  infer(operands) {
    const [x] = expectOperands('softmax', operands, ['x']);
    expectRow('softmax', x);
    return [x];
  },
  cost: costOfNormalization('softmax'),
};

const groupNorm: OpDefinition<'group_norm'> = {
  kind: 'group_norm',
  category: 'statistics',
  infer(operands, { groups, eps }) {
    const [x, weight, bias] = expectOperands('group_norm', operands, ['x', 'weight', 'bias']);
    expectAffine('group_norm', expectGroups('group_norm', x, groups), { weight, bias });
    expectPositiveNumber('group_norm', 'eps', eps);
    return [{ dtype: widerFloat(widerFloat(x.dtype, weight.dtype), bias.dtype), shape: x.shape }];
  },
  cost: costOfNormalization('group_norm'),
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
  cost: costOfNormalization('group_statistics'),
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
  cost: costOfNormalization('group_apply'),
};

export const normalizeOps = {
  layer_norm: layerNorm,
  rms_norm: rmsNorm,
  softmax,
  group_norm: groupNorm,
  group_statistics: groupStatistics,
  group_apply: groupApply,
};
