import { Dim } from '../../dim.js';
import { countElements } from '../../host-tensor.js';
import type { HostTensor } from '../../host-tensor.js';
import type { OpKind } from '../attributes.js';
import type { TensorType } from '../graph.js';
import type { EvaluateContext, OpDefinition } from '../op-table.js';
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
import { costOfFlop, countElementsOf } from './cost.js';
import { allocateResult, roundResult } from './rounding.js';

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

/** Writes each row of the last axis of x, changed by `normalize`, to the result. */
function mapRows(
  x: HostTensor,
  type: TensorType | undefined,
  context: EvaluateContext,
  normalize: (row: Float64Array, out: Float64Array) => void,
): readonly HostTensor[] {
  const result = allocateResult(type, context);
  const size = x.shape.at(-1) as number;
  for (let start = 0; start < x.data.length; start += size) {
    normalize(x.data.subarray(start, start + size), result.data.subarray(start, start + size));
  }
  return [roundResult(result, context.precision)];
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

const layerNorm: OpDefinition<'layer_norm'> = {
  kind: 'layer_norm',
  category: 'row',
  infer(operands, { eps }) {
    const [x] = expectOperands('layer_norm', operands, ['x']);
    expectRow('layer_norm', x);
    expectPositiveNumber('layer_norm', 'eps', eps);
    return [x];
  },
  evaluate(operands, { eps }, results, context) {
    const [x] = expectOperands('layer_norm', operands, ['x']);
    return mapRows(x, results[0], context, (row, out) => {
      let sum = 0;
      for (const value of row) sum += value;
      const mean = sum / row.length;
      let squares = 0;
      for (const value of row) squares += (value - mean) ** 2;
      const factor = 1 / Math.sqrt(squares / row.length + eps);
      for (let i = 0; i < row.length; i++) out[i] = ((row[i] as number) - mean) * factor;
    });
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
  evaluate(operands, { eps }, results, context) {
    const [x, weight] = expectOperands('rms_norm', operands, ['x', 'weight']);
    return mapRows(x, results[0], context, (row, out) => {
      let squares = 0;
      for (const value of row) squares += value * value;
      const factor = 1 / Math.sqrt(squares / row.length + eps);
      for (let i = 0; i < row.length; i++) out[i] = (row[i] as number) * factor * (weight.data[i] as number);
    });
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
  evaluate(operands, _, results, context) {
    const [x] = expectOperands('softmax', operands, ['x']);
    return mapRows(x, results[0], context, (row, out) => {
      let largest = -Infinity;
      for (const value of row) largest = Math.max(largest, value);
      let sum = 0;
      for (let i = 0; i < row.length; i++) sum += out[i] = Math.exp((row[i] as number) - largest);
      for (let i = 0; i < row.length; i++) out[i] = (out[i] as number) / sum;
    });
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
  evaluate(operands, { groups, eps }, results, context) {
    const [x, weight, bias] = expectOperands('group_norm', operands, ['x', 'weight', 'bias']);
    const statistics = computeGroupStatistics(x, groups, eps);
    return applyGroupStatistics({ x, weight, bias }, statistics, groups, results[0], context);
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
  evaluate(operands, { groups, eps }, results, context) {
    const [x] = expectOperands('group_statistics', operands, ['x']);
    const result = allocateResult(results[0], context);
    result.data.set(computeGroupStatistics(x, groups, eps));
    return [roundResult(result, context.precision)];
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
  evaluate(operands, { groups }, results, context) {
    const [x, statistics, weight, bias] = expectOperands('group_apply', operands, [
      'x',
      'statistics',
      'weight',
      'bias',
    ]);
    return applyGroupStatistics({ x, weight, bias }, statistics.data, groups, results[0], context);
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
