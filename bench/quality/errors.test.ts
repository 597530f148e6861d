import { describe, expect, it } from 'vitest';
import type { RgbImage } from '../../models/flux2/picture.js';
import { meanSquaredError, psnrOf, RelativeError } from './errors.js';

function picture(width: number, height: number, valueAt: (place: number) => number): RgbImage {
  return { width, height, data: Uint8Array.from({ length: width * height * 3 }, (_, at) => valueAt(at)) };
}

describe('RelativeError', () => {
  it('is over all pieces together', () => {
    const error = new RelativeError().add(Float32Array.of(3, 4), Float32Array.of(3, 4));
    expect(error.value).toBe(0);
    error.join(new RelativeError().add(Float32Array.of(0, 12), Float32Array.of(5, 0)));
    // √((25 + 144) / (9 + 16 + 144))
    expect(error.value).toBe(1);
  });

  it('is infinite beside zeros, and no number has no error', () => {
    expect(new RelativeError().value).toBe(0);
    expect(new RelativeError().add(Float32Array.of(0), Float32Array.of(1)).value).toBe(Infinity);
    expect(() => new RelativeError().add(new Float32Array(2), new Float32Array(3))).toThrow('2 numbers');
  });
});

describe('PSNR', () => {
  it('of known pictures', () => {
    const black = picture(5, 3, () => 0);
    expect(
      psnrOf(
        meanSquaredError(
          black,
          picture(5, 3, () => 255),
        ),
      ),
    ).toBe(0);
    expect(psnrOf(meanSquaredError(black, black))).toBe(Infinity);
    // Off by one everywhere: 20 · log₁₀ 255.
    const noisy = picture(5, 3, (at) => 100 + (at % 2));
    const shifted = picture(5, 3, (at) => 101 - (at % 2));
    expect(psnrOf(meanSquaredError(noisy, shifted))).toBeCloseTo(48.1308, 4);
    // One number of 45 off by 30: mse 20.
    const dot = picture(5, 3, (at) => (at === 7 ? 30 : 0));
    expect(meanSquaredError(black, dot)).toBe(20);
    expect(psnrOf(20)).toBeCloseTo(35.1205, 4);
  });

  it('is of pictures of one size', () => {
    expect(() =>
      meanSquaredError(
        picture(2, 3, () => 0),
        picture(3, 2, () => 0),
      ),
    ).toThrow('sizes');
  });
});
