import { Dim } from '../../dim.js';
import { quantizedDTypes } from '../../dtype.js';
import type { HostTensor } from '../../host-tensor.js';
import { quantizeRow } from '../../quantize.js';
import type { OpKind } from '../attributes.js';
import type { TensorType } from '../graph.js';
import type { EvaluateContext, OpDefinition } from '../op-table.js';
import {
  expectAffine,
  expectFloat,
  expectMinimumRank,
  expectOperands,
  expectPositiveNumber,
  rejectOperation,
  widerFloat,
} from './checks.js';
import { costPerElement } from './cost.js';
import { allocateResult, roundResult } from './rounding.js';

function expectRow(kind: OpKind, x: TensorType): Dim {
  expectFloat(kind, 'x', x);
  expectMinimumRank(kind, 'x', x, 1);
  return x.shape.at(-1) as Dim;
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
  cost: costPerElement(6),
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
  cost: costPerElement(4),
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
  cost: costPerElement(4),
};

const quantizeRows: OpDefinition<'quantize_rows'> = {
  kind: 'quantize_rows',
  category: 'row',
  infer(operands, { dtype }) {
    const [x] = expectOperands('quantize_rows', operands, ['x']);
    expectRow('quantize_rows', x);
    if (!quantizedDTypes.includes(dtype)) {
      rejectOperation('F2C114', 'quantize_rows', `rows are not quantised to ${dtype as string}`, {
        expected: quantizedDTypes.join(' or '),
        found: dtype,
      });
    }
    const scales = [...x.shape.slice(0, -1), Dim.of(1)];
    return [
      { dtype, shape: x.shape },
      { dtype: 'f32', shape: scales },
    ];
  },
  /** Values are of the type in either precision: that is what the operation is for. */
  evaluate(operands, { dtype }, results, context) {
    const [x] = expectOperands('quantize_rows', operands, ['x']);
    const [values, scales] = [allocateResult(results[0], context), allocateResult(results[1], context)];
    const size = x.shape.at(-1) as number;
    for (let row = 0; row < scales.data.length; row++) {
      const [start, end] = [row * size, (row + 1) * size];
      const out = values.data.subarray(start, end);
      scales.data[row] = quantizeRow(x.data.subarray(start, end), out, dtype, context.precision);
    }
    return [values, scales];
  },
  cost: costPerElement(3),
};

export const normalizeOps = {
  layer_norm: layerNorm,
  rms_norm: rmsNorm,
  softmax,
  quantize_rows: quantizeRows,
};
