import { Flux2cError } from '../../diagnostics.js';
import type { DiagnosticDetail } from '../../diagnostics.js';
import { Dim } from '../../dim.js';
import { isFloat } from '../../dtype.js';
import type { DType } from '../../dtype.js';
import type { OpKind } from '../attributes.js';
import type { TensorType } from '../graph.js';
import { printShape, printType } from '../types.js';
import { integerRanges } from './rounding.js';

/**
 * What `infer` can object to:
 * F2C110 operand count, F2C111 rank, F2C112 element type, F2C113 dimensions that differ, F2C114 attribute,
 * F2C115 element count, F2C116 divisibility, F2C117 no such weight, F2C118 constant's values.
 */
export type InferCode = `F2C11${0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8}`;

/** Throws the error of an operation that does not fit its operands or attributes. */
export function rejectOperation(code: InferCode, kind: OpKind, message: string, detail: DiagnosticDetail = {}): never {
  throw new Flux2cError(code, `${kind}: ${message}`, { ...detail, where: [kind, ...(detail.where ?? [])] });
}

/** The operands as a tuple, one for each of `names`; F2C110 when their number differs. */
export function expectOperands<T, const Names extends readonly string[]>(
  kind: OpKind,
  operands: readonly T[],
  names: Names,
): { readonly [I in keyof Names]: T } {
  if (operands.length !== names.length) {
    rejectOperation('F2C110', kind, 'wrong number of operands', {
      expected: names.length === 0 ? 'no operands' : `${names.length} (${names.join(', ')})`,
      found: `${operands.length}`,
    });
  }
  return operands as unknown as { readonly [I in keyof Names]: T };
}

/** Checks the number of dimensions. `letters` names them, as in `[B, S, H, D]`. */
export function expectRank(kind: OpKind, name: string, type: TensorType, letters: string): void {
  const rank = letters.split(',').length;
  if (type.shape.length !== rank) {
    rejectOperation('F2C111', kind, `operand '${name}' has the wrong rank`, {
      where: [name],
      expected: `${rank} dimensions [${letters}]`,
      found: printType(type),
      hint: 'Reshape the operand first.',
    });
  }
}

export function expectMinimumRank(kind: OpKind, name: string, type: TensorType, rank: number): void {
  if (type.shape.length < rank) {
    rejectOperation('F2C111', kind, `operand '${name}' has the wrong rank`, {
      where: [name],
      expected: `at least ${rank} ${rank === 1 ? 'dimension' : 'dimensions'}`,
      found: printType(type),
      hint: 'Reshape the operand first.',
    });
  }
}

export function expectFloat(kind: OpKind, name: string, type: TensorType): void {
  if (!isFloat(type.dtype)) rejectDType(kind, name, type, 'a floating-point type (f64, f32, f16, bf16, f8e4m3)');
}

export function expectDType(kind: OpKind, name: string, type: TensorType, dtype: DType): void {
  if (type.dtype !== dtype) rejectDType(kind, name, type, dtype);
}

export function rejectDType(kind: OpKind, name: string, type: TensorType, expected: string): never {
  rejectOperation('F2C112', kind, `operand '${name}' has the wrong element type`, {
    where: [name],
    expected,
    found: printType(type),
    hint: 'Insert a cast.',
  });
}

/** Throws F2C113 unless the two dimensions are the same polynomial; `what` says which dimension of which operand it is. */
export function expectDim(kind: OpKind, what: string, found: Dim, expected: Dim | number): void {
  if (!found.equals(expected)) {
    rejectOperation('F2C113', kind, `${what} does not match`, { expected: `${expected}`, found: found.text });
  }
}

export function expectShape(kind: OpKind, name: string, type: TensorType, expected: readonly (Dim | number)[]): void {
  const { shape } = type;
  if (shape.length !== expected.length) {
    rejectOperation('F2C111', kind, `operand '${name}' has the wrong rank`, {
      where: [name],
      expected: `${expected.length} dimensions ${printShape(expected)}`,
      found: printType(type),
    });
  }
  if (shape.some((dim, axis) => !dim.equals(expected[axis] as Dim | number))) {
    rejectOperation('F2C113', kind, `operand '${name}' has the wrong shape`, {
      where: [name],
      expected: printShape(expected),
      found: printShape(shape),
    });
  }
}

/** Checks weights and biases by channel: floats [channels]. */
export function expectAffine(kind: OpKind, channels: Dim, parameters: Readonly<Record<string, TensorType>>): void {
  for (const [name, type] of Object.entries(parameters)) {
    expectFloat(kind, name, type);
    expectShape(kind, name, type, [channels]);
  }
}

/** Throws F2C114 unless `axis` is 0..rank-1 (negative axes are resolved by frontends). */
export function expectAxis(kind: OpKind, axis: number, rank: number): void {
  if (!Number.isInteger(axis) || axis < 0 || axis >= rank) {
    rejectOperation('F2C114', kind, `axis ${axis} is out of range`, {
      expected: rank === 0 ? 'an operand that has axes' : `0..${rank - 1}`,
      found: `${axis}`,
    });
  }
}

/** Throws F2C114 unless the attribute is a positive integer. */
export function expectPositiveInteger(kind: OpKind, attribute: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 1) {
    rejectOperation('F2C114', kind, `attribute '${attribute}' must be a positive integer`, { found: `${value}` });
  }
}

/** Throws F2C114 unless the attribute is a number above 0 (an eps, a theta). */
export function expectPositiveNumber(kind: OpKind, attribute: string, value: number): void {
  if (!Number.isFinite(value) || value <= 0) {
    rejectOperation('F2C114', kind, `attribute '${attribute}' must be a number above 0`, { found: `${value}` });
  }
}

/** Throws `code` when a number is not one of the type: a fraction or out of range for an integer type, not 0 or 1 for bool. */
export function expectValueFits(kind: OpKind, code: InferCode, dtype: DType, value: number): void {
  if (isFloat(dtype)) return;
  const [low, high] = integerRanges[dtype];
  if (!Number.isInteger(value) || value < low || value > high) {
    rejectOperation(code, kind, `${value} is no ${dtype}`, { expected: `an integer from ${low} to ${high}` });
  }
}

/** The type that holds every value of both: f64 > f32 > {f16, bf16} > f8e4m3; f16 with bf16 is f32. */
export function widerFloat(a: DType, b: DType): DType {
  if (a === b || b === 'f8e4m3') return a;
  if (a === 'f8e4m3') return b;
  if (a === 'f64' || b === 'f64') return 'f64';
  return 'f32';
}

/** The type of a sum of products: the wider one, but never f8e4m3, whose products have no place in it. */
export function productType(a: DType, b: DType): DType {
  const wider = widerFloat(a, b);
  return wider === 'f8e4m3' ? 'f32' : wider;
}

/** The result type of operands that take part alike: floats widen, other types must be equal. F2C112 otherwise. */
export function commonDType(kind: OpKind, a: TensorType, b: TensorType): DType {
  if (isFloat(a.dtype) && isFloat(b.dtype)) return widerFloat(a.dtype, b.dtype);
  if (a.dtype === b.dtype) return a.dtype;
  rejectOperation('F2C112', kind, 'the element types do not go together', {
    expected: 'floating-point types, or equal types',
    found: `${a.dtype} and ${b.dtype}`,
    hint: 'Insert a cast.',
  });
}

/** Numpy's broadcasting: aligned at the last axis, dimensions are equal or one is the constant 1. F2C113 otherwise. */
export function broadcastShapes(kind: OpKind, a: readonly Dim[], b: readonly Dim[]): readonly Dim[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, axis) => {
    const dimA = a[axis - rank + a.length] ?? Dim.of(1);
    const dimB = b[axis - rank + b.length] ?? Dim.of(1);
    if (dimA.equals(dimB) || dimB.constant === 1) return dimA;
    if (dimA.constant === 1) return dimB;
    return rejectOperation('F2C113', kind, 'the shapes do not broadcast', {
      expected: 'dimensions that are equal or 1, aligned at the last axis',
      found: `${printShape(a)} with ${printShape(b)} (${dimA.text} against ${dimB.text})`,
    });
  });
}
