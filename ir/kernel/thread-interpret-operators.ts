import { f16ToF32, f32ToF16 } from '../dtype.js';
import { Flux2cError, unreachable } from '../diagnostics.js';
import type { BinaryOperator, ScalarType, UnaryOperator } from './thread.js';
import type { Values } from './thread-interpret-memory.js';

/** Fills `out` from the operands, elementwise over all lanes of all invocations. */
export type BinaryLoop = (a: Values, b: Values, out: Values) => void;

/** Rounds values of an f16 expression, which the interpreter keeps as f32. */
export function roundToHalf(values: Values): void {
  for (let at = 0; at < values.length; at++) values[at] = f16ToF32(f32ToF16(values[at] as number));
}

/** The function of one element; the caller's array rounds (f32) or wraps (integers). */
export function unaryFunction(operator: UnaryOperator, scalar: ScalarType): (a: number) => number {
  switch (operator) {
    case 'neg':
      return (a) => -a;
    case 'not':
      return scalar === 'bool' ? (a) => 1 - a : (a) => ~a;
    case 'abs':
      return Math.abs;
    case 'exp':
      return Math.exp;
    case 'exp2':
      return (a) => 2 ** a;
    case 'log':
      return Math.log;
    case 'sqrt':
      return Math.sqrt;
    case 'reciprocal':
      return (a) => 1 / a;
    case 'rsqrt':
      return (a) => 1 / Math.sqrt(a);
    case 'sin':
      return Math.sin;
    case 'cos':
      return Math.cos;
    case 'tanh':
      return Math.tanh;
    case 'floor':
      return Math.floor;
    default:
      return unreachable(operator, 'unary operator');
  }
}

/**
 * The function of two elements. Integer division by zero throws F2C246; `pow` of a negative base is NaN, as devices
 * compute it from a logarithm.
 */
export function binaryFunction(operator: BinaryOperator, scalar: ScalarType): (a: number, b: number) => number {
  const isInteger = scalar === 'i32' || scalar === 'u32';
  switch (operator) {
    case 'add':
      return (a, b) => a + b;
    case 'sub':
      return (a, b) => a - b;
    case 'mul':
      return isInteger ? Math.imul : (a, b) => a * b;
    case 'div':
      return isInteger ? (a, b) => Math.trunc(a / divisor(b)) : (a, b) => a / b;
    case 'mod':
      return isInteger ? (a, b) => a % divisor(b) : (a, b) => a % b;
    case 'min':
      return Math.min;
    case 'max':
      return Math.max;
    case 'pow':
      return (a, b) => (a < 0 ? NaN : a ** b);
    case 'xor':
      return (a, b) => a ^ b;
    case 'and':
      return (a, b) => a & b;
    case 'or':
      return (a, b) => a | b;
    case 'shift_left':
      return (a, b) => a << b;
    case 'shift_right':
      return scalar === 'u32' ? (a, b) => a >>> b : (a, b) => a >> b;
    case 'equal':
      return (a, b) => (a === b ? 1 : 0);
    case 'less':
      return (a, b) => (a < b ? 1 : 0);
    case 'less_equal':
      return (a, b) => (a <= b ? 1 : 0);
    default:
      return unreachable(operator, 'binary operator');
  }
}

function divisor(value: number): number {
  if (value === 0) throw new Flux2cError('F2C246', 'an integer is divided by zero in a kernel');
  return value;
}

/**
 * Loops over whole arrays. The common operations are written out: a call per element would be five times slower, and
 * products make up nearly all the work.
 */
export function binaryLoop(operator: BinaryOperator, scalar: ScalarType): BinaryLoop {
  if (scalar === 'f32' && operator === 'add') {
    return (a, b, out) => {
      for (let at = 0; at < out.length; at++) out[at] = (a[at] as number) + (b[at] as number);
    };
  }
  if (scalar === 'f32' && operator === 'mul') {
    return (a, b, out) => {
      for (let at = 0; at < out.length; at++) out[at] = (a[at] as number) * (b[at] as number);
    };
  }
  if (scalar === 'i32' && operator === 'add') {
    return (a, b, out) => {
      for (let at = 0; at < out.length; at++) out[at] = (a[at] as number) + (b[at] as number);
    };
  }
  if (scalar === 'i32' && operator === 'mul') {
    return (a, b, out) => {
      for (let at = 0; at < out.length; at++) out[at] = Math.imul(a[at] as number, b[at] as number);
    };
  }
  const compute = binaryFunction(operator, scalar);
  return (a, b, out) => {
    for (let at = 0; at < out.length; at++) out[at] = compute(a[at] as number, b[at] as number);
  };
}

/** The value of one element in another scalar type; float to integer truncates and saturates, as WGSL does. */
export function convertFunction(from: ScalarType, to: ScalarType): (a: number) => number {
  const isFloat = from === 'f32' || from === 'f16';
  switch (to) {
    case 'f32':
      return (a) => a;
    case 'f16':
      return (a) => f16ToF32(f32ToF16(Math.fround(a)));
    case 'bool':
      return (a) => (a !== 0 ? 1 : 0);
    case 'i32':
      // The largest f32 below 2^31 is 2^31 - 128.
      return isFloat ? (a) => Math.max(-(2 ** 31), Math.min(2 ** 31 - 128, Math.trunc(a))) : (a) => a;
    case 'u32':
      return isFloat ? (a) => Math.max(0, Math.min(2 ** 32 - 256, Math.trunc(a))) : (a) => a;
    default:
      return unreachable(to, 'scalar type');
  }
}
