/** 8-bit pictures, and the way from the decoder's values to them. */
import { Flux2cError } from '../../ir/diagnostics.js';

/** Rows of interleaved red, green and blue bytes: `[height, width, 3]`. */
export interface RgbImage {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

/** Order of a float picture's values: channels first or last. */
export type PixelLayout = 'nchw' | 'nhwc';

/**
 * The picture of decoder output `values`, about -1..1 and `[3, height, width]` or `[height, width, 3]`:
 * round(255 * clamp(x / 2 + 0.5, 0, 1)) in f32 with ties to even, as the reference does. F2C630 when the number of
 * values does not fit; F2C631 when a value is not finite, where other programs write a black picture.
 */
export function pictureFromDecoded(
  values: Float32Array,
  height: number,
  width: number,
  layout: PixelLayout = 'nchw',
): RgbImage {
  const pixels = height * width;
  if (values.length !== pixels * 3) {
    throw new Flux2cError('F2C630', 'the decoded picture has another size', {
      expected: `3 x ${height} x ${width} values`,
      found: String(values.length),
    });
  }
  const data = new Uint8Array(pixels * 3);
  for (let pixel = 0; pixel < pixels; pixel++) {
    for (let channel = 0; channel < 3; channel++) {
      const value = values[layout === 'nchw' ? channel * pixels + pixel : pixel * 3 + channel]!;
      if (!Number.isFinite(value)) throw notFinite(values);
      data[pixel * 3 + channel] = toByte(value);
    }
  }
  return { width, height, data };
}

function toByte(value: number): number {
  const unit = Math.min(1, Math.max(0, Math.fround(Math.fround(value / 2) + 0.5)));
  const scaled = Math.fround(255 * unit);
  const floor = Math.floor(scaled);
  const rest = scaled - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}

function notFinite(values: Float32Array): Flux2cError {
  const count = values.reduce((total, value) => (Number.isFinite(value) ? total : total + 1), 0);
  return new Flux2cError('F2C631', 'the decoded picture is not finite', {
    expected: 'numbers of about -1 to 1',
    found: `${count} of ${values.length} values infinite or not a number`,
    hint: 'A value left the range of 16-bit floats or a weight is damaged; try f32 arithmetic and check the files.',
  });
}
