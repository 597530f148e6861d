import { Flux2cError } from '../../ir/diagnostics.js';
import { cutTile, planTiles, TileBlender, type TileOptions } from './tiles.js';

/** Decodes `[channels, rows, columns]` latents to `[imageChannels, rows * scale, columns * scale]`. */
export type RunDecoder = (latents: Float32Array, rows: number, columns: number) => Promise<Float32Array>;

export interface PictureShape {
  /** Of the latents, in tokens. */
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  readonly imageChannels: number;
  /** Pixels of a token's side. */
  readonly scale: number;
}

/** What a plan or a device says when a tensor or a launch is too large for it, or memory is short. */
const tooLarge: ReadonlySet<string> = new Set(['F2C311', 'F2C312', 'F2C317', 'F2C502']);

/** Tokens a side; smaller tiles would be mostly overlap. */
const smallestTile = 16;

/**
 * Decodes whole pictures or, where asked to or where the device cannot hold a whole one, tiles that fade into each other.
 * A size that turned out too large for the device is not tried again.
 */
export class PictureDecoder {
  private limit: number | undefined;

  /** `onSmaller` is told of the tiles' side, in tokens, that it goes on with where a larger one had no room. */
  constructor(private readonly onSmaller: (size: number) => void = () => undefined) {}

  /** @throws the device's F2C311, F2C312, F2C317 or F2C502 when not even the smallest tile fits, and whatever `run` throws */
  async decode(
    run: RunDecoder,
    latents: Float32Array,
    shape: PictureShape,
    tiles: TileOptions | undefined,
  ): Promise<Float32Array> {
    const longest = Math.max(shape.height, shape.width);
    let size = Math.min(tiles?.size ?? longest, this.limit ?? longest, longest);
    for (;;) {
      const overlap = tiles?.size === size ? tiles.overlap : Math.ceil(size / 4);
      try {
        return size >= longest
          ? await run(latents, shape.height, shape.width)
          : await decodeTiles(run, latents, shape, { size, overlap });
      } catch (error) {
        const smaller = smallerTile(size, error);
        if (smaller === undefined) throw error;
        size = smaller;
        this.limit = size;
        this.onSmaller(size);
      }
    }
  }
}

/** The size to try after one that failed with `error`; undefined where no smaller one can help. */
export function smallerTile(size: number, error: unknown): number | undefined {
  return error instanceof Flux2cError && tooLarge.has(error.code) ? nextTile(size) : undefined;
}

/** The next smaller side of tiles that is tried; undefined behind the smallest. */
export function nextTile(size: number): number | undefined {
  return size > smallestTile ? Math.max(smallestTile, Math.ceil(size / 2)) : undefined;
}

async function decodeTiles(
  run: RunDecoder,
  latents: Float32Array,
  shape: PictureShape,
  tiles: TileOptions,
): Promise<Float32Array> {
  const { channels, height, width, imageChannels, scale } = shape;
  const blender = new TileBlender(imageChannels, height * scale, width * scale);
  for (const tile of planTiles(height, width, tiles)) {
    const pixels = await run(cutTile(latents, channels, height, width, tile), tile.height, tile.width);
    const scaled = {
      top: tile.top * scale,
      left: tile.left * scale,
      height: tile.height * scale,
      width: tile.width * scale,
    };
    blender.add(scaled, pixels, tiles.overlap * scale);
  }
  return blender.finish();
}
