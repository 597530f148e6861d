import { describe, expect, it } from 'vitest';
import { Random } from '../../test/random.js';
import { walkingProduct, walkingTile } from '../../test/walking-product.js';
import { bf16ToF32, f32ToBf16 } from '../dtype.js';
import { Flux2cError } from '../diagnostics.js';
import { runThreadKernel } from './thread-interpret.js';
import { parseThreadKernel } from './thread-parse.js';

interface Sizes {
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
  readonly groups: number;
  /** Elements before x and y in their buffers. */
  readonly base?: number;
}

const usual: Sizes = { rows: 70, columns: 66, depth: 200, groups: 1 };

/** y of the kernel, and what a plain product gives. */
function run(text: string, { rows, columns, depth, groups, base = 0 }: Sizes): readonly [Float32Array, Float32Array] {
  const random = new Random(rows + columns + depth);
  const numbers = (length: number): Uint16Array =>
    Uint16Array.from({ length }, () => f32ToBf16(random.integer(-4, 4) / 4));
  const [x, w] = [numbers(base + rows * depth), numbers(columns * depth)];
  const y = new Float32Array(base + rows * columns);
  const parameters = {
    tiles_x: Math.ceil(rows / walkingTile),
    tiles_y: Math.ceil(columns / walkingTile),
    tiles_z: 1,
    x_base: base,
    y_base: base,
    p0: depth,
    p1: rows,
    p2: columns,
  };
  const expected = new Float32Array(base + rows * columns);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      for (let k = 0; k < depth; k++) {
        expected[base + row * columns + column]! +=
          bf16ToF32(x[base + row * depth + k] as number) * bf16ToF32(w[column * depth + k] as number);
      }
    }
  }
  runThreadKernel(parseThreadKernel(text), { x, w, y }, parameters, [groups, 1, 1]);
  return [y, expected];
}

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof Flux2cError) return error.code;
    throw error;
  }
  return 'no error';
}

describe('interpretation of a product whose groups walk over tiles', () => {
  it.each<Sizes>([
    { rows: 64, columns: 64, depth: 64, groups: 1 },
    { rows: 64, columns: 64, depth: 8, groups: 1 },
    { rows: 1, columns: 2, depth: 72, groups: 1, base: 8 },
    { rows: 130, columns: 70, depth: 136, groups: 2 },
    { rows: 150, columns: 130, depth: 264, groups: 4, base: 16 },
    { rows: 70, columns: 66, depth: 200, groups: 7 },
  ])('is what a plain product gives: %o', (sizes) => {
    const [found, expected] = run(walkingProduct, sizes);
    expect(found).toEqual(expected);
  });
});
