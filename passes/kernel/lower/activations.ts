import type { Expression } from '../../../ir/kernel/thread.js';
import type { TileUnaryOperator } from '../../../ir/kernel/tile.js';

export type Activation = 'sigmoid' | 'silu' | 'gelu' | 'erf';

export function isActivation(operator: TileUnaryOperator): operator is Activation {
  return operator === 'sigmoid' || operator === 'silu' || operator === 'gelu' || operator === 'erf';
}

export interface ActivationParts {
  readonly lanes: 1 | 2 | 4;
  /** Gives a value a register, so that it is computed once. */
  readonly bind: (value: Expression) => Expression;
}

/** Writes an activation of f32 lanes in the operators every backend has. */
export function expandActivation(activation: Activation, x: Expression, { lanes, bind }: ActivationParts): Expression {
  const constant = (value: number): Expression => ({ kind: 'constant', type: { scalar: 'f32', lanes }, value });
  const binary = (
    operator: 'add' | 'sub' | 'mul' | 'div' | 'max' | 'min',
    left: Expression,
    right: Expression,
  ): Expression => ({
    kind: 'binary',
    operator,
    left,
    right,
  });
  const exp = (operand: Expression): Expression => ({ kind: 'unary', operator: 'exp', operand });
  const negate = (operand: Expression): Expression => ({ kind: 'unary', operator: 'neg', operand });
  const unary = (operator: 'exp2' | 'reciprocal', operand: Expression): Expression => ({
    kind: 'unary',
    operator,
    operand,
  });
  // From 2^128 on f32 is infinite, and 0·inf NaN in silu; from 2^126 on what hardware gives for 1 / x may be 0.
  const sigmoid = (factor: number, operand: Expression): Expression => {
    const power = binary('min', binary('mul', constant(-factor * Math.LOG2E), operand), constant(126));
    return unary('reciprocal', bind(binary('add', constant(1), unary('exp2', power))));
  };
  switch (activation) {
    case 'sigmoid':
      return bind(sigmoid(1, x));
    case 'silu':
      return bind(binary('mul', x, sigmoid(1, x)));
    case 'gelu': {
      // 0.5·x·(1 + tanh(u)) = x·sigmoid(2·sqrt(2/pi)·u), u = x + 0.044715·x³
      const cube = bind(binary('mul', x, binary('mul', x, x)));
      const u = bind(binary('add', x, binary('mul', constant(0.044715), cube)));
      return bind(binary('mul', x, sigmoid(2 * Math.sqrt(2 / Math.PI), u)));
    }
    case 'erf': {
      // Abramowitz and Stegun 7.1.26, absolute error below 1.5e-7.
      const magnitude = bind({ kind: 'unary', operator: 'abs', operand: x });
      const t = bind(
        binary('div', constant(1), binary('add', constant(1), binary('mul', constant(0.3275911), magnitude))),
      );
      let series: Expression = constant(1.061405429);
      for (const coefficient of [-1.453152027, 1.421413741, -0.284496736, 0.254829592]) {
        series = bind(binary('add', constant(coefficient), binary('mul', series, t)));
      }
      const tail = binary('mul', binary('mul', series, t), exp(negate(binary('mul', magnitude, magnitude))));
      const value = bind(binary('sub', constant(1), tail));
      const condition: Expression = { kind: 'binary', operator: 'less', left: x, right: constant(0) };
      return bind({ kind: 'select', condition, yes: negate(value), no: value });
    }
  }
}
