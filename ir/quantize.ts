import { bf16ToF32, f32ToF8e4m3, f8e4m3ToF32, largestF8e4m3, largestI8, numberToI8, type QuantizedDType } from './dtype.js'; // prettier-ignore

/** Rows of smaller numbers only are zeros: quotients by their scales would leave the range of f32. */
export const leastQuantized = 2 ** -100;

/** What a row's largest magnitude becomes. */
export const largestQuantized: Readonly<Record<QuantizedDType, number>> = { f8e4m3: largestF8e4m3, i8: largestI8 };

/**
 * The number that a row's elements are divided by to be numbers of the type: its largest magnitude becomes the type's largest. A row of
 * zeros has 1; one with NaN or infinity has that, so that whatever it is multiplied with is NaN, whatever its codes are.
 */
export function scaleOfRow(row: ArrayLike<number>, dtype: QuantizedDType): number {
  let largest = 0;
  for (let at = 0; at < row.length; at++) largest = Math.max(largest, Math.abs(row[at] as number));
  return scaleOfMagnitude(largest, dtype);
}

function scaleOfMagnitude(largest: number, dtype: QuantizedDType): number {
  return largest < leastQuantized ? 1 : largest / largestQuantized[dtype];
}

/** 3 · 2^51: added and taken away again it rounds a double to the nearest integer, ties to even. */
const rounder = 6755399441055744;

/** The codes of a row of f32 numbers divided by its scale, as kernels compute them; returns the scale. */
export function encodeRow(row: Float32Array, codes: Uint8Array, dtype: QuantizedDType): number {
  const scale = Math.fround(scaleOfRow(row, dtype));
  if (dtype === 'f8e4m3')
    for (let at = 0; at < row.length; at++) codes[at] = f32ToF8e4m3(Math.fround((row[at] as number) / scale));
  // Quotients are within the range but for a rounding; NaN becomes 0 in the array.
  else for (let at = 0; at < row.length; at++) codes[at] = Math.fround((row[at] as number) / scale) + rounder - rounder;
  return scale;
}

/** `scaleOfRow` of a row of bf16 bits, in f32: magnitudes are in the order of their bits, infinity and NaN last. */
export function scaleOfBf16Row(row: Uint16Array, dtype: QuantizedDType): number {
  let largest = 0;
  for (let at = 0; at < row.length; at++) {
    const magnitude = (row[at] as number) & 0x7fff;
    if (magnitude > largest) largest = magnitude;
  }
  return Math.fround(scaleOfMagnitude(bf16ToF32(largest), dtype));
}

const quotient = new Float32Array(1);
const quotientBits = new Uint32Array(quotient.buffer);
const codesOfFractions = new Int32Array(128);

/**
 * What `encodeRow` makes of the row widened to f32, without its divisions: numbers with one fraction have quotients that differ by powers of
 * two, so that a row needs 128 quotients.
 */
export function encodeBf16Row(row: Uint16Array, codes: Uint8Array, dtype: QuantizedDType): number {
  const scale = scaleOfBf16Row(row, dtype);
  if (!Number.isFinite(scale)) return encodeRow(Float32Array.from(row, bf16ToF32), codes, dtype);
  if (dtype === 'i8') encodeBytes(row, codes, scale);
  else encodeF8e4m3(row, codes, scale);
  return scale;
}

const quotients = new Float64Array(128);
/** Of a number's exponent; subnormal numbers are zeros in any row that has not only such. */
const powers = Float64Array.from({ length: 256 }, (_, exponent) => (exponent === 0 ? 0 : 2 ** (exponent - 127)));

function encodeBytes(row: Uint16Array, codes: Uint8Array, scale: number): void {
  for (let fraction = 0; fraction < 128; fraction++) quotients[fraction] = Math.fround((1 + fraction / 128) / scale);
  for (let at = 0; at < row.length; at++) {
    const bits = row[at] as number;
    const quotient = (quotients[bits & 0x7f] as number) * (powers[(bits >>> 7) & 0xff] as number);
    const code = quotient + rounder - rounder;
    codes[at] = (bits & 0x8000) === 0 ? code : -code;
  }
}

/** Codes differ by powers of two as the quotients do, but for those below 2^-6. */
function encodeF8e4m3(row: Uint16Array, codes: Uint8Array, scale: number): void {
  for (let fraction = 0; fraction < 128; fraction++) {
    quotient[0] = (1 + fraction / 128) / scale;
    const bits = quotientBits[0] as number;
    // Rounded as in `f32ToF8e4m3`. The exponent of the number, biased by 127, is still to be added.
    codesOfFractions[fraction] = ((bits + 0x7ffff + ((bits >>> 20) & 1)) >>> 20) - 960 - 127 * 8;
  }
  for (let at = 0; at < row.length; at++) {
    const bits = row[at] as number;
    let code = (codesOfFractions[bits & 0x7f] as number) + ((bits >>> 4) & 0x7f8);
    if (code < 8) code = f32ToF8e4m3(Math.fround(bf16ToF32(bits & 0x7fff) / scale));
    codes[at] = code | ((bits >>> 8) & 0x80);
  }
}

/**
 * Divides a row by its scale and rounds it to the type; `out` gets the values that the codes stand for. `f32` rounds the scale and the
 * quotients, as kernels do. Returns the scale.
 */
export function quantizeRow(
  row: Float64Array,
  out: Float64Array,
  dtype: QuantizedDType,
  precision: 'f32' | 'f64',
): number {
  const exact = scaleOfRow(row, dtype);
  const scale = precision === 'f32' ? Math.fround(exact) : exact;
  for (let at = 0; at < row.length; at++) {
    const exactly = (row[at] as number) / scale;
    const quotient = precision === 'f32' ? Math.fround(exactly) : exactly;
    out[at] = dtype === 'f8e4m3' ? f8e4m3ToF32(f32ToF8e4m3(quotient)) : numberToI8(quotient);
  }
  return scale;
}
