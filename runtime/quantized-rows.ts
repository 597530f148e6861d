import { byteSize } from '../ir/dtype.js';
import type { WeightPart } from '../ir/graph/graph.js';
import { encodeBf16Row, encodeRow, scaleOfBf16Row, scaleOfRow } from '../ir/quantize.js';
import { pieceBytes } from './weight-provider.js';

/** Rows (indices of the first axis) of a weight or of an ingredient of one, in the declared element type. */
export interface Rows {
  readonly count: number;
  readonly rowBytes: number;
  read(first: number, count: number): Promise<Uint8Array>;
}

/**
 * Scales of rows that have been read in 8 bits, until they are asked for: plans load values before their scales, and one pass
 * over the file gives both. 4 bytes a row.
 */
export class KeptScales {
  private readonly kept = new Map<string, { readonly scales: Float32Array; known: number }>();

  /** Keeps the scales of rows from `first` on, if those of all rows before are there. */
  keep(of: WeightPart, first: number, scales: Float32Array, rows: number): void {
    const key = JSON.stringify(of);
    const entry = this.kept.get(key) ?? { scales: new Float32Array(rows), known: 0 };
    if (first > entry.known) return;
    entry.scales.set(scales, first);
    entry.known = Math.max(entry.known, first + scales.length);
    this.kept.set(key, entry);
  }

  /** Scales of some rows, if they are there. With the last row's all are forgotten. */
  take(of: WeightPart, first: number, count: number): Float32Array | undefined {
    const key = JSON.stringify(of);
    const entry = this.kept.get(key);
    if (entry === undefined || first + count > entry.known) return undefined;
    if (first + count === entry.scales.length) this.kept.delete(key);
    return entry.scales.slice(first, first + count);
  }
}

/**
 * Rows in 8 bits, or their scales. What they are made of is read a piece at a time.
 *
 * @param source the rows in the element type `from`
 */
export function quantizedRows(
  kind: 'quantize_rows' | 'row_scales',
  of: WeightPart,
  source: Rows,
  from: 'bf16' | 'f32',
  kept: KeptScales,
): Rows {
  const size = source.rowBytes / byteSize(from);
  const rowsOfPiece = Math.max(1, Math.floor(pieceBytes / source.rowBytes));
  /** Scales of rows, and their codes where there is room for them. */
  const quantize = async (first: number, count: number, codes?: Uint8Array): Promise<Float32Array> => {
    const scales = new Float32Array(count);
    for (let start = 0; start < count; start += rowsOfPiece) {
      const end = Math.min(count, start + rowsOfPiece);
      const bytes = await source.read(first + start, end - start);
      const quantizeRow = from === 'bf16' ? quantizeBf16Rows(bytes) : quantizeF32Rows(bytes);
      for (let row = start; row < end; row++) {
        const [begin, stop] = [(row - start) * size, (row - start + 1) * size];
        scales[row] = quantizeRow(begin, stop, codes?.subarray(row * size, (row + 1) * size));
      }
    }
    return scales;
  };
  if (kind === 'row_scales') {
    const read = async (first: number, count: number): Promise<Uint8Array> =>
      bytesOf(kept.take(of, first, count) ?? (await quantize(first, count)));
    return { count: source.count, rowBytes: byteSize('f32'), read };
  }
  const read = async (first: number, count: number): Promise<Uint8Array> => {
    const codes = new Uint8Array(count * size);
    kept.keep(of, first, await quantize(first, count, codes), source.count);
    return codes;
  };
  return { count: source.count, rowBytes: size, read };
}

/** Quantises the elements from `begin` to `end`; returns their scale. */
type QuantizeElements = (begin: number, end: number, codes: Uint8Array | undefined) => number;

function quantizeBf16Rows(bytes: Uint8Array): QuantizeElements {
  const { buffer, byteOffset, byteLength } = aligned(bytes, 2);
  const elements = new Uint16Array(buffer, byteOffset, byteLength / 2);
  return (begin, end, codes) => {
    const row = elements.subarray(begin, end);
    return codes === undefined ? scaleOfBf16Row(row) : encodeBf16Row(row, codes);
  };
}

function quantizeF32Rows(bytes: Uint8Array): QuantizeElements {
  const { buffer, byteOffset, byteLength } = aligned(bytes, 4);
  const elements = new Float32Array(buffer, byteOffset, byteLength / 4);
  return (begin, end, codes) => {
    const row = elements.subarray(begin, end);
    return codes === undefined ? scaleOfRow(row) : encodeRow(row, codes);
  };
}

/** Typed arrays need an aligned start, which a part of a file may not have. */
function aligned(bytes: Uint8Array, width: number): Uint8Array {
  return bytes.byteOffset % width === 0 ? bytes : bytes.slice();
}

function bytesOf({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
