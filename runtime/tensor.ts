import { Flux2cError } from '../ir/diagnostics.js';
import type { DType } from '../ir/dtype.js';
import { countElements } from '../ir/host-tensor.js';
import type { HostArray, HostData } from './host-array.js';

/** The typed array of each element type: values, also of narrow floats. */
export interface ValuesOf {
  readonly f64: Float64Array;
  readonly f32: Float32Array;
  readonly f16: Float32Array;
  readonly bf16: Float32Array;
  readonly f8e4m3: Float32Array;
  readonly i64: BigInt64Array;
  readonly i32: Int32Array;
  readonly u32: Uint32Array;
  readonly i8: Int8Array;
  readonly u8: Uint8Array;
  /** 0 or 1. */
  readonly bool: Uint8Array;
}

/** A tensor whose element type TypeScript knows. */
export interface Values<D extends DType> extends HostArray {
  readonly dtype: D;
  readonly data: ValuesOf[D];
}

const arrays: { readonly [D in DType]: new (values: Iterable<never>) => ValuesOf[D] } = {
  f64: Float64Array,
  f32: Float32Array,
  f16: Float32Array,
  bf16: Float32Array,
  f8e4m3: Float32Array,
  i64: BigInt64Array,
  i32: Int32Array,
  u32: Uint32Array,
  i8: Int8Array,
  u8: Uint8Array,
  bool: Uint8Array,
};

/**
 * Numbers for an input or a weight: `tensor('f32', [2, 3], [1, 2, 3, 4, 5, 6])`, row-major. The typed array of the
 * element type is used as it is, other numbers are copied; a `Uint16Array` under `f16` or `bf16` has the bits. F2C528
 * when the numbers are not as many as the shape says, or of another kind than the type.
 */
export function tensor<const D extends DType>(
  dtype: D,
  shape: readonly number[],
  data: ValuesOf[D] | (D extends 'i64' ? readonly bigint[] : readonly number[]),
): Values<D>;
export function tensor(dtype: 'f16' | 'bf16', shape: readonly number[], data: Uint16Array): HostArray;
export function tensor(
  dtype: DType,
  shape: readonly number[],
  data: HostData | readonly number[] | readonly bigint[],
): HostArray {
  const describe = `${dtype}[${shape.join(', ')}]`;
  const count = countElements(shape);
  if (!shape.every((size) => Number.isSafeInteger(size) && size >= 0) || data.length !== count) {
    throw new Flux2cError('F2C528', `the numbers do not fill a ${describe}`, {
      expected: `${count} numbers`,
      found: `${data.length}`,
    });
  }
  const isBits = data instanceof Uint16Array && (dtype === 'f16' || dtype === 'bf16');
  if (isBits || data instanceof arrays[dtype]) return { dtype, shape: [...shape], data: data as HostData };
  const isBigint = data instanceof BigInt64Array || typeof data[0] === 'bigint';
  if (ArrayBuffer.isView(data) || (isBigint !== (dtype === 'i64') && count > 0)) {
    throw new Flux2cError('F2C528', `these are not the numbers of a ${describe}`, {
      expected: `a ${arrays[dtype].name} or a list`,
      found: ArrayBuffer.isView(data) ? data.constructor.name : `a list of ${isBigint ? 'bigint' : 'number'}`,
    });
  }
  return { dtype, shape: [...shape], data: new arrays[dtype](data as Iterable<never>) };
}
