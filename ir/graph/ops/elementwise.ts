import { isFloat } from '../../dtype.js';
import type { DType } from '../../dtype.js';
import type { HostTensor } from '../../host-tensor.js';
import type { BinaryKind, CompareKind, UnaryKind } from '../attributes.js';
import type { TensorType } from '../graph.js';
import type { EvaluateContext, OpDefinition } from '../op-table.js';
import { broadcastShapes, commonDType, expectDType, expectFloat, expectOperands, rejectDType } from './checks.js';
import { costOfFlop, countElementsOf } from './cost.js';
import { erf } from './error-function.js';
import { allocateResult, roundResult, saturateInteger } from './rounding.js';
import { broadcastData } from './strided-copy.js';

function costOfElementwise(operands: readonly TensorType[], _: unknown, results: readonly TensorType[]) {
  return costOfFlop(countElementsOf(results[0] as TensorType), operands, results);
}

function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

const unaryFunctions: Readonly<Record<UnaryKind, (x: number) => number>> = {
  neg: (x) => -x,
  abs: Math.abs,
  exp: Math.exp,
  log: Math.log,
  sqrt: Math.sqrt,
  rsqrt: (x) => 1 / Math.sqrt(x),
  sin: Math.sin,
  cos: Math.cos,
  tanh: Math.tanh,
  sigmoid,
  silu: (x) => x * sigmoid(x),
  gelu: (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x))),
  erf,
  floor: Math.floor,
};

const binaryFunctions: Readonly<Record<BinaryKind, (a: number, b: number) => number>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  min: Math.min,
  max: Math.max,
  pow: Math.pow,
};

/** Integers: a product may pass 2^53, so its low 32 bits are taken exactly; a / 0 is a, as WGSL defines it. */
function selectBinaryFunction(kind: BinaryKind, dtype: DType): (a: number, b: number) => number {
  if (isFloat(dtype)) return binaryFunctions[kind];
  if (kind === 'mul' && dtype !== 'i64') return Math.imul;
  if (kind === 'div') return (a, b) => (b === 0 ? a : Math.trunc(a / b));
  return binaryFunctions[kind];
}

const compareFunctions: Readonly<Record<CompareKind, (a: number, b: number) => number>> = {
  equal: (a, b) => (a === b ? 1 : 0),
  less: (a, b) => (a < b ? 1 : 0),
  less_equal: (a, b) => (a <= b ? 1 : 0),
};

function mapPairs(
  operands: readonly HostTensor[],
  type: TensorType | undefined,
  context: EvaluateContext,
  apply: (a: number, b: number) => number,
): readonly HostTensor[] {
  const result = allocateResult(type, context);
  const [a, b] = operands.map((operand) => broadcastData(operand, result.shape)) as [Float64Array, Float64Array];
  for (let i = 0; i < result.data.length; i++) result.data[i] = apply(a[i] as number, b[i] as number);
  return [roundResult(result, context.precision)];
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
    evaluate(operands, _, results, context) {
      const [x] = expectOperands(kind, operands, ['x']);
      const result = allocateResult(results[0], context);
      const apply = unaryFunctions[kind];
      for (let i = 0; i < result.data.length; i++) result.data[i] = apply(x.data[i] as number);
      return [roundResult(result, context.precision)];
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
    evaluate(operands, _, results, context) {
      const apply = selectBinaryFunction(kind, (results[0] as TensorType).dtype);
      return mapPairs(operands, results[0], context, apply);
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
    evaluate: (operands, _, results, context) => mapPairs(operands, results[0], context, compareFunctions[kind]),
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
  /** Float to integer keeps within the range, integer to integer wraps. */
  evaluate(operands, { dtype }, results, context) {
    const [x] = expectOperands('cast', operands, ['x']);
    const result = allocateResult(results[0], context);
    result.data.set(
      isFloat(dtype) || !isFloat(x.dtype) ? x.data : x.data.map((value) => saturateInteger(dtype, value)),
    );
    return [roundResult(result, context.precision)];
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
  evaluate(operands, _, results, context) {
    const result = allocateResult(results[0], context);
    const [condition, a, b] = operands.map((operand) => broadcastData(operand, result.shape)) as [
      Float64Array,
      Float64Array,
      Float64Array,
    ];
    for (let i = 0; i < result.data.length; i++) result.data[i] = (condition[i] === 0 ? b[i] : a[i]) as number;
    return [roundResult(result, context.precision)];
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
