import { Flux2cError } from '../../ir/diagnostics.js';
import { f16ToF32 } from '../../ir/dtype.js';

interface TypedArray<T> {
  readonly BYTES_PER_ELEMENT: number;
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): T;
}

/**
 * Widens little-endian values of a safetensors type to f32. Exact for BF16, F16, fp8, BOOL and integers of up to 24
 * bits; F32 is kept bit for bit; I32, U32, 64-bit integers and F64 are rounded to nearest, ties to even.
 * The result of F32 may share the memory of `bytes`.
 * @param where file and tensor, for errors
 * @throws Flux2cError F2C414 for other types, a 64-bit integer beyond 2^53, or a byte count that is no multiple
 */
export function widenToF32(bytes: Uint8Array, fileDType: string, where: readonly string[]): Float32Array {
  const view = <T>(type: TypedArray<T>): T => {
    const width = type.BYTES_PER_ELEMENT;
    if (bytes.byteLength % width !== 0) {
      throw new Flux2cError('F2C414', 'the data end within an element', {
        where,
        expected: `a multiple of ${width} bytes`,
        found: `${bytes.byteLength} bytes`,
      });
    }
    // A typed array needs an aligned start, which a part of a larger buffer may not have.
    const { buffer, byteOffset } = bytes.byteOffset % width === 0 ? bytes : new Uint8Array(bytes);
    return new type(buffer, byteOffset, bytes.byteLength / width);
  };
  switch (fileDType) {
    case 'F32':
      return view(Float32Array);
    case 'F64':
      return Float32Array.from(view(Float64Array));
    case 'BF16':
      return widenBf16(view(Uint16Array));
    case 'F16':
      return lookUp(halfValues(), view(Uint16Array));
    case 'F8_E4M3':
      return lookUp(e4m3Values(), bytes);
    case 'F8_E5M2':
      return lookUp(e5m2Values(), bytes);
    case 'I64':
      return narrowIntegers(view(BigInt64Array), where);
    case 'U64':
      return narrowIntegers(view(BigUint64Array), where);
    case 'I32':
      return Float32Array.from(view(Int32Array));
    case 'U32':
      return Float32Array.from(view(Uint32Array));
    case 'I16':
      return Float32Array.from(view(Int16Array));
    case 'U16':
      return Float32Array.from(view(Uint16Array));
    case 'I8':
      return Float32Array.from(view(Int8Array));
    case 'U8':
      return Float32Array.from(bytes);
    case 'BOOL':
      return Float32Array.from(bytes, (byte) => (byte === 0 ? 0 : 1));
    default:
      throw new Flux2cError('F2C414', `values of type ${fileDType} cannot be widened to f32`, { where });
  }
}

/** A bfloat16 is the upper half of an f32, so widening is a shift. */
function widenBf16(bits: Uint16Array): Float32Array {
  const widened = new Uint32Array(bits.length);
  for (let index = 0; index < bits.length; index++) widened[index] = (bits[index] ?? 0) << 16;
  return new Float32Array(widened.buffer);
}

function lookUp(values: Float32Array, codes: Uint8Array | Uint16Array): Float32Array {
  const widened = new Float32Array(codes.length);
  for (let index = 0; index < codes.length; index++) widened[index] = values[codes[index] ?? 0] ?? NaN;
  return widened;
}

function narrowIntegers(values: BigInt64Array | BigUint64Array, where: readonly string[]): Float32Array {
  const narrowed = new Float32Array(values.length);
  for (let index = 0; index < values.length; index++) {
    const value = Number(values[index]);
    if (!Number.isSafeInteger(value)) {
      throw new Flux2cError('F2C414', 'a 64-bit integer is too large to be read as a number', {
        where,
        expected: 'values within ±2^53',
        found: `${values[index]} at index ${index}`,
      });
    }
    narrowed[index] = value;
  }
  return narrowed;
}

let halves: Float32Array | undefined;

/** All 65,536 halves: looking up is faster than computing each of millions. */
function halfValues(): Float32Array {
  halves ??= Float32Array.from({ length: 65536 }, (_, bits) => f16ToF32(bits));
  return halves;
}

/** E5M2 is the upper byte of a half (OCP 8-bit floating point specification 1.0, table 1). */
function e5m2Values(): Float32Array {
  return Float32Array.from({ length: 256 }, (_, code) => f16ToF32(code << 8));
}

/** E4M3 (OCP 8-bit floating point specification 1.0, table 1): bias 7, no infinities, NaN is all ones. */
function e4m3Values(): Float32Array {
  return Float32Array.from({ length: 256 }, (_, code) => {
    const sign = code & 0x80 ? -1 : 1;
    const exponent = (code >>> 3) & 0xf;
    const fraction = code & 7;
    if (exponent === 15 && fraction === 7) return NaN;
    return sign * (exponent === 0 ? fraction * 2 ** -9 : (1 + fraction / 8) * 2 ** (exponent - 7));
  });
}
