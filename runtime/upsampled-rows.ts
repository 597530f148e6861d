import { sumTaps, upsampledPhases } from '../ir/upsampled-filters.js';
import { aligned, type Rows } from './row-bytes.js';

/**
 * Filters of the four positions of a block one after another, in f32, read by rows.
 *
 * @param source filters [outputs, 3, 3, channels] in f32
 */
export function upsampledRows(source: Rows, channels: number): Rows {
  const read = async (first: number, count: number): Promise<Uint8Array> => {
    const out = new Float32Array(count * 4 * channels);
    for (let row = first; row < first + count;) {
      const phase = Math.floor(row / source.count);
      const from = row - phase * source.count;
      const rows = Math.min(first + count - row, source.count - from);
      const bytes = aligned(await source.read(from, rows), Float32Array.BYTES_PER_ELEMENT);
      const filters = new Float32Array(bytes.buffer, bytes.byteOffset, rows * 9 * channels);
      sumTaps(filters, rows, channels, phase, out.subarray((row - first) * 4 * channels));
      row += rows;
    }
    return new Uint8Array(out.buffer);
  };
  return { count: upsampledPhases * source.count, rowBytes: 4 * channels * Float32Array.BYTES_PER_ELEMENT, read };
}
