/**
 * Element types of the IR. `i64` and `f64` exist in files and ONNX graphs; no backend computes in them. `f8e4m3` has a sign, 4 bits of
 * exponent and 3 of fraction, no infinity and one NaN (Open Compute Project, 8-bit Floating Point Specification 1.0, E4M3).
 */
export type DType = 'f64' | 'f32' | 'f16' | 'bf16' | 'f8e4m3' | 'i64' | 'i32' | 'u32' | 'i8' | 'u8' | 'bool';

export const dtypes: readonly DType[] = [
  'f64', 'f32', 'f16', 'bf16', 'f8e4m3', 'i64', 'i32', 'u32', 'i8', 'u8', 'bool',
]; // prettier-ignore

export function isDType(text: string): text is DType {
  return (dtypes as readonly string[]).includes(text);
}

/** Bytes of one element in a file or a buffer. */
export function byteSize(dtype: DType): number {
  switch (dtype) {
    case 'f64':
    case 'i64':
      return 8;
    case 'f32':
    case 'i32':
    case 'u32':
      return 4;
    case 'f16':
    case 'bf16':
      return 2;
    case 'f8e4m3':
    case 'i8':
    case 'u8':
    case 'bool':
      return 1;
  }
}

/** What rows are quantised to: with a scale each, floats with 3 bits of fraction or integers from -127 to 127. */
export type QuantizedDType = 'f8e4m3' | 'i8';

export const quantizedDTypes: readonly QuantizedDType[] = ['f8e4m3', 'i8'];

export type FloatDType = 'f64' | 'f32' | 'f16' | 'bf16' | 'f8e4m3';
export type IntegerDType = Exclude<DType, FloatDType>;

export function isFloat(dtype: DType): dtype is FloatDType {
  return dtype === 'f64' || dtype === 'f32' || dtype === 'f16' || dtype === 'bf16' || dtype === 'f8e4m3';
}

const scratch = new DataView(new ArrayBuffer(4));

/** The f32 value of a bfloat16 bit pattern: the upper half of an f32. */
export function bf16ToF32(bits: number): number {
  scratch.setUint32(0, bits << 16);
  return scratch.getFloat32(0);
}

/** Bits of the bfloat16 nearest to `value`, ties to even; NaN stays a quiet NaN. */
export function f32ToBf16(value: number): number {
  scratch.setFloat32(0, value);
  const bits = scratch.getUint32(0);
  if (Number.isNaN(value)) return (bits >>> 16) | 0x40;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

/** The value of an IEEE half bit pattern. */
export function f16ToF32(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >>> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** Bits of the half nearest to `value`, ties to even; values beyond 65504 become infinity. */
export function f32ToF16(value: number): number {
  if (Number.isNaN(value)) return 0x7e00;
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const magnitude = Math.abs(value);
  if (magnitude >= 65520) return sign | 0x7c00;
  if (magnitude < 2 ** -14) return sign | roundTiesToEven(magnitude * 2 ** 24);
  // f32 -> f16 never needs more than 53 bits, so plain double arithmetic is exact here.
  const exponent = Math.floor(Math.log2(magnitude));
  const exact = magnitude / 2 ** exponent >= 2 ? exponent + 1 : magnitude / 2 ** exponent < 1 ? exponent - 1 : exponent;
  return sign | (((exact + 15) << 10) + roundTiesToEven((magnitude / 2 ** exact - 1) * 1024));
}

/** The largest f8e4m3. */
export const largestF8e4m3 = 448;

/** The largest i8 that rows are quantised to: codes have signs, not another code more for negative numbers. */
export const largestI8 = 127;

/** The i8 nearest to a number, ties to even, at most 127 away from 0; NaN becomes 0. */
export function numberToI8(value: number): number {
  if (Number.isNaN(value)) return 0;
  return roundTiesToEven(Math.max(-largestI8, Math.min(largestI8, value)));
}

/** The value of an f8e4m3 bit pattern. */
export function f8e4m3ToF32(bits: number): number {
  const sign = bits & 0x80 ? -1 : 1;
  const exponent = (bits >>> 3) & 0xf;
  const fraction = bits & 7;
  if (exponent === 0) return sign * fraction * 2 ** -9;
  return (bits & 0x7f) === 0x7f ? NaN : sign * (1 + fraction / 8) * 2 ** (exponent - 7);
}

const floats = new Float32Array(1);
const words = new Uint32Array(floats.buffer);

/**
 * Bits of the f8e4m3 nearest to an f32 number, ties to even; values beyond 448, infinities too, become ±448, NaN becomes 0x7f: as
 * `cvt.rn.satfinite.e4m3x2.f32` of the PTX ISA does.
 */
export function f32ToF8e4m3(value: number): number {
  floats[0] = value;
  const bits = words[0] as number;
  const exact = bits & 0x7fffffff;
  if (exact > 0x7f800000) return 0x7f;
  const sign = (bits >>> 24) & 0x80;
  // 448 is 0x43e00000, 2^-6 is 0x3c800000. Below it codes are multiples of 2^-9, as numbers from 2^14 on are in f32.
  const magnitude = Math.min(exact, 0x43e00000);
  if (magnitude < 0x3c800000) return sign | ((Math.fround(Math.abs(value) + 16384) - 16384) * 512);
  return sign | (((magnitude + 0x7ffff + ((magnitude >>> 20) & 1)) >>> 20) - 960);
}

function roundTiesToEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest > 0.5 || (rest === 0.5 && floor % 2 === 1)) return floor + 1;
  return floor;
}
