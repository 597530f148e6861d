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

/**
 * Divides a row by its scale and rounds it to f8e4m3; `out` gets the values that the codes stand for. `f32` rounds scale and quotients
 * as kernels do. Returns the scale.
 */
export function quantizeRow(row: Float64Array, out: Float64Array, precision: 'f32' | 'f64'): number {
  const round = precision === 'f32' ? Math.fround : (value: number): number => value;
  const scale = round(scaleOfRow(row));
  for (let at = 0; at < row.length; at++) {
    out[at] = f8e4m3ToF32(f32ToF8e4m3(round((row[at] as number) / scale)));
  }
  return scale;
}
