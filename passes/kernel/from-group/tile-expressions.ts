import type { Dim } from '../../../ir/dim.js';
import type { DType } from '../../../ir/dtype.js';
import { isFloat } from '../../../ir/dtype.js';
import type { FactorType } from '../../../ir/graph/attributes.js';
import type { BinaryOperator, ScalarType } from '../../../ir/kernel/thread.js';
import type { TileConversion, TileExpression, TileUnaryOperator } from '../../../ir/kernel/tile.js';

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

export function convert(to: TileConversion, operand: TileExpression): TileExpression {
  return { kind: 'convert', to, operand };
}

/** An index as an f32: counts of elements, signs of lanes. */
export function indexNumber(index: Dim): TileExpression {
  return convert('f32', { kind: 'index', index });
}

/** What values of an element type are in registers: narrow floats are f32, the integers that kernels have are 32 bits. */
export function scalarOf(dtype: DType): ScalarType {
  if (isFloat(dtype)) return 'f32';
  return dtype === 'bool' || dtype === 'u32' ? dtype : 'i32';
}

/** What an operation makes, in its element type: narrow floats are rounded, as the reference does after each operation. */
export function roundTo(dtype: DType, element: TileExpression): TileExpression {
  return dtype === 'f16' || dtype === 'bf16' || dtype === 'f8e4m3' ? convert(dtype, element) : element;
}

/** A factor of a product as it is multiplied. */
export function roundFactor(factors: FactorType | undefined, element: TileExpression): TileExpression {
  return factors === undefined ? element : convert(factors, element);
}

/** A number in the registers of an element type. */
export function constantOf(dtype: DType, value: number): TileExpression {
  const scalar = scalarOf(dtype);
  return scalar === 'f32' ? number(value) : convert(scalar, number(value));
}
