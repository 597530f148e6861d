import { Dim, type DimLike } from '../dim.js';
import type { DType } from '../dtype.js';
import type { TensorType } from './graph.js';

/** A tensor type from numbers, dimension texts or `Dim`s: `tensorType('f32', ['img', 128])`. */
export function tensorType(dtype: DType, shape: readonly DimLike[]): TensorType {
  return { dtype, shape: shape.map((dim) => Dim.of(dim)) };
}

export function equalShapes(a: readonly Dim[], b: readonly Dim[]): boolean {
  return a.length === b.length && a.every((dim, axis) => dim.equals(b[axis] as Dim));
}

export function equalTypes(a: TensorType, b: TensorType): boolean {
  return a.dtype === b.dtype && equalShapes(a.shape, b.shape);
}

/** `[img+txt, 128]` */
export function printShape(shape: readonly (Dim | number)[]): string {
  return `[${shape.map((dim) => (typeof dim === 'number' ? `${dim}` : dim.text)).join(', ')}]`;
}

/** `f32[img+txt, 128]`; a scalar is `f32[]`. */
export function printType(type: TensorType): string {
  return `${type.dtype}${printShape(type.shape)}`;
}
