import { Flux2cError } from './diagnostics.js';
import { bf16ToF32, byteSize, f16ToF32, f32ToBf16, f32ToF16, f32ToF8e4m3, f8e4m3ToF32 } from './dtype.js';
import type { DType } from './dtype.js';

/** A tensor of the interpreter: numbers in doubles, row-major, rounded to `dtype` unless they come from an f64 evaluation. */
export interface HostTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: Float64Array;
}

/** Number of elements of a concrete shape; 1 for a scalar. */
export function countElements(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Whether shapes are equal but for axes of size 1: a 1x1 convolution may be declared as a matrix. */
export function isSameButForOnes(one: readonly number[], other: readonly number[]): boolean {
  const withoutOnes = (shape: readonly number[]): string => shape.filter((size) => size !== 1).join();
  return withoutOnes(one) === withoutOnes(other);
}

/** Elements to skip per step along each axis of a row-major tensor. */
export function rowMajorStrides(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length).fill(1);
  for (let axis = shape.length - 2; axis >= 0; axis--) {
    strides[axis] = (strides[axis + 1] as number) * (shape[axis + 1] as number);
  }
  return strides;
}

/** Reads little-endian, row-major bytes as files and buffers hold them. Throws F2C170 when the length does not fit. */
export function hostTensorFromBytes(dtype: DType, shape: readonly number[], bytes: Uint8Array): HostTensor {
  const count = countElements(shape);
  if (bytes.byteLength !== count * byteSize(dtype)) {
    throw new Flux2cError('F2C170', `the bytes do not fit a ${dtype}[${shape.join(', ')}] tensor`, {
      expected: `${count * byteSize(dtype)} bytes`,
      found: `${bytes.byteLength} bytes`,
    });
  }
  // Typed arrays need an aligned start; a slice of a file rarely has one.
  const aligned = bytes.byteOffset % byteSize(dtype) === 0 ? bytes : bytes.slice();
  const { buffer, byteOffset } = aligned;
  return { dtype, shape: [...shape], data: readElements(dtype, buffer, byteOffset, count) };
}

function readElements(dtype: DType, buffer: ArrayBufferLike, offset: number, count: number): Float64Array {
  switch (dtype) {
    case 'f64':
      return new Float64Array(buffer, offset, count).slice();
    case 'f32':
      return Float64Array.from(new Float32Array(buffer, offset, count));
    case 'f16':
      return Float64Array.from(new Uint16Array(buffer, offset, count), f16ToF32);
    case 'bf16':
      return Float64Array.from(new Uint16Array(buffer, offset, count), bf16ToF32);
    case 'f8e4m3':
      return Float64Array.from(new Uint8Array(buffer, offset, count), f8e4m3ToF32);
    case 'i64':
      return Float64Array.from(new BigInt64Array(buffer, offset, count), Number);
    case 'i32':
      return Float64Array.from(new Int32Array(buffer, offset, count));
    case 'u32':
      return Float64Array.from(new Uint32Array(buffer, offset, count));
    case 'i8':
      return Float64Array.from(new Int8Array(buffer, offset, count));
    case 'u8':
      return Float64Array.from(new Uint8Array(buffer, offset, count));
    case 'bool':
      return Float64Array.from(new Uint8Array(buffer, offset, count), (byte) => (byte === 0 ? 0 : 1));
  }
}

/** The little-endian bytes of a tensor in its dtype; numbers that are not representable are rounded to it. */
export function hostTensorToBytes(tensor: HostTensor): Uint8Array {
  const elements = writeElements(tensor.dtype, tensor.data);
  return new Uint8Array(elements.buffer, elements.byteOffset, elements.byteLength);
}

function writeElements(dtype: DType, data: Float64Array): ArrayBufferView {
  switch (dtype) {
    case 'f64':
      return data.slice();
    case 'f32':
      return Float32Array.from(data);
    case 'f16':
      return Uint16Array.from(data, (value) => f32ToF16(Math.fround(value)));
    case 'bf16':
      return Uint16Array.from(data, f32ToBf16);
    case 'f8e4m3':
      return Uint8Array.from(data, (value) => f32ToF8e4m3(Math.fround(value)));
    case 'i64':
      return BigInt64Array.from(Array.from(data, (value) => BigInt(Math.trunc(value))));
    case 'i32':
      return Int32Array.from(data);
    case 'u32':
      return Uint32Array.from(data);
    case 'i8':
      return Int8Array.from(data);
    case 'u8':
      return Uint8Array.from(data);
    case 'bool':
      return Uint8Array.from(data, (value) => (value === 0 ? 0 : 1));
  }
}

/**
 * The largest absolute difference and |got - want| / |want| over all elements. A NaN or an infinity on one side only
 * makes both infinite. Throws F2C171 when the shapes differ.
 */
export function compareTensors(got: HostTensor, want: HostTensor): { maxAbs: number; relativeL2: number } {
  if (got.shape.length !== want.shape.length || got.shape.some((size, axis) => size !== want.shape[axis])) {
    throw new Flux2cError('F2C171', 'tensors of different shapes cannot be compared', {
      expected: `[${want.shape.join(', ')}]`,
      found: `[${got.shape.join(', ')}]`,
    });
  }
  let maxAbs = 0;
  let squaredDifference = 0;
  let squaredWant = 0;
  for (let index = 0; index < want.data.length; index++) {
    const a = got.data[index] as number;
    const b = want.data[index] as number;
    if (Object.is(a, b)) continue;
    const difference = Math.abs(a - b);
    if (!Number.isFinite(difference)) return { maxAbs: Infinity, relativeL2: Infinity };
    maxAbs = Math.max(maxAbs, difference);
    squaredDifference += difference * difference;
  }
  for (const value of want.data) if (Number.isFinite(value)) squaredWant += value * value;
  return { maxAbs, relativeL2: squaredDifference === 0 ? 0 : Math.sqrt(squaredDifference / squaredWant) };
}
