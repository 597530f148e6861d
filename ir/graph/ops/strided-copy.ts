import { countElements, rowMajorStrides } from '../../host-tensor.js';
import type { HostTensor } from '../../host-tensor.js';

/** One side of a copy: where element 0 is and how far apart neighbours along each axis are (0 repeats an element). */
export interface StridedView {
  readonly data: Float64Array;
  readonly offset: number;
  readonly strides: readonly number[];
}

/** Shorter rows are copied faster by a plain loop than by a call of `set`. */
const longRow = 32;

/** Copies a box of `shape` elements from one view to another: every transpose, slice, pad and broadcast is one. */
export function copyStrided(from: StridedView, to: StridedView, shape: readonly number[]): void {
  if (countElements(shape) === 0) return;
  const last = shape.length - 1;
  if (last < 0) {
    to.data[to.offset] = from.data[from.offset] as number;
    return;
  }
  const length = shape[last] as number;
  const fromStep = from.strides[last] as number;
  const toStep = to.strides[last] as number;
  const source = from.data;
  const target = to.data;

  const copyRow = (fromStart: number, toStart: number): void => {
    if (fromStep === 1 && toStep === 1 && length >= longRow) {
      target.set(source.subarray(fromStart, fromStart + length), toStart);
      return;
    }
    for (let i = 0; i < length; i++) target[toStart + i * toStep] = source[fromStart + i * fromStep] as number;
  };
  const copyAxis = (axis: number, fromStart: number, toStart: number): void => {
    if (axis === last) {
      copyRow(fromStart, toStart);
      return;
    }
    const size = shape[axis] as number;
    const fromStride = from.strides[axis] as number;
    const toStride = to.strides[axis] as number;
    for (let i = 0; i < size; i++) copyAxis(axis + 1, fromStart + i * fromStride, toStart + i * toStride);
  };
  copyAxis(0, from.offset, to.offset);
}

export function viewOf(tensor: HostTensor): StridedView {
  return { data: tensor.data, offset: 0, strides: rowMajorStrides(tensor.shape) };
}

/** The tensor's axes in the order `permutation` gives, row-major again. */
export function permuteAxes(tensor: HostTensor, permutation: readonly number[]): HostTensor {
  const shape = permutation.map((axis) => tensor.shape[axis] as number);
  const strides = rowMajorStrides(tensor.shape);
  const result = { dtype: tensor.dtype, shape, data: new Float64Array(tensor.data.length) };
  const from = { data: tensor.data, offset: 0, strides: permutation.map((axis) => strides[axis] as number) };
  copyStrided(from, viewOf(result), shape);
  return result;
}

/** The numbers of `tensor` repeated to `shape` by numpy's rule; the tensor's own array when it has that shape. */
export function broadcastData(tensor: HostTensor, shape: readonly number[]): Float64Array {
  const added = shape.length - tensor.shape.length;
  if (added === 0 && shape.every((size, axis) => size === tensor.shape[axis])) return tensor.data;
  const own = rowMajorStrides(tensor.shape);
  const strides = shape.map((_, axis) =>
    axis < added || tensor.shape[axis - added] === 1 ? 0 : (own[axis - added] as number),
  );
  const data = new Float64Array(countElements(shape));
  copyStrided({ data: tensor.data, offset: 0, strides }, { data, offset: 0, strides: rowMajorStrides(shape) }, shape);
  return data;
}
