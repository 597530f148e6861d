import { Flux2cError } from '../ir/diagnostics.js';
import { Dim, type DimLike } from '../ir/dim.js';
import type { DType } from '../ir/dtype.js';
import type { AddRanks, SubtractRanks } from './tensor-types.js';
import { emitAll, emitOne, resolveAxis, Tensor } from './tensor.js';

function toShape(shape: readonly DimLike[]): readonly Dim[] {
  return shape.map((dim) => Dim.of(dim));
}

/** The same elements in row-major order under another shape. F2C115 when the number of elements changes. */
export function reshape<D extends DType, const S extends readonly DimLike[]>(
  x: Tensor<D>,
  shape: S,
): Tensor<D, S['length']> {
  return emitOne('reshape', [x], { shape: toShape(shape) });
}

/** Axis i of the result is axis `permutation[i]` of x: `transpose(x, [0, 2, 1, 3])`. F2C114 when an axis is missing. */
export function transpose<D extends DType, R extends number>(
  x: Tensor<D, R>,
  permutation: readonly number[] & { readonly length: NoInfer<R> },
): Tensor<D, R> {
  return emitOne('transpose', [x], { permutation: permutation.map((axis) => resolveAxis(x, axis)) });
}

/** `size` elements from `start` along one axis. `start` may use a loop's symbol. F2C114 when it leaves the tensor. */
export function slice<D extends DType, R extends number>(
  x: Tensor<D, R>,
  axis: number,
  start: DimLike,
  size: DimLike,
): Tensor<D, R> {
  return emitOne('slice', [x], { axis: resolveAxis(x, axis), start: Dim.of(start), size: Dim.of(size) });
}

/** Consecutive pieces of one axis: `const [gate, up] = split(x, -1, [96, 96])`. F2C113 unless they add up to the axis. */
export function split<D extends DType, R extends number, const S extends readonly DimLike[]>(
  x: Tensor<D, R>,
  axis: number,
  sizes: S,
): { readonly [I in keyof S]: Tensor<D, R> } {
  const pieces = emitAll('split', [x], { axis: resolveAxis(x, axis), sizes: toShape(sizes) });
  // One piece for each size, in order: a mapped tuple, which `map` does not know.
  return pieces.map((piece) => new Tensor<D, R>(x.graph, piece)) as unknown as {
    readonly [I in keyof S]: Tensor<D, R>;
  };
}

/** One after the other along an axis; the other dimensions and the element types agree. F2C128 for an empty list. */
export function concat<D extends DType, R extends number>(parts: readonly Tensor<D, R>[], axis: number): Tensor<D, R> {
  const [first, ...rest] = parts;
  if (first === undefined) throw new Flux2cError('F2C128', 'concat needs at least one tensor');
  return emitOne('concat', [first, ...rest], { axis: resolveAxis(first, axis) });
}

/** Numpy broadcasting to a larger shape: axes are aligned at the last one, those of size 1 are repeated. */
export function broadcast<D extends DType, const S extends readonly DimLike[]>(
  x: Tensor<D>,
  shape: S,
): Tensor<D, S['length']> {
  return emitOne('broadcast', [x], { shape: toShape(shape) });
}

/** Adds `low[i]` elements before and `high[i]` after axis i, all of them `value` (default 0). */
export function pad<D extends DType, R extends number>(
  x: Tensor<D, R>,
  {
    low,
    high,
    value = 0,
  }: {
    readonly low: readonly number[] & { readonly length: NoInfer<R> };
    readonly high: readonly number[] & { readonly length: NoInfer<R> };
    readonly value?: number;
  },
): Tensor<D, R> {
  return emitOne('pad', [x], { low, high, value });
}

/** x[B, H, W, C] -> [B, factor·H, factor·W, C], every pixel repeated. */
export function upsampleNearest<D extends DType>(x: Tensor<D, 4>, factor: number): Tensor<D, 4> {
  return emitOne('upsample_nearest', [x], { factor });
}

/** table[V, ...tail], ids i32[...] -> [...ids, ...tail]. Ids are 0..V-1. */
export function gather<D extends DType, R extends number, I extends number>(
  table: Tensor<D, R>,
  ids: Tensor<'i32', I>,
): Tensor<D, AddRanks<SubtractRanks<R, 1>, I>> {
  return emitOne('gather', [table, ids], {});
}
