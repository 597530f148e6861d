/**
 * Orders of latent values on the host. The autoencoder works on `[B, c, 2h, 2w]`; a patch of 2x2 latent pixels becomes
 * one position of `[B, 4c, h, w]` with channels in the order (c, row, column); the transformer takes these positions
 * as tokens `[B, h * w, 4c]`.
 */
import { Flux2cError } from '../../ir/diagnostics.js';

/** Batch, channels, height and width of a tensor in that order. */
export interface LatentShape {
  readonly batch: number;
  readonly channels: number;
  readonly height: number;
  readonly width: number;
}

/** Side of a patch in latent pixels. */
const PATCH = 2;

/** `[B, C, h, w]` to tokens `[B, h * w, C]`. F2C640 when the number of values is another. */
export function packLatents(values: Float32Array, shape: LatentShape): Float32Array {
  const { batch, channels, height, width } = requireShape(values, shape);
  return transposeLast(values, batch, channels, height * width);
}

/** Tokens `[B, h * w, C]` to `[B, C, h, w]`; `shape` is the result's. F2C640 when the number of values is another. */
export function unpackLatents(tokens: Float32Array, shape: LatentShape): Float32Array {
  const { batch, channels, height, width } = requireShape(tokens, shape);
  return transposeLast(tokens, batch, height * width, channels);
}

/**
 * `[B, c, 2h, 2w]`, whose shape is given, to `[B, 4c, h, w]`. F2C640 when the number of values is another, F2C641
 * when a side is odd.
 */
export function patchifyLatents(values: Float32Array, shape: LatentShape): Float32Array {
  const { batch, channels, height, width } = requireShape(values, shape);
  if (height % PATCH !== 0 || width % PATCH !== 0) {
    throw new Flux2cError('F2C641', 'the latents cannot be cut into patches', {
      expected: `sides that are multiples of ${PATCH}`,
      found: `${height} x ${width}`,
    });
  }
  const result = new Float32Array(values.length);
  const patched = { batch, channels: channels * PATCH * PATCH, height: height / PATCH, width: width / PATCH };
  forEachPatchValue(patched, (patchedIndex, plainIndex) => {
    result[patchedIndex] = values[plainIndex]!;
  });
  return result;
}

/**
 * `[B, 4c, h, w]`, whose shape is given, to `[B, c, 2h, 2w]`. F2C640 when the number of values is another, F2C641
 * when the channels are not a multiple of four.
 */
export function unpatchifyLatents(values: Float32Array, shape: LatentShape): Float32Array {
  const checked = requireShape(values, shape);
  if (checked.channels % (PATCH * PATCH) !== 0) {
    throw new Flux2cError('F2C641', 'the latents are not patches', {
      expected: `a multiple of ${PATCH * PATCH} channels`,
      found: String(checked.channels),
    });
  }
  const result = new Float32Array(values.length);
  forEachPatchValue(checked, (patchedIndex, plainIndex) => {
    result[plainIndex] = values[patchedIndex]!;
  });
  return result;
}

/** Visits every value of the patched shape with its flat index there and in the shape before patching. */
function forEachPatchValue(patched: LatentShape, visit: (patchedIndex: number, plainIndex: number) => void): void {
  const { batch, channels, height, width } = patched;
  const plainWidth = width * PATCH;
  let index = 0;
  for (let plane = 0; plane < batch * channels; plane++) {
    // Plane = ((b * c + channel) * 2 + row) * 2 + column.
    const plainPlane = Math.floor(plane / (PATCH * PATCH));
    const row = Math.floor(plane / PATCH) % PATCH;
    const column = plane % PATCH;
    for (let y = 0; y < height; y++) {
      const line = (plainPlane * height * PATCH + y * PATCH + row) * plainWidth + column;
      for (let x = 0; x < width; x++) visit(index++, line + x * PATCH);
    }
  }
}

/** `[batch, rows, columns]` to `[batch, columns, rows]`. */
function transposeLast(values: Float32Array, batch: number, rows: number, columns: number): Float32Array {
  const result = new Float32Array(values.length);
  for (let b = 0; b < batch; b++) {
    const base = b * rows * columns;
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        result[base + column * rows + row] = values[base + row * columns + column]!;
      }
    }
  }
  return result;
}

function requireShape(values: Float32Array, shape: LatentShape): LatentShape {
  const { batch, channels, height, width } = shape;
  if (values.length === batch * channels * height * width) return shape;
  throw new Flux2cError('F2C640', 'the latents have another shape', {
    expected: `${batch} x ${channels} x ${height} x ${width} values`,
    found: String(values.length),
  });
}
