import { byteSize, type QuantizedDType } from '../ir/dtype.js';
import type { WeightSource } from '../ir/graph/graph.js';
import { encodeBf16Row, encodeRow, scaleOfBf16Row, scaleOfRow } from '../ir/quantize.js';
import type { KeptArrays } from './kept-arrays.js';
import { aligned, type Rows } from './row-bytes.js';
import { pieceBytes } from './weight-provider.js';

/**
 * Rows in 8 bits, or their scales. What they are made of is read a piece at a time.
 *
 * @param source the rows in the element type `from`
 */
export function quantizedRows(
  { kind, of, dtype }: Extract<WeightSource, { kind: 'quantize_rows' | 'row_scales' }>,
  source: Rows,
  from: 'bf16' | 'f32',
  kept: KeptArrays,
): Rows {
  const key = `${dtype} ${JSON.stringify(of)}`;
  const size = source.rowBytes / byteSize(from);
  const rowsOfPiece = Math.max(1, Math.floor(pieceBytes / source.rowBytes));
  /** Scales of rows, and their codes where there is room for them. */
  const quantize = async (first: number, count: number, codes?: Uint8Array): Promise<Float32Array> => {
    const scales = new Float32Array(count);
    for (let start = 0; start < count; start += rowsOfPiece) {
      const end = Math.min(count, start + rowsOfPiece);
      const bytes = await source.read(first + start, end - start);
      const quantizeRow = from === 'bf16' ? quantizeBf16Rows(bytes, dtype) : quantizeF32Rows(bytes, dtype);
      for (let row = start; row < end; row++) {
        const [begin, stop] = [(row - start) * size, (row - start + 1) * size];
        scales[row] = quantizeRow(begin, stop, codes?.subarray(row * size, (row + 1) * size));
      }
    }
    return scales;
  };
  if (kind === 'row_scales') {
    const read = async (first: number, count: number): Promise<Uint8Array> =>
      kept.take(key, 'scales', first, count) ?? bytesOf(await quantize(first, count));
    return { count: source.count, rowBytes: byteSize('f32'), read };
  }
  const read = async (first: number, count: number): Promise<Uint8Array> => {
    const codes = new Uint8Array(count * size);
    kept.keep(key, first, count, source.count, new Map([['scales', bytesOf(await quantize(first, count, codes))]]));
    return codes;
  };
  return { count: source.count, rowBytes: size, read };
}

/** Quantises the elements from `begin` to `end`; returns their scale. */
type QuantizeElements = (begin: number, end: number, codes: Uint8Array | undefined) => number;

function quantizeBf16Rows(bytes: Uint8Array, dtype: QuantizedDType): QuantizeElements {
  const { buffer, byteOffset, byteLength } = aligned(bytes, 2);
  const elements = new Uint16Array(buffer, byteOffset, byteLength / 2);
  return (begin, end, codes) => {
    const row = elements.subarray(begin, end);
    return codes === undefined ? scaleOfBf16Row(row, dtype) : encodeBf16Row(row, codes, dtype);
  };
}

function quantizeF32Rows(bytes: Uint8Array, dtype: QuantizedDType): QuantizeElements {
  const { buffer, byteOffset, byteLength } = aligned(bytes, 4);
  const elements = new Float32Array(buffer, byteOffset, byteLength / 4);
  return (begin, end, codes) => {
    const row = elements.subarray(begin, end);
    return codes === undefined ? scaleOfRow(row, dtype) : encodeRow(row, codes, dtype);
  };
}

function bytesOf({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
