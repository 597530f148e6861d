/**
 * Lanczos resampling as Pillow does it (the reference loads and scales pictures with Pillow): three lobes, widened by
 * the scale when shrinking, rows first and then columns, rounded to bytes in between, weights in 22-bit fixed point.
 */
import type { RgbImage } from './picture.js';

const LOBES = 3;
/** Pillow keeps 32 - 8 bits for the sum of products of bytes, less two for overshoot. */
const WEIGHT_UNIT = 2 ** 22;

/** Resizes `image` to `width` x `height` pixels, equal byte for byte to Pillow's `resize(size, LANCZOS)`. */
export function resizeLanczos(image: RgbImage, width: number, height: number): RgbImage {
  const rows = width === image.width ? image : resizeRows(image, width);
  return height === image.height ? rows : resizeColumns(rows, height);
}

interface Taps {
  /** First input position of each output position. */
  readonly starts: Int32Array;
  /** Number of inputs of each output position. */
  readonly counts: Int32Array;
  /** Fixed-point weights, `stride` per output position. */
  readonly weights: Int32Array;
  readonly stride: number;
}

function computeTaps(inputSize: number, outputSize: number): Taps {
  const scale = inputSize / outputSize;
  const widening = Math.max(scale, 1);
  const support = LOBES * widening;
  const stride = Math.ceil(support) * 2 + 1;
  const starts = new Int32Array(outputSize);
  const counts = new Int32Array(outputSize);
  const weights = new Int32Array(outputSize * stride);
  for (let i = 0; i < outputSize; i++) {
    const center = (i + 0.5) * scale;
    const start = Math.max(0, Math.trunc(center - support + 0.5));
    const end = Math.min(inputSize, Math.trunc(center + support + 0.5));
    const exact = Array.from({ length: end - start }, (_, j) => lanczos((start + j - center + 0.5) / widening));
    const total = exact.reduce((sum, weight) => sum + weight, 0);
    exact.forEach((weight, j) => {
      const scaled = (weight / total) * WEIGHT_UNIT;
      weights[i * stride + j] = Math.trunc(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
    });
    starts[i] = start;
    counts[i] = end - start;
  }
  return { starts, counts, weights, stride };
}

function lanczos(x: number): number {
  return Math.abs(x) < LOBES ? sinc(x) * sinc(x / LOBES) : 0;
}

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

function resizeRows(image: RgbImage, width: number): RgbImage {
  const taps = computeTaps(image.width, width);
  const data = new Uint8Array(width * image.height * 3);
  for (let y = 0; y < image.height; y++) {
    for (let x = 0; x < width; x++) {
      const source = (y * image.width + taps.starts[x]!) * 3;
      accumulate(image.data, source, 3, taps, x, data, (y * width + x) * 3);
    }
  }
  return { width, height: image.height, data };
}

function resizeColumns(image: RgbImage, height: number): RgbImage {
  const taps = computeTaps(image.height, height);
  const data = new Uint8Array(image.width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < image.width; x++) {
      const source = (taps.starts[y]! * image.width + x) * 3;
      accumulate(image.data, source, image.width * 3, taps, y, data, (y * image.width + x) * 3);
    }
  }
  return { width: image.width, height, data };
}

/** Writes one output pixel: the weighted sum of pixels `step` bytes apart from `source` on. */
function accumulate(
  input: Uint8Array,
  source: number,
  step: number,
  taps: Taps,
  position: number,
  output: Uint8Array,
  target: number,
): void {
  const { weights, stride } = taps;
  const first = position * stride;
  const end = first + taps.counts[position]!;
  let red = WEIGHT_UNIT / 2;
  let green = red;
  let blue = red;
  for (let tap = first, at = source; tap < end; tap++, at += step) {
    const weight = weights[tap]!;
    red += input[at]! * weight;
    green += input[at + 1]! * weight;
    blue += input[at + 2]! * weight;
  }
  output[target] = toByte(red);
  output[target + 1] = toByte(green);
  output[target + 2] = toByte(blue);
}

function toByte(sum: number): number {
  return Math.min(255, Math.max(0, Math.floor(sum / WEIGHT_UNIT)));
}
