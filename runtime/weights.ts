import type { Checkpoint, WeightTable } from '../frontend/checkpoint/index.js';
import { KeptArrays } from './kept-arrays.js';
import { openRows } from './weight-rows.js';
import { countWeightBytes, pieceBytes } from './weight-provider.js';
import type { WeightProvider } from './weight-provider.js';

/**
 * The weights of a checkpoint under the compiler's names. Packed weights are put together while they are read, by rows:
 * only a permutation that moves the rows themselves holds its whole tensor. Another element type than declared is
 * converted, floats to nearest. Arrays of encoded matrices are repacked from files that store them so, or encoded while numbers are read.
 *
 * @throws while reading: F2C403 the checkpoint lacks a tensor, F2C523 one has another shape than the declaration expects,
 *   F2C401, F2C402 and F2C414 from the files
 */
export function checkpointWeights(checkpoint: Checkpoint, table: WeightTable): WeightProvider {
  const kept = new KeptArrays();
  return {
    async *read(declaration, range) {
      const { byteOffset, byteLength } = range ?? { byteOffset: 0, byteLength: countWeightBytes(declaration) };
      if (byteLength === 0) return;
      const rows = openRows(declaration, { checkpoint, table, kept });
      const end = byteOffset + byteLength;
      const lastRow = Math.ceil(end / rows.rowBytes);
      const rowsOfPiece = Math.max(1, Math.floor(pieceBytes / rows.rowBytes));
      for (let row = Math.floor(byteOffset / rows.rowBytes); row < lastRow; row += rowsOfPiece) {
        const count = Math.min(rowsOfPiece, lastRow - row);
        const start = row * rows.rowBytes;
        const piece = await rows.read(row, count);
        yield piece.subarray(Math.max(0, byteOffset - start), Math.min(piece.byteLength, end - start));
      }
    },
  };
}
