/** From a decoded reference picture to the autoencoder's input, by the rules of diffusers' `Flux2ImageProcessor`. */
import { Flux2cError } from '../../ir/diagnostics.js';
import { resizeLanczos } from './lanczos.js';
import type { PixelLayout, RgbImage } from './picture.js';

/** Larger references are scaled down to this area. */
export const REFERENCE_AREA = 1024 * 1024;
const SMALLEST_SIDE = 64;
const LARGEST_ASPECT_RATIO = 8;

export interface ReferenceGeometry {
  /** Size to scale to; the picture's own when it is small enough. Never enlarged, never stretched. */
  readonly scaled: { readonly width: number; readonly height: number };
  /** The part of the scaled picture that is kept: centred, sides of multiples of `multiple`. */
  readonly crop: { readonly left: number; readonly top: number; readonly width: number; readonly height: number };
}

/**
 * How a picture of `width` x `height` pixels becomes a reference. `multiple` is the number of pixels per token (16).
 * F2C632 for a side under 64 pixels or a ratio above 8:1, which the model was not made for.
 */
export function referenceGeometry(width: number, height: number, multiple: number): ReferenceGeometry {
  if (Math.min(width, height) < SMALLEST_SIDE) {
    throw new Flux2cError('F2C632', 'the reference picture is too small', {
      expected: `at least ${SMALLEST_SIDE} pixels on each side`,
      found: `${width}x${height}`,
    });
  }
  if (Math.max(width / height, height / width) > LARGEST_ASPECT_RATIO) {
    throw new Flux2cError('F2C632', 'the reference picture is too long', {
      expected: `sides of at most ${LARGEST_ASPECT_RATIO}:1`,
      found: `${width}x${height}`,
      hint: 'Crop it first.',
    });
  }
  const scale = width * height > REFERENCE_AREA ? Math.sqrt(REFERENCE_AREA / (width * height)) : 1;
  const scaled = { width: Math.floor(width * scale), height: Math.floor(height * scale) };
  const cropped = { width: floorTo(scaled.width, multiple), height: floorTo(scaled.height, multiple) };
  const left = Math.floor((scaled.width - cropped.width) / 2);
  const top = Math.floor((scaled.height - cropped.height) / 2);
  return { scaled, crop: { left, top, ...cropped } };
}

/** A reference picture as f32 in -1..1: `[3, height, width]` or `[height, width, 3]`. */
export interface ReferencePixels {
  readonly width: number;
  readonly height: number;
  readonly layout: PixelLayout;
  readonly data: Float32Array;
}

/** Scales, crops and normalises `image`; errors as `referenceGeometry`. */
export function prepareReference(image: RgbImage, multiple: number, layout: PixelLayout = 'nchw'): ReferencePixels {
  const { scaled, crop } = referenceGeometry(image.width, image.height, multiple);
  const source = resizeLanczos(image, scaled.width, scaled.height);
  const data = new Float32Array(crop.width * crop.height * 3);
  for (let y = 0; y < crop.height; y++) {
    for (let x = 0; x < crop.width; x++) {
      const from = ((crop.top + y) * source.width + crop.left + x) * 3;
      const pixel = y * crop.width + x;
      for (let channel = 0; channel < 3; channel++) {
        const to = layout === 'nchw' ? channel * crop.width * crop.height + pixel : pixel * 3 + channel;
        // Twice rounded to f32, as the reference divides and doubles in separate steps.
        data[to] = 2 * Math.fround(source.data[from + channel]! / 255) - 1;
      }
    }
  }
  return { width: crop.width, height: crop.height, layout, data };
}

function floorTo(size: number, multiple: number): number {
  return Math.floor(size / multiple) * multiple;
}
