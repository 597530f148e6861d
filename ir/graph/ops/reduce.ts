import { unreachable } from '../../diagnostics.js';
import { Dim } from '../../dim.js';
import { countElements } from '../../host-tensor.js';
import type { ReduceKind } from '../attributes.js';
import type { OpDefinition } from '../op-table.js';
import { expectAxis, expectFloat, expectOperands, rejectOperation } from './checks.js';
import { costOfFlop, countElementsOf } from './cost.js';
import { allocateResult, roundResult } from './rounding.js';
import { permuteAxes } from './strided-copy.js';

/** Over nothing: 0, NaN and -infinity, as numpy's sum and mean and as the identity of max. */
function reduceRow(kind: ReduceKind, row: Float64Array): number {
  switch (kind) {
    case 'reduce_sum':
      return row.reduce((sum, value) => sum + value, 0);
    case 'reduce_mean':
      return row.reduce((sum, value) => sum + value, 0) / row.length;
    case 'reduce_max':
      return row.reduce((largest, value) => Math.max(largest, value), -Infinity);
    default:
      return unreachable(kind, 'reduction');
  }
}

function defineReduce<K extends ReduceKind>(kind: K): OpDefinition<K> {
  return {
    kind,
    category: 'row',
    infer(operands, { axes, keepDims }) {
      const [x] = expectOperands(kind, operands, ['x']);
      expectFloat(kind, 'x', x);
      axes.forEach((axis) => expectAxis(kind, axis, x.shape.length));
      if (axes.length === 0 || new Set(axes).size !== axes.length) {
        rejectOperation('F2C114', kind, 'the axes must be at least one and different', {
          found: `[${axes.join(', ')}]`,
        });
      }
      const shape = keepDims
        ? x.shape.map((dim, axis) => (axes.includes(axis) ? Dim.of(1) : dim))
        : x.shape.filter((_, axis) => !axes.includes(axis));
      return [{ dtype: x.dtype, shape }];
    },
    evaluate(operands, { axes }, results, context) {
      const [x] = expectOperands(kind, operands, ['x']);
      const result = allocateResult(results[0], context);
      const kept = x.shape.map((_, axis) => axis).filter((axis) => !axes.includes(axis));
      const { data } = permuteAxes(x, [...kept, ...axes]);
      const length = countElements(axes.map((axis) => x.shape[axis] as number));
      for (let i = 0; i < result.data.length; i++) {
        result.data[i] = reduceRow(kind, data.subarray(i * length, (i + 1) * length));
      }
      return [roundResult(result, context.precision)];
    },
    cost(operands, _, results) {
      const [x] = expectOperands(kind, operands, ['x']);
      return costOfFlop(countElementsOf(x), operands, results);
    },
  };
}

export const reduceOps = {
  reduce_sum: defineReduce('reduce_sum'),
  reduce_mean: defineReduce('reduce_mean'),
  reduce_max: defineReduce('reduce_max'),
};
