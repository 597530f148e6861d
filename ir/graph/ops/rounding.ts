import { Flux2cError, unreachable } from '../../diagnostics.js';
import type { DimBinding } from '../../dim.js';
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16, f32ToF8e4m3, f8e4m3ToF32 } from '../../dtype.js';
import type { DType, IntegerDType } from '../../dtype.js';
import { countElements } from '../../host-tensor.js';
import type { HostTensor } from '../../host-tensor.js';
import type { FactorType } from '../attributes.js';
import type { TensorType } from '../graph.js';
import type { EvaluateContext } from '../op-table.js';
import { printType } from '../types.js';

export type Precision = EvaluateContext['precision'];

/** The sizes of a type's dimensions. Throws F2C102 for an unbound symbol and F2C169 for a negative size. */
export function evaluateShape(type: TensorType, sizes: DimBinding): readonly number[] {
  return type.shape.map((dim) => {
    const size = dim.evaluate(sizes);
    if (size < 0) {
      throw new Flux2cError('F2C169', `the dimension ${dim.text} is negative for these sizes`, {
        expected: 'at least 0',
        found: `${size} in ${printType(type)}`,
      });
    }
    return size;
  });
}

/** A tensor of zeros to be filled in, its shape taken from the result's type. */
export function allocateResult(type: TensorType | undefined, context: EvaluateContext): HostTensor {
  if (type === undefined) throw new Error('internal: an operation has fewer results than its table row writes');
  const shape = evaluateShape(type, context.sizes);
  return { dtype: type.dtype, shape, data: new Float64Array(countElements(shape)) };
}

/** Tensors as a product multiplies them: rounded to the type of its factors, in both precisions. They are themselves without one. */
export function roundFactors<T extends readonly HostTensor[]>(tensors: T, factors: FactorType | undefined): T {
  if (factors === undefined) return tensors;
  // As many tensors as there were.
  return tensors.map((tensor) => ({
    ...tensor,
    data: tensor.data.map((value) => roundToDType(factors, value)),
  })) as unknown as T;
}

/**
 * Rounds a result in place and returns it. Precision `f32`: to f32, then to the tensor's own float type (once rounded,
 * as hardware with f32 registers does). Precision `f64`: floats stay doubles. Integers wrap in both.
 */
export function roundResult(tensor: HostTensor, precision: Precision): HostTensor {
  const { data, dtype } = tensor;
  switch (dtype) {
    case 'f64':
    case 'f32':
      if (precision === 'f32') for (let i = 0; i < data.length; i++) data[i] = Math.fround(data[i] as number);
      break;
    case 'bf16':
      if (precision === 'f32') for (let i = 0; i < data.length; i++) data[i] = bf16ToF32(f32ToBf16(data[i] as number));
      break;
    case 'f16':
      if (precision === 'f32') {
        for (let i = 0; i < data.length; i++) data[i] = f16ToF32(f32ToF16(Math.fround(data[i] as number)));
      }
      break;
    case 'f8e4m3':
      if (precision === 'f32') for (let i = 0; i < data.length; i++) data[i] = roundToDType(dtype, data[i] as number);
      break;
    case 'i64':
    case 'i32':
    case 'u32':
    case 'i8':
    case 'u8':
    case 'bool':
      for (let i = 0; i < data.length; i++) data[i] = wrapInteger(dtype, data[i] as number);
      break;
    default:
      return unreachable(dtype, 'element type');
  }
  return tensor;
}

/** Numbers of a float type rounded to it whatever the precision: what a file or a table in that type holds. */
export function roundToDType(dtype: DType, value: number): number {
  switch (dtype) {
    case 'f64':
      return value;
    case 'f32':
      return Math.fround(value);
    case 'bf16':
      return bf16ToF32(f32ToBf16(value));
    case 'f16':
      return f16ToF32(f32ToF16(Math.fround(value)));
    case 'f8e4m3':
      return f8e4m3ToF32(f32ToF8e4m3(Math.fround(value)));
    default:
      return saturateInteger(dtype, value);
  }
}

/** The low bits of a whole number, as integer arithmetic keeps them; i64 is exact up to 2^53 only. */
export function wrapInteger(dtype: DType, value: number): number {
  switch (dtype) {
    case 'i32':
      return value | 0;
    case 'u32':
      return value >>> 0;
    case 'i8':
      return (value << 24) >> 24;
    case 'u8':
      return value & 0xff;
    case 'bool':
      return value === 0 ? 0 : 1;
    default:
      return value;
  }
}

/** Integer types with the numbers a double can tell apart. */
export const integerRanges: Readonly<Record<IntegerDType, readonly [number, number]>> = {
  i64: [-(2 ** 53), 2 ** 53],
  i32: [-(2 ** 31), 2 ** 31 - 1],
  u32: [0, 2 ** 32 - 1],
  i8: [-128, 127],
  u8: [0, 255],
  bool: [0, 1],
};

/** Float to integer as WGSL and PTX convert: towards zero, kept within the type's range, NaN to 0. To bool: not 0. */
export function saturateInteger(dtype: IntegerDType, value: number): number {
  if (dtype === 'bool') return value === 0 ? 0 : 1;
  if (Number.isNaN(value)) return 0;
  const [low, high] = integerRanges[dtype];
  // Adding 0 turns -0 into 0.
  return Math.min(high, Math.max(low, Math.trunc(value))) + 0;
}
