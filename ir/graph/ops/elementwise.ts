import type { BinaryKind, CompareKind, UnaryKind } from '../attributes.js';
import type { TensorType } from '../graph.js';
import type { OpDefinition } from '../op-table.js';
import { broadcastShapes, commonDType, expectDType, expectFloat, expectOperands, rejectDType } from './checks.js';
import { costOfFlop, countElementsOf } from './cost.js';

function costOfElementwise(operands: readonly TensorType[], _: unknown, results: readonly TensorType[]) {
  return costOfFlop(countElementsOf(results[0] as TensorType), operands, results);
}

function defineUnary<K extends UnaryKind>(kind: K): OpDefinition<K> {
  return {
    kind,
    category: 'pointwise',
    infer(operands) {
      const [x] = expectOperands(kind, operands, ['x']);
      expectFloat(kind, 'x', x);
      return [x];
    },
    cost: costOfElementwise,
  };
}

function defineBinary<K extends BinaryKind>(kind: K): OpDefinition<K> {
  return {
    kind,
    category: 'pointwise',
    infer(operands) {
      const [a, b] = expectOperands(kind, operands, ['a', 'b']);
      const dtype = commonDType(kind, a, b);
      if (dtype === 'bool') rejectDType(kind, 'a', a, 'numbers');
      // Integer powers overflow at once; no model needs them.
      if (kind === 'pow') expectFloat(kind, 'a', a);
      return [{ dtype, shape: broadcastShapes(kind, a.shape, b.shape) }];
    },
    cost: costOfElementwise,
  };
}

function defineCompare<K extends CompareKind>(kind: K): OpDefinition<K> {
  return {
    kind,
    category: 'pointwise',
    infer(operands) {
      const [a, b] = expectOperands(kind, operands, ['a', 'b']);
      const dtype = commonDType(kind, a, b);
      if (dtype === 'bool' && kind !== 'equal') rejectDType(kind, 'a', a, 'numbers');
      return [{ dtype: 'bool', shape: broadcastShapes(kind, a.shape, b.shape) }];
    },
    cost: costOfElementwise,
  };
}

const cast: OpDefinition<'cast'> = {
  kind: 'cast',
  category: 'pointwise',
  infer(operands, { dtype }) {
    const [x] = expectOperands('cast', operands, ['x']);
    return [{ dtype, shape: x.shape }];
  },
  cost: costOfElementwise,
};

const select: OpDefinition<'select'> = {
  kind: 'select',
  category: 'pointwise',
  infer(operands) {
    const [condition, a, b] = expectOperands('select', operands, ['condition', 'a', 'b']);
    expectDType('select', 'condition', condition, 'bool');
    const dtype = commonDType('select', a, b);
    const shape = broadcastShapes('select', condition.shape, broadcastShapes('select', a.shape, b.shape));
    return [{ dtype, shape }];
  },
  cost: costOfElementwise,
};

export const elementwiseOps = {
  neg: defineUnary('neg'),
  abs: defineUnary('abs'),
  exp: defineUnary('exp'),
  log: defineUnary('log'),
  sqrt: defineUnary('sqrt'),
  rsqrt: defineUnary('rsqrt'),
  sin: defineUnary('sin'),
  cos: defineUnary('cos'),
  tanh: defineUnary('tanh'),
  sigmoid: defineUnary('sigmoid'),
  silu: defineUnary('silu'),
  gelu: defineUnary('gelu'),
  erf: defineUnary('erf'),
  floor: defineUnary('floor'),
  add: defineBinary('add'),
  sub: defineBinary('sub'),
  mul: defineBinary('mul'),
  div: defineBinary('div'),
  min: defineBinary('min'),
  max: defineBinary('max'),
  pow: defineBinary('pow'),
  equal: defineCompare('equal'),
  less: defineCompare('less'),
  less_equal: defineCompare('less_equal'),
  cast,
  select,
};
