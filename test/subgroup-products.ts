import { f32ToF16 } from '../ir/dtype.js';
import type { SubgroupProduct } from '../ir/kernel/thread.js';

/** Subgroups below each other, each with `product.rows` rows of y = x · w, in steps of the product's depth. */
export interface SubgroupProductCase {
  readonly product: SubgroupProduct;
  readonly subgroupSize: number;
  readonly subgroups: number;
  readonly steps: number;
  /** Columns of w lie one after the other, in its buffer and in workgroup memory; otherwise its rows do. */
  readonly byDepth: boolean;
}

export const smallCase: SubgroupProductCase = {
  product: { rows: 8, columns: 8, depth: 8 },
  subgroupSize: 8,
  subgroups: 2,
  steps: 3,
  byDepth: true,
};

export const largeCase: SubgroupProductCase = {
  product: { rows: 16, columns: 16, depth: 16 },
  subgroupSize: 64,
  subgroups: 2,
  steps: 2,
  byDepth: false,
};

/** A kernel for one workgroup: x and w are f16 numbers, two to a word, staged a step at a time in rows with 4 words between them. */
export function subgroupProductKernel({
  product,
  subgroupSize,
  subgroups,
  steps,
  byDepth,
}: SubgroupProductCase): string {
  const { rows, columns, depth } = product;
  const invocations = subgroups * subgroupSize;
  const depthWords = depth / 2;
  const [wRows, wWords] = byDepth ? [columns, depthWords] : [depth, columns / 2];
  const [xPitch, wPitch, yPitch] = [depthWords + 4, wWords + 4, columns / 4 + 1];
  const vectors = columns / 4;
  const wSource = byDepth
    ? `i / ${wWords} * ${depthWords * steps} + k * ${depthWords} + i % ${wWords}`
    : `k * ${wRows * wWords} + i`;
  return `kernel @subgroup_product workgroup(${invocations}) subgroup(${subgroupSize}) product(${rows}, ${columns}, ${depth})
  buffer x: read u32 x1
  buffer w: read u32 x1
  buffer y: write f32 x4
  shared stage_x: u32[${subgroups * rows * xPitch}]
  shared stage_w: u32[${wRows * wPitch}]
  shared slab: f32x4[${subgroups * rows * yPitch}]
{
  declare_sums c_0
  for k = 0 to ${steps} step 1 {
    for i = local_index to ${subgroups * rows * depthWords} step ${invocations} {
      stage_x[i / ${depthWords} * ${xPitch} + i % ${depthWords}] = x[i / ${depthWords} * ${depthWords * steps} + k * ${depthWords} + i % ${depthWords}]
    }
    for i = local_index to ${wRows * wWords} step ${invocations} {
      stage_w[i / ${wWords} * ${wPitch} + i % ${wWords}] = w[${wSource}]
    }
    barrier
    load_factor left a_0 = stage_x[subgroup_index * ${rows * xPitch}] pitch ${xPitch}
    load_factor right b_0 = stage_w[0] pitch ${wPitch}${byDepth ? ' by_depth' : ''}
    multiply_factors c_0 += a_0 by b_0
    barrier
  }
  store_sums slab[subgroup_index * ${rows * yPitch}] pitch ${yPitch} = c_0
  barrier
  for i = local_index to ${subgroups * rows * vectors} step ${invocations} {
    y[i] = slab[i / ${vectors} * ${yPitch} + i % ${vectors}]
  }
}
`;
}

/** x and w as the kernel reads them, and y, whose sums are exact in f32. */
export function subgroupProductOperands({ product, subgroups, steps, byDepth }: SubgroupProductCase): {
  readonly x: Uint16Array;
  readonly w: Uint16Array;
  readonly y: Float32Array;
} {
  const [rows, columns, depth] = [subgroups * product.rows, product.columns, product.depth * steps];
  const xAt = (row: number, k: number): number => (((row * 7 + k * 5) % 23) - 11) / 8;
  const wAt = (k: number, column: number): number => (((k * 11 + column * 3) % 19) - 9) / 4;
  const x = Uint16Array.from({ length: rows * depth }, (_, at) => f32ToF16(xAt(Math.floor(at / depth), at % depth)));
  const w = Uint16Array.from({ length: depth * columns }, (_, at) =>
    f32ToF16(byDepth ? wAt(at % depth, Math.floor(at / depth)) : wAt(Math.floor(at / columns), at % columns)),
  );
  const y = Float32Array.from({ length: rows * columns }, (_, at) => {
    let sum = 0;
    for (let k = 0; k < depth; k++) sum += xAt(Math.floor(at / columns), k) * wAt(k, at % columns);
    return sum;
  });
  return { x, w, y };
}
