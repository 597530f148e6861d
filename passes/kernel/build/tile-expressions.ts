import type { BinaryOperator } from '../../../ir/kernel/thread.js';
import type { TileExpression, TileUnaryOperator } from '../../../ir/kernel/tile.js';

export function number(value: number): TileExpression {
  return { kind: 'number', value };
}

export function unary(operator: TileUnaryOperator, operand: TileExpression): TileExpression {
  return { kind: 'unary', operator, operand };
}

export function binary(operator: BinaryOperator, left: TileExpression, right: TileExpression): TileExpression {
  return { kind: 'binary', operator, left, right };
}

export function tile(name: string): TileExpression {
  return { kind: 'tile', name };
}
