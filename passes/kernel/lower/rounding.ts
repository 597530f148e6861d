import { largestI8 } from '../../../ir/dtype.js';
import type { Expression, HalfType, RegisterType, ScalarType } from '../../../ir/kernel/thread.js';

export interface RoundingParts {
  readonly lanes: 1 | 2 | 4;
  /** Gives a value a register, so that it is computed once. */
  readonly bind: (value: Expression, scalar: ScalarType) => Expression;
}

/** Floats that f32 lanes are rounded to. */
export type NarrowFloat = HalfType | 'f8e4m3';

/** Of the narrow floats with fewer bits of exponent: bits of the fraction that are dropped, the smallest normal number and its distance to the next. */
const shortExponents = {
  f16: { dropped: 13, smallest: 0x38800000, step: 2 ** -24 },
  f8e4m3: { dropped: 20, smallest: 0x3c800000, step: 2 ** -9 },
} as const;

/**
 * Rounds f32 lanes to the nearest f16, bf16 or f8e4m3, ties to even, as an f32: on the bits, because not every device has the types.
 * What is too large becomes infinite, or ±448 for f8e4m3, which has no infinity; NaN stays.
 */
export function expandRounding(to: NarrowFloat, x: Expression, parts: RoundingParts): Expression {
  const { lanes, bind } = parts;
  const type = (scalar: ScalarType): RegisterType => ({ scalar, lanes });
  const constant = (value: number, scalar: ScalarType = 'u32'): Expression => ({
    kind: 'constant',
    type: type(scalar),
    value,
  });
  const binary = (
    operator: Extract<Expression, { kind: 'binary' }>['operator'],
    left: Expression,
    right: Expression,
  ): Expression => ({ kind: 'binary', operator, left, right });
  const select = (condition: Expression, yes: Expression, no: Expression): Expression => ({
    kind: 'select',
    condition,
    yes,
    no,
  });
  /** Drops `dropped` bits of the fraction. */
  const nearest = (bits: Expression, dropped: number): Expression => {
    const odd = binary('and', binary('shift_right', bits, constant(dropped)), constant(1));
    const raised = binary('add', bits, binary('add', odd, constant(2 ** (dropped - 1) - 1)));
    return bind(binary('and', raised, constant((2 ** 32 - 2 ** dropped) >>> 0)), 'u32');
  };
  const float = (bits: Expression): Expression => ({ kind: 'bitcast', to: 'f32', operand: bits });
  const keepNan = (rounded: Expression): Expression => bind(select(binary('equal', x, x), rounded, x), 'f32');
  const bits = bind({ kind: 'bitcast', to: 'u32', operand: x }, 'u32');
  if (to === 'bf16') return keepNan(float(nearest(bits, 16)));
  const magnitude = bind(binary('and', bits, constant(0x7fffffff)), 'u32');
  const { dropped, smallest, step } = shortExponents[to];
  // 0x47800000 is 65536, the first magnitude past the largest half; 0x43e00000 is 448.
  let normal: Expression;
  if (to === 'f16') {
    const rounded = nearest(magnitude, dropped);
    normal = select(binary('less', rounded, constant(0x47800000)), rounded, constant(0x7f800000));
  } else {
    const largest = constant(0x43e00000);
    normal = nearest(bind(select(binary('less', magnitude, largest), magnitude, largest), 'u32'), dropped);
  }
  // Below the smallest normal number they are multiples of a step.
  const units = bind(binary('mul', float(magnitude), constant(1 / step, 'f32')), 'f32');
  const whole = bind({ kind: 'unary', operator: 'floor', operand: units }, 'f32');
  const rest = bind(binary('sub', units, whole), 'f32');
  const half = constant(0.5, 'f32');
  const odd = binary('and', { kind: 'convert', to: 'u32', operand: whole }, constant(1));
  const isUp = binary(
    'or',
    binary('less', half, rest),
    binary('and', binary('equal', rest, half), binary('equal', odd, constant(1))),
  );
  const up = select(isUp, constant(1, 'f32'), constant(0, 'f32'));
  const small = binary('mul', binary('add', whole, up), constant(step, 'f32'));
  const isSmall = binary('less', magnitude, constant(smallest));
  const rounded = bind(select(isSmall, small, float(bind(normal, 'u32'))), 'f32');
  const sign = binary('and', bits, constant(0x80000000));
  return keepNan(float(binary('or', { kind: 'bitcast', to: 'u32', operand: rounded }, sign)));
}

/** 3 · 2^22 and its bits: from 2^22 to 2^23 on numbers of f32 are whole, so that the sum's last bits are the nearest integer, ties to even. */
const [rounder, rounderBits] = [12582912, 0x4b400000];

/** The nearest integers of f32 lanes from -127 to 127, ties to even, as i32; NaN is 0. */
export function expandToByte(x: Expression, { lanes, bind }: RoundingParts): Expression {
  const constant = (value: number, scalar: ScalarType): Expression => ({
    kind: 'constant',
    type: { scalar, lanes },
    value,
  });
  const below: Expression = { kind: 'binary', operator: 'min', left: x, right: constant(largestI8, 'f32') };
  const within: Expression = { kind: 'binary', operator: 'max', left: below, right: constant(-largestI8, 'f32') };
  const raised = bind({ kind: 'binary', operator: 'add', left: within, right: constant(rounder, 'f32') }, 'f32');
  const bits: Expression = { kind: 'bitcast', to: 'i32', operand: raised };
  const whole: Expression = { kind: 'binary', operator: 'sub', left: bits, right: constant(rounderBits, 'i32') };
  const isNumber: Expression = { kind: 'binary', operator: 'equal', left: x, right: x };
  return bind({ kind: 'select', condition: isNumber, yes: whole, no: constant(0, 'i32') }, 'i32');
}
