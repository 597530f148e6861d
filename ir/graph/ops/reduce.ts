import { Dim } from '../../dim.js';
import type { ReduceKind } from '../attributes.js';
import type { OpDefinition } from '../op-table.js';
import { expectAxis, expectFloat, expectOperands, rejectOperation } from './checks.js';
import { costOfFlop, countElementsOf } from './cost.js';

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
