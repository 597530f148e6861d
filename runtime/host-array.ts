import { Flux2cError } from '../ir/diagnostics.js';
import { bf16ToF32, byteSize, f16ToF32 } from '../ir/dtype.js';
import type { DType } from '../ir/dtype.js';
import { countElements, hostTensorFromBytes, hostTensorToBytes } from '../ir/host-tensor.js';
import type { HostTensor } from '../ir/host-tensor.js';
import { storageBytes } from '../ir/kernel/thread-interpret-memory.js';
import type { StorageType } from '../ir/kernel/thread.js';

/**
 * A tensor as callers hold it, row-major. `data` has its values; a `Uint16Array` under `f16` or `bf16` has their bits.
 */
export interface HostArray {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: HostData;
}

export type HostData =
  Float32Array | Float64Array | Int32Array | Uint32Array | Uint16Array | Int8Array | Uint8Array | BigInt64Array;

/** The values in doubles. */
export function toHostTensor({ dtype, shape, data }: HostArray): HostTensor {
  if (data instanceof BigInt64Array) return { dtype, shape, data: Float64Array.from(data, Number) };
  const bits = data instanceof Uint16Array;
  if (bits && dtype === 'bf16') return { dtype, shape, data: Float64Array.from(data, bf16ToF32) };
  if (bits && dtype === 'f16') return { dtype, shape, data: Float64Array.from(data, f16ToF32) };
  return { dtype, shape, data: Float64Array.from(data) };
}

/** Little-endian bytes of a tensor as a buffer of `storage` holds them; numbers are rounded to it. */
export function encodeStorage(array: HostArray | HostTensor, storage: StorageType): Uint8Array {
  const { dtype, shape, data } = array;
  if (data instanceof Float32Array && storage === 'f32') return viewBytes(data);
  if (data instanceof Int32Array && storage === 'i32') return viewBytes(data);
  if (data instanceof Uint16Array && (storage === 'bf16' || storage === 'f16') && storage === dtype)
    return viewBytes(data);
  const numbers = data instanceof Float64Array ? data : toHostTensor({ dtype, shape, data }).data;
  return hostTensorToBytes({ dtype: storage, shape, data: numbers });
}

/** Bytes of `dtype` as `storage` has them: 64-bit integers and booleans as 32-bit words, everything else unchanged. */
export function convertToStorage(bytes: Uint8Array, dtype: DType, storage: StorageType): Uint8Array {
  if (dtype === storage) return bytes;
  return encodeStorage(hostTensorFromBytes(dtype, [bytes.byteLength / byteSize(dtype)], bytes), storage);
}

/** What a buffer of `storage` holds as a tensor of `dtype`: floats as f32 values, integers in 32 bits, bool in bytes. */
export function decodeStorage(
  bytes: Uint8Array,
  storage: StorageType,
  dtype: DType,
  shape: readonly number[],
): HostArray {
  const exact = bytes.slice(0, countElements(shape) * storageBytes(storage));
  if (storage === 'f32' && dtype === 'f32') return { dtype, shape, data: new Float32Array(exact.buffer) };
  if (storage === 'i32' && dtype === 'i32') return { dtype, shape, data: new Int32Array(exact.buffer) };
  return fromHostTensor({ ...hostTensorFromBytes(storage, shape, exact), dtype });
}

/** The same values in the typed array that callers get for the type. */
export function fromHostTensor({ dtype, shape, data }: HostTensor): HostArray {
  switch (dtype) {
    case 'f64':
      return { dtype, shape, data };
    case 'f32':
    case 'f16':
    case 'bf16':
    case 'f8e4m3':
      return { dtype, shape, data: Float32Array.from(data) };
    case 'i64':
      return { dtype, shape, data: BigInt64Array.from(Array.from(data, BigInt)) };
    case 'i32':
      return { dtype, shape, data: Int32Array.from(data) };
    case 'u32':
      return { dtype, shape, data: Uint32Array.from(data) };
    case 'i8':
      return { dtype, shape, data: Int8Array.from(data) };
    case 'u8':
    case 'bool':
      return { dtype, shape, data: Uint8Array.from(data) };
  }
}

/** Throws F2C521 when `data` does not have as many elements as `shape` says. */
export function checkLength(name: string, { shape, data }: HostArray): void {
  const count = countElements(shape);
  if (data.length === count) return;
  throw new Flux2cError('F2C521', `the data of the input '${name}' do not fit its shape`, {
    where: [name],
    expected: `${count} elements for [${shape.join(', ')}]`,
    found: `${data.length}`,
  });
}

function viewBytes(data: ArrayBufferView): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
