/** How far numbers and pictures are from what they should be. */
import type { RgbImage } from '../../models/flux2/picture.js';

/** The relative L2 error of any number of pieces: √(Σ(b − a)² / Σa²) over all their numbers. */
export class RelativeError {
  private squaredErrors = 0;
  private squares = 0;

  /** Two pieces of one length. */
  add(original: Float32Array, other: Float32Array): this {
    if (original.length !== other.length) {
      throw new Error(`internal: ${original.length} numbers are compared with ${other.length}`);
    }
    let [errors, squares] = [0, 0];
    for (let at = 0; at < original.length; at++) {
      const value = original[at]!;
      const error = other[at]! - value;
      errors += error * error;
      squares += value * value;
    }
    this.squaredErrors += errors;
    this.squares += squares;
    return this;
  }

  /** All pieces of another error, too. */
  join({ squaredErrors, squares }: RelativeError): this {
    this.squaredErrors += squaredErrors;
    this.squares += squares;
    return this;
  }

  /** Infinity for anything beside nothing but zeros. */
  get value(): number {
    return this.squaredErrors === 0 ? 0 : Math.sqrt(this.squaredErrors / this.squares);
  }
}

/** Of the 8-bit numbers of two pictures of one size. */
export function meanSquaredError(original: RgbImage, other: RgbImage): number {
  if (original.width !== other.width || original.height !== other.height) {
    throw new Error('internal: pictures of different sizes are compared');
  }
  let sum = 0;
  for (const [at, value] of original.data.entries()) sum += (other.data[at]! - value) ** 2;
  return sum / original.data.length;
}

/** Peak signal-to-noise ratio in dB of 8-bit numbers, 10 · log₁₀(255² / mse); Infinity where nothing differs. */
export function psnrOf(meanSquared: number): number {
  return 10 * Math.log10(255 ** 2 / meanSquared);
}
