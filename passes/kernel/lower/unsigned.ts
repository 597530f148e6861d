import { integer, integerConstant } from '../../../ir/kernel/expressions.js';
import type { Expression } from '../../../ir/kernel/thread.js';

/**
 * Index arithmetic on numbers that are not negative where it matters, as unsigned numbers: what is negative is outside of something
 * that is asked about, and then nothing made of it is used.
 */

/** Quotient or remainder by a number above 1: shifts and masks for powers of two. */
export function divideUnsigned(operator: 'div' | 'mod', left: Expression, by: number): Expression {
  if ((by & (by - 1)) === 0) {
    return operator === 'div'
      ? { kind: 'binary', operator: 'shift_right', left, right: integer(Math.log2(by)) }
      : { kind: 'binary', operator: 'and', left, right: integer(by - 1) };
  }
  const quotient: Expression = { kind: 'binary', operator, left: unsigned(left), right: unsigned(integer(by)) };
  return { kind: 'bitcast', to: 'i32', operand: quotient };
}

/** 0 <= left < right in one comparison: as an unsigned number what is negative is larger than any size. */
export function isWithin(left: Expression, right: Expression): Expression {
  return { kind: 'binary', operator: 'less', left: unsigned(left), right: unsigned(right) };
}

function unsigned(operand: Expression): Expression {
  const value = integerConstant(operand);
  return value === undefined
    ? { kind: 'bitcast', to: 'u32', operand }
    : { kind: 'constant', type: { scalar: 'u32', lanes: 1 }, value: value >>> 0 };
}
