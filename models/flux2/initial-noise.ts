/** The latents that denoising starts from: drawn from seeds as the reference pipelines draw them, or given. */
import { Flux2cError } from '../../ir/diagnostics.js';
import { packLatents } from './latents.js';
import { TorchGenerator } from './noise.js';

export interface LatentGrid {
  readonly channels: number;
  /** In tokens. */
  readonly height: number;
  readonly width: number;
}

/** A tensor from a file: its shape and its values in f32. */
export interface GivenTensor {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/**
 * Noise for `count` pictures, packed `[count, height * width, channels]`. One seed draws all of them as one tensor
 * `[count, channels, height, width]`, as the reference does with one generator; several seeds draw a picture each, as it
 * does with a list of generators. `bf16` draws in the type that the references' prompt embeddings have. F2C662 when the
 * number of seeds is neither 1 nor `count`.
 */
export function drawNoise(
  seeds: readonly bigint[],
  count: number,
  grid: LatentGrid,
  dtype: 'f32' | 'bf16',
): Float32Array {
  const { channels, height, width } = grid;
  const [first] = seeds;
  if (first === undefined || (seeds.length !== 1 && seeds.length !== count)) {
    throw new Flux2cError('F2C662', 'the number of seeds does not fit the number of pictures', {
      expected: count === 1 ? 'one seed' : `one seed, or ${count}`,
      found: String(seeds.length),
    });
  }
  const perPicture = channels * height * width;
  const drawn = new Float32Array(count * perPicture);
  if (seeds.length === 1) drawn.set(new TorchGenerator(first).randn(count * perPicture, dtype));
  else seeds.forEach((seed, i) => drawn.set(new TorchGenerator(seed).randn(perPicture, dtype), i * perPicture));
  return packLatents(drawn, { batch: count, channels, height, width });
}

/**
 * Noise given as `[count, channels, height, width]` or packed `[count, height * width, channels]`, in the packed form.
 * F2C663 when it is neither.
 */
export function packGivenNoise(noise: GivenTensor, count: number, grid: LatentGrid): Float32Array {
  const { channels, height, width } = grid;
  const shape = noise.shape.join();
  if (shape === [count, channels, height, width].join()) {
    return packLatents(noise.values, { batch: count, channels, height, width });
  }
  if (shape === [count, height * width, channels].join()) return noise.values;
  throw new Flux2cError('F2C663', 'the given noise does not fit the pictures', {
    expected: `[${count}, ${channels}, ${height}, ${width}] or [${count}, ${height * width}, ${channels}]`,
    found: `[${noise.shape.join(', ')}]`,
    hint: 'Noise decides the number of pictures and tokens: --width, --height and --count must fit it.',
  });
}
