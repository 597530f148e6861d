import type { EncodedRows } from '../../ir/encoded-rows.js';
import { decodeRows } from '../../ir/encoded-rows.js';
import { fitsEncoding, type Encoding } from '../../ir/encoding.js';

/**
 * How rows are read of a tensor that does not lie in its file as one number after another: in fewer bits with scales beside
 * or between them, or with rows in another order. A tensor of any shape [N, ...] has N rows; one without dimensions is a row.
 */
export interface PackedTensor {
  /** What the rows are stored in; undefined where they can only be read as numbers. */
  readonly encoding: Encoding | undefined;
  /** The arrays of rows `first` to `first + count - 1`, as `encodedFields` lists them; only with an `encoding`. */
  readEncodedRows(first: number, count: number): Promise<EncodedRows>;
  /** The numbers of those rows. */
  readRows(first: number, count: number): Promise<Float32Array>;
}

/**
 * A tensor of rows of `columns` numbers in an encoding. Where they are no whole groups and words, as kernels want them, or the tensor is
 * no matrix, only its numbers are read.
 */
export function encodedTensor(
  encoding: Encoding,
  shape: readonly number[],
  readEncodedRows: PackedTensor['readEncodedRows'],
): PackedTensor {
  const columns = shape.slice(1).reduce((product, size) => product * size, 1);
  return {
    encoding: shape.length === 2 && fitsEncoding(encoding, columns) ? encoding : undefined,
    readEncodedRows,
    readRows: async (first, count) => decodeRows(encoding, count, columns, await readEncodedRows(first, count)),
  };
}
