/** What the expressions of WGSL and CUDA C++ share: C's operators, how tightly they bind, and literals. */
import { isComparison, typeOf } from '../ir/kernel/expressions.js';
import type { BinaryOperator, Expression } from '../ir/kernel/thread.js';

/** How tightly a text binds; an operand looser than its place needs gets parentheses. */
export type Tightness = 'primary' | 'unary' | 'product' | 'sum' | 'loose';
const order: readonly Tightness[] = ['loose', 'sum', 'product', 'unary', 'primary'];

export interface ExpressionText {
  readonly text: string;
  readonly tightness: Tightness;
}

export function primary(text: string): ExpressionText {
  return { text, tightness: 'primary' };
}

/** The text as it may stand where `needed` is the loosest that needs no parentheses. */
export function parenthesize({ text, tightness }: ExpressionText, needed: Tightness): string {
  return order.indexOf(tightness) >= order.indexOf(needed) ? text : `(${text})`;
}

/** The literal `magnitude` with the sign of `value`, that of -0 included. */
export function signed(value: number, magnitude: string): ExpressionText {
  const negative = value < 0 || Object.is(value, -0);
  return negative ? { text: `-${magnitude}`, tightness: 'unary' } : primary(magnitude);
}

/** The decimal with the fewest digits that rounds to this f32. */
export function shortestDecimal(value: number): string {
  for (let digits = 1; digits <= 9; digits++) {
    const text = Number(value.toPrecision(digits));
    if (Math.fround(text) === value) return /[.e]/.test(`${text}`) ? `${text}` : `${text}.0`;
  }
  return `${value}`;
}

const signs: Readonly<Partial<Record<BinaryOperator, string>>> = {
  add: '+',
  sub: '-',
  mul: '*',
  div: '/',
  mod: '%',
  xor: '^',
  and: '&',
  or: '|',
  shift_left: '<<',
  shift_right: '>>',
  equal: '==',
  less: '<',
  less_equal: '<=',
};

/** In what the languages differ around C's binary operators. */
export interface InfixRules {
  /** The text of an operand, in parentheses where it is looser than `needed`. */
  at(operand: Expression, needed: Tightness): string;
  /** The right side of a shift, ready to stand there. */
  shiftAmount(amount: Expression): string;
  /** Whether the right side of && and || may be left out when the left side decides. */
  maySkip(operand: Expression): boolean;
}

/** `left + right` with as few parentheses as keep the tree; undefined where the operator has no sign: min, max, pow. */
export function infixText(
  operator: BinaryOperator,
  left: Expression,
  right: Expression,
  { at, shiftAmount, maySkip }: InfixRules,
): ExpressionText | undefined {
  const sign = signs[operator];
  if (sign === undefined) return undefined;
  const join = (a: string, b: string, tightness: Tightness): ExpressionText => ({
    text: `${a} ${sign} ${b}`,
    tightness,
  });
  if (operator === 'add' || operator === 'sub') return join(at(left, 'sum'), at(right, 'product'), 'sum');
  if (operator === 'mul' || operator === 'div' || operator === 'mod') {
    return join(at(left, 'product'), at(right, 'unary'), 'product');
  }
  if (operator === 'shift_left' || operator === 'shift_right') {
    return join(at(left, 'unary'), shiftAmount(right), 'loose');
  }
  if (isComparison(operator)) return join(at(left, 'sum'), at(right, 'sum'), 'loose');
  // Lanes of bool have no short-circuit; scalars take the logical operators that people expect to read.
  const type = typeOf(left);
  if (type.scalar === 'bool' && type.lanes === 1 && operator !== 'xor' && maySkip(right)) {
    const logical = operator === 'and' ? '&&' : '||';
    return { text: `${at(left, 'unary')} ${logical} ${at(right, 'unary')}`, tightness: 'loose' };
  }
  return join(at(left, 'unary'), at(right, 'unary'), 'loose');
}
