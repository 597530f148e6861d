/**
 * Rotary position ids (t, h, w, l), one row per token, row-major `[tokens, 4]`. The transformer's sequence is text,
 * image, references; each function gives the rows of its own part.
 */

/** Text: (0, 0, 0, i) for i in 0..tokens-1, padding included. */
export function textPositionIds(tokens: number): Int32Array {
  const ids = new Int32Array(tokens * 4);
  for (let i = 0; i < tokens; i++) ids[i * 4 + 3] = i;
  return ids;
}

/** The output picture's latent grid, row by row: (0, h, w, 0). */
export function imagePositionIds(height: number, width: number): Int32Array {
  return gridPositionIds(0, height, width);
}

/** Latent grid of a picture in tokens (16x16 pixels each). */
export interface TokenGrid {
  readonly height: number;
  readonly width: number;
}

/** Reference pictures one after the other, the k-th (from 0) as (10 + 10 k, h, w, 0). */
export function referencePositionIds(references: readonly TokenGrid[]): Int32Array {
  const parts = references.map(({ height, width }, k) => gridPositionIds(10 + 10 * k, height, width));
  return concatPositionIds(parts);
}

/** Rows of several parts in order; an empty list gives no rows. */
export function concatPositionIds(parts: readonly Int32Array[]): Int32Array {
  const joined = new Int32Array(parts.reduce((length, part) => length + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    joined.set(part, offset);
    offset += part.length;
  }
  return joined;
}

function gridPositionIds(t: number, height: number, width: number): Int32Array {
  const ids = new Int32Array(height * width * 4);
  let row = 0;
  for (let h = 0; h < height; h++) {
    for (let w = 0; w < width; w++) {
      ids.set([t, h, w, 0], row);
      row += 4;
    }
  }
  return ids;
}
