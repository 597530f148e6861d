import { Dim } from '../../../ir/dim.js';
import type { Block, OperationOf, Value } from '../../../ir/graph/graph.js';
import type { StorageType } from '../../../ir/kernel/thread.js';
import type { DType } from '../../../ir/dtype.js';
import { Flux2cError } from '../../../ir/diagnostics.js';
import type { IndexSpace } from './index-space.js';

/** How an operand or result of a group lies in memory; its offset is a launch argument. */
export interface MemoryLayout {
  readonly storage: StorageType;
  /** The dimensions that have strides; usually the value's own, otherwise a reshape of them with as many elements. */
  readonly shape: readonly Dim[];
  /** Elements between neighbours of each of those dimensions. */
  readonly strides: readonly Dim[];
  /** Every offset that will be bound is a multiple of so many elements. */
  readonly alignment: number;
  /** Set where an earlier operand's buffer has it too, and so many elements after that one's begin it starts. */
  readonly within?: { readonly operand: number; readonly offset: number };
}

/** A fused operation with the layouts of what it reads and writes: what a kernel is built from. */
export interface KernelGroup {
  readonly anchor: OperationOf<'fused'>['attributes']['anchor'];
  readonly body: Block;
  /** By parameter of the body. */
  readonly operands: readonly MemoryLayout[];
  /** By result of the body. */
  readonly results: readonly MemoryLayout[];
}

/** Address of an element, without the offset: straight from the strides, or through the flat index of a reshaped layout. */
export function addressOf(space: IndexSpace, layout: MemoryLayout, shape: readonly Dim[], index: readonly Dim[]): Dim {
  if (sameShape(layout.shape, shape)) return space.linearize(index, layout.strides);
  const flat = space.linearize(index, denseStrides(shape));
  return space.linearize(space.delinearize(flat, layout.shape), layout.strides);
}

export function sameShape(a: readonly Dim[], b: readonly Dim[]): boolean {
  return a.length === b.length && a.every((size, axis) => size.equals(b[axis] as Dim));
}

/**
 * How tensors of an element type are kept on a device: weights as they are in their file, other floats as f32, bools and
 * other small integers as i32 words.
 */
export function storageOf(dtype: DType, isWeight: boolean): StorageType {
  switch (dtype) {
    case 'f16':
    case 'bf16':
    case 'f8e4m3':
      return isWeight ? dtype : 'f32';
    case 'f32':
    case 'i32':
    case 'u32':
      return dtype;
    case 'u8':
      return isWeight ? 'u8' : 'i32';
    case 'bool':
    case 'i8':
    case 'i64':
      return 'i32';
    case 'f64':
      throw new Flux2cError('F2C301', 'f64 tensors have no place on a device', { hint: 'Cast to f32 first.' });
  }
}

export function denseStrides(shape: readonly Dim[]): Dim[] {
  const strides: Dim[] = [];
  let stride = Dim.of(1);
  for (let place = shape.length - 1; place >= 0; place--) {
    strides.unshift(stride);
    stride = stride.mul(shape[place] as Dim);
  }
  return strides;
}

export function elementCount(shape: readonly Dim[]): Dim {
  return shape.reduce((product, size) => product.mul(size), Dim.of(1));
}

/** Leading dims as one. */
export function leadingCount(value: Value): Dim {
  return elementCount(value.type.shape.slice(0, -1));
}

export function lastDim(value: Value): Dim {
  return value.type.shape.at(-1) ?? Dim.of(1);
}
