import { Flux2cError } from '../ir/diagnostics.js';
import type { DType } from '../ir/dtype.js';
import type { BinaryKind, CompareKind, UnaryKind } from '../ir/graph/attributes.js';
import { emitOne, Tensor } from './tensor.js';
import type { Beside, FloatType, MaxRank, Wider } from './tensor-types.js';

/** x[...] -> [...], any float type and rank. */
export type UnaryFunction = <D extends FloatType, R extends number>(x: Tensor<D, R>) => Tensor<D, R>;

/**
 * a[...], b[...] -> [...] with numpy broadcasting; floats give the wider type, other types must be equal. A number
 * takes the type of the tensor beside it. Errors: F2C112 types, F2C113 shapes that do not broadcast.
 */
export interface BinaryFunction {
  <A extends DType, R extends number>(a: Tensor<A, R>, b: number): Tensor<A, R>;
  <B extends DType, R extends number>(a: number, b: Tensor<B, R>): Tensor<B, R>;
  <A extends DType, B extends Beside<A>, RA extends number, RB extends number>(
    a: Tensor<A, RA>,
    b: Tensor<B, RB>,
  ): Tensor<Wider<A, B>, MaxRank<RA, RB>>;
}

/** As `BinaryFunction`, with a result of `bool`. */
export interface CompareFunction {
  <A extends DType, R extends number>(a: Tensor<A, R>, b: number): Tensor<'bool', R>;
  <B extends DType, R extends number>(a: number, b: Tensor<B, R>): Tensor<'bool', R>;
  <A extends DType, B extends Beside<A>, RA extends number, RB extends number>(
    a: Tensor<A, RA>,
    b: Tensor<B, RB>,
  ): Tensor<'bool', MaxRank<RA, RB>>;
}

function unary(kind: UnaryKind): UnaryFunction {
  return (x) => emitOne(kind, [x], {});
}

function pair(kind: BinaryKind | CompareKind, a: Tensor | number, b: Tensor | number): Tensor {
  if (a instanceof Tensor) return emitOne(kind, [a, toTensor(b, a)], {});
  if (b instanceof Tensor) return emitOne(kind, [toTensor(a, b), b], {});
  throw new Flux2cError('F2C128', `${kind} needs a tensor`, {
    found: `two numbers, ${a} and ${b}`,
    hint: 'Compute with numbers in TypeScript.',
  });
}

/** A number as a scalar of the type of the tensor beside it. */
function toTensor(x: Tensor | number, beside: Tensor): Tensor {
  return x instanceof Tensor ? x : beside.graph.scalar(beside.dtype, x);
}

// `pair` returns what `infer` finds; the overloads say the same in types.
function binary(kind: BinaryKind): BinaryFunction {
  return ((a: Tensor | number, b: Tensor | number) => pair(kind, a, b)) as BinaryFunction;
}

function compare(kind: CompareKind): CompareFunction {
  return ((a: Tensor | number, b: Tensor | number) => pair(kind, a, b)) as CompareFunction;
}

export const neg = unary('neg');
export const abs = unary('abs');
export const exp = unary('exp');
export const log = unary('log');
export const sqrt = unary('sqrt');
/** 1 / sqrt(x) */
export const rsqrt = unary('rsqrt');
export const sin = unary('sin');
export const cos = unary('cos');
export const tanh = unary('tanh');
export const sigmoid = unary('sigmoid');
/** x · sigmoid(x) */
export const silu = unary('silu');
/** The tanh form: 0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))). */
export const gelu = unary('gelu');
export const erf = unary('erf');
export const floor = unary('floor');

export const add = binary('add');
export const sub = binary('sub');
export const mul = binary('mul');
/** Integers are divided towards 0. */
export const div = binary('div');
export const minimum = binary('min');
export const maximum = binary('max');
/** Floats only. */
export const pow = binary('pow');

export const equal = compare('equal');
export const less = compare('less');
export const lessEqual = compare('less_equal');

/** x[...] -> the same numbers in another element type. Float to integer keeps within the integer's range. */
export function cast<const T extends DType, R extends number>(x: Tensor<DType, R>, dtype: T): Tensor<T, R> {
  return emitOne('cast', [x], { dtype });
}

/** Where the condition holds `a`, elsewhere `b`; all three broadcast. One of them may be a number. */
export interface SelectFunction {
  <A extends DType, RC extends number, RA extends number>(
    condition: Tensor<'bool', RC>,
    a: Tensor<A, RA>,
    b: number,
  ): Tensor<A, MaxRank<RC, RA>>;
  <B extends DType, RC extends number, RB extends number>(
    condition: Tensor<'bool', RC>,
    a: number,
    b: Tensor<B, RB>,
  ): Tensor<B, MaxRank<RC, RB>>;
  <A extends DType, B extends Beside<A>, RC extends number, RA extends number, RB extends number>(
    condition: Tensor<'bool', RC>,
    a: Tensor<A, RA>,
    b: Tensor<B, RB>,
  ): Tensor<Wider<A, B>, MaxRank<RC, MaxRank<RA, RB>>>;
}

/** (condition bool[...], a[...], b[...]) -> [...]. F2C112 types, F2C113 shapes. */
export const select = ((condition: Tensor<'bool'>, a: Tensor | number, b: Tensor | number): Tensor => {
  const typed = a instanceof Tensor ? a : b;
  if (!(typed instanceof Tensor)) throw new Flux2cError('F2C128', 'select needs a tensor to choose from');
  return emitOne('select', [condition, toTensor(a, typed), toTensor(b, typed)], {});
}) as SelectFunction;
