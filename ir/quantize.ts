import { bf16ToF32, f32ToF8e4m3, f8e4m3ToF32, largestF8e4m3 } from './dtype.js';

/** Rows of smaller numbers only are zeros in f8e4m3: quotients by their scales would leave the range of f32. */
export const leastQuantized = 2 ** -100;

/**
 * The number that a row's elements are divided by to be f8e4m3 numbers: its largest magnitude becomes 448. A row of zeros has 1; one
 * with NaN or infinity has that.
 */
export function scaleOfRow(row: ArrayLike<number>): number {
  let largest = 0;
  for (let at = 0; at < row.length; at++) largest = Math.max(largest, Math.abs(row[at] as number));
  return scaleOfMagnitude(largest);
}

function scaleOfMagnitude(largest: number): number {
  return largest < leastQuantized ? 1 : largest / largestF8e4m3;
}

/** The codes of a row of f32 numbers divided by its scale, as kernels compute them; returns the scale. */
export function encodeRow(row: Float32Array, codes: Uint8Array): number {
  const scale = Math.fround(scaleOfRow(row));
  for (let at = 0; at < row.length; at++) codes[at] = f32ToF8e4m3((row[at] as number) / scale);
  return scale;
}

/** `scaleOfRow` of a row of bf16 bits, in f32: magnitudes are in the order of their bits, infinity and NaN last. */
export function scaleOfBf16Row(row: Uint16Array): number {
  let largest = 0;
  for (let at = 0; at < row.length; at++) {
    const magnitude = (row[at] as number) & 0x7fff;
    if (magnitude > largest) largest = magnitude;
  }
  return Math.fround(scaleOfMagnitude(bf16ToF32(largest)));
}

const quotient = new Float32Array(1);
const quotientBits = new Uint32Array(quotient.buffer);
const codesOfFractions = new Int32Array(128);

/**
 * What `encodeRow` makes of the row widened to f32, without its divisions: numbers with one fraction have quotients that differ by
 * powers of two, as do their codes but for those below 2^-6, so that a row needs 128 quotients.
 */
export function encodeBf16Row(row: Uint16Array, codes: Uint8Array): number {
  const scale = scaleOfBf16Row(row);
  if (!Number.isFinite(scale)) return encodeRow(Float32Array.from(row, bf16ToF32), codes);
  for (let fraction = 0; fraction < 128; fraction++) {
    quotient[0] = (1 + fraction / 128) / scale;
    const bits = quotientBits[0] as number;
    // Rounded as in `f32ToF8e4m3`. The exponent of the number, biased by 127, is still to be added.
    codesOfFractions[fraction] = ((bits + 0x7ffff + ((bits >>> 20) & 1)) >>> 20) - 960 - 127 * 8;
  }
  for (let at = 0; at < row.length; at++) {
    const bits = row[at] as number;
    let code = (codesOfFractions[bits & 0x7f] as number) + ((bits >>> 4) & 0x7f8);
    if (code < 8) code = f32ToF8e4m3(bf16ToF32(bits & 0x7fff) / scale);
    codes[at] = code | ((bits >>> 8) & 0x80);
  }
  return scale;
}

/**
 * Divides a row by its scale and rounds it to f8e4m3; `out` gets the values that the codes stand for. `f32` rounds the scale, as kernels
 * do. Returns the scale.
 */
export function quantizeRow(row: Float64Array, out: Float64Array, precision: 'f32' | 'f64'): number {
  const exact = scaleOfRow(row);
  const scale = precision === 'f32' ? Math.fround(exact) : exact;
  for (let at = 0; at < row.length; at++) {
    out[at] = f8e4m3ToF32(f32ToF8e4m3((row[at] as number) / scale));
  }
  return scale;
}
