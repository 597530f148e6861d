/** Large latents decoded in overlapping tiles whose pictures fade into each other. */

/** Tokens a side; a 1024x1024 picture is one tile of 64 with the released autoencoder. */
export interface TileOptions {
  readonly size: number;
  /** Least overlap of neighbours, less than `size`. */
  readonly overlap: number;
}

export interface Tile {
  readonly top: number;
  readonly left: number;
  readonly height: number;
  readonly width: number;
}

/** Tiles of one size (or of the whole, where that is smaller) that cover `height` x `width`, row by row. */
export function planTiles(height: number, width: number, options: TileOptions): readonly Tile[] {
  const rows = planSpans(height, options);
  const columns = planSpans(width, options);
  const size = { height: Math.min(height, options.size), width: Math.min(width, options.size) };
  return rows.flatMap((top) => columns.map((left) => ({ top, left, ...size })));
}

/** Starts of equal spans that cover 0..length, evenly spread: every overlap is at least the one asked for. */
export function planSpans(length: number, { size, overlap }: TileOptions): readonly number[] {
  if (length <= size) return [0];
  const count = Math.ceil((length - overlap) / (size - overlap));
  return Array.from({ length: count }, (_, i) => Math.round((i * (length - size)) / (count - 1)));
}

/** `[channels, height, width]` of a larger tensor in the same order. */
export function cutTile(
  values: Float32Array,
  channels: number,
  height: number,
  width: number,
  tile: Tile,
): Float32Array {
  const cut = new Float32Array(channels * tile.height * tile.width);
  let to = 0;
  for (let channel = 0; channel < channels; channel++) {
    for (let y = tile.top; y < tile.top + tile.height; y++) {
      const from = (channel * height + y) * width + tile.left;
      cut.set(values.subarray(from, from + tile.width), to);
      to += tile.width;
    }
  }
  return cut;
}

/**
 * Puts tiles' pictures `[channels, tile.height, tile.width]` together. Where tiles overlap each counts by its distance
 * from its own edge, in both directions: a linear fade from one to the next.
 */
export class TileBlender {
  private readonly sum: Float32Array;
  private readonly weight: Float32Array;

  constructor(
    private readonly channels: number,
    private readonly height: number,
    private readonly width: number,
  ) {
    this.sum = new Float32Array(channels * height * width);
    this.weight = new Float32Array(height * width);
  }

  /** `overlap` is how far the fade reaches from an edge, in pixels; the picture's own border does not fade. */
  add(tile: Tile, pixels: Float32Array, overlap: number): void {
    const rows = fadeWeights(tile.top, tile.height, this.height, overlap);
    const columns = fadeWeights(tile.left, tile.width, this.width, overlap);
    for (let y = 0; y < tile.height; y++) {
      const line = (tile.top + y) * this.width + tile.left;
      for (let x = 0; x < tile.width; x++) {
        const weight = rows[y]! * columns[x]!;
        this.weight[line + x]! += weight;
        for (let channel = 0; channel < this.channels; channel++) {
          const value = pixels[(channel * tile.height + y) * tile.width + x]!;
          this.sum[channel * this.height * this.width + line + x]! += weight * value;
        }
      }
    }
  }

  /** The picture `[channels, height, width]`. */
  finish(): Float32Array {
    const plane = this.height * this.width;
    return this.sum.map((value, i) => value / this.weight[i % plane]!);
  }
}

/** Rising from the near edge and falling to the far one, 1 between; never 0, so that every pixel counts. */
function fadeWeights(start: number, length: number, whole: number, overlap: number): Float32Array {
  return Float32Array.from({ length }, (_, i) => {
    const fromStart = start === 0 ? 1 : (i + 0.5) / overlap;
    const fromEnd = start + length === whole ? 1 : (length - i - 0.5) / overlap;
    return Math.min(1, fromStart, fromEnd);
  });
}
