import { f32ToF8e4m3, f8e4m3ToF32, largestF8e4m3 } from './dtype.js';

/** Rows of smaller numbers only are zeros in f8e4m3: quotients by their scales would leave the range of f32. */
export const leastQuantized = 2 ** -100;

/**
 * The number that a row's elements are divided by to be f8e4m3 numbers: its largest magnitude becomes 448. A row of zeros has 1; one
 * with NaN or infinity has that.
 */
export function scaleOfRow(row: ArrayLike<number>): number {
  let largest = 0;
  for (let at = 0; at < row.length; at++) largest = Math.max(largest, Math.abs(row[at] as number));
  return largest < leastQuantized ? 1 : largest / largestF8e4m3;
}

/** The codes of a row of f32 numbers divided by its scale, as kernels compute them; returns the scale. */
export function encodeRow(row: Float32Array, codes: Uint8Array): number {
  const scale = Math.fround(scaleOfRow(row));
  for (let at = 0; at < row.length; at++) codes[at] = f32ToF8e4m3((row[at] as number) / scale);
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
