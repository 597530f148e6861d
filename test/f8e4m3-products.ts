import { encodeRow } from '../ir/quantize.js';
import { parseThreadKernel } from '../ir/kernel/thread-parse.js';
import { f8e4m3Values } from './f8e4m3-cases.js';
import { Random } from './random.js';

/** y (16 x 16, f32) = x wᵀ, rows of 32 * `chunks` numbers, by one subgroup from fragments. */
export const fragmentProduct = `kernel @fragments workgroup(32) subgroup(32) params(chunks)
  buffer x: read f8e4m3 x4
  buffer w: read f8e4m3 x4
  buffer y: write f32 x2
  shared tile: u32x4[64]
{
  var sum_0: f32x2 = 0.0:f32x2
  var sum_1: f32x2 = 0.0:f32x2
  var sum_2: f32x2 = 0.0:f32x2
  var sum_3: f32x2 = 0.0:f32x2
  for chunk = 0 to chunks step 1 {
    let piece: i32 = (local_index / 2 * chunks + chunk) * 2 + local_index % 2
    copy_async tile[local_index] = x[piece] if true
    copy_async tile[32 + local_index] = w[piece] if true
    commit_copies
    wait_copies(0)
    barrier
    let left: u32x4 = load_matrix(tile, local_index % 16 * 2 + local_index / 16)
    let right: u32x4 = load_matrix(tile, 32 + (local_index / 16 * 8 + local_index % 8) * 2 + local_index / 8 % 2)
    multiply_f8e4m3 sum_0, sum_1 += left by right.xy
    multiply_f8e4m3 sum_2, sum_3 += left by right.zw
    barrier
  }
  let place: i32 = local_index / 4 * 8 + local_index % 4
  y[place] = sum_0
  y[place + 64] = sum_1
  y[place + 4] = sum_2
  y[place + 68] = sum_3
}
`;

const sums = Array.from({ length: 16 }, (_, at) => `sum_${at}`);

/** y (64 x 64, f32) = x wᵀ, rows of 256 numbers, by four subgroups from workgroup memory. */
export const sharedProduct = `kernel @shared_product workgroup(128) subgroup(32)
  buffer x: read f8e4m3 x4
  buffer w: read f8e4m3 x4
  buffer y: write f32 x2
  shared stage_x: u32x4[1024]
  shared stage_w: u32x4[1024]
{
${sums.map((name) => `  var ${name}: f32x2 = 0.0:f32x2`).join('\n')}
  for at = 0 to 1024 step 128 {
    let piece: i32 = at + local_index
    let row: i32 = piece / 16
    let place: i32 = piece / 8 % 2 * 512 + row * 8 + (piece % 8 ^ row % 8)
    copy_async stage_x[place] = x[piece] if true
    copy_async stage_w[place] = w[piece] if true
  }
  commit_copies
  wait_copies(0)
  share_writes
  barrier
  begin_products
${Array.from({ length: 8 }, (_, at) => {
  const place = 512 * (at >> 2) + 2 * (at & 3);
  const [x, w] = ['stage_x', 'stage_w'].map((name) => `matrix(${name}, ${place}, rows, 512)`);
  return `  multiply_shared_f8e4m3 x64 ${sums.join(', ')} += ${x} by ${w}`;
}).join('\n')}
  commit_products
  wait_products(0)
  let first: i32 = (local_index / 32 * 16 + subgroup_lane / 4) * 32 + subgroup_lane % 4
${sums.map((name, at) => `  y[first + ${256 * (at & 1) + 4 * (at >> 1)}] = ${name}`).join('\n')}
}
`;

export interface F8Product {
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
  readonly x: Uint8Array;
  readonly w: Uint8Array;
  /** x wᵀ, rounded to f32 behind each 32 of the contracted axis; what is between is exact in f64. */
  readonly y: Float32Array;
  /** x wᵀ as matrix units add it that keep `keptBits`. */
  readonly truncated: Float32Array;
  /** How far those two may be apart: 33 terms of each 32 products lose less than a unit of their last bit. */
  readonly bounds: Float64Array;
}

/** Bits behind the leading one of the largest term that Hopper's sums are made of. */
const keptBits = 13;

/** Operands of all codes but NaN, where there are so many numbers. */
export function f8Product(rows: number, columns: number, depth: number): F8Product {
  const random = new Random(rows + columns + depth);
  const codes = (length: number): Uint8Array => {
    const all = Array.from({ length }, (_, at) => [0, 0x80][at % 2]! + ((at >> 1) % 0x7f));
    return Uint8Array.from(random.shuffle(all));
  };
  return multiplyF8(codes(rows * depth), codes(columns * depth), rows, columns);
}

/** Operands of normally distributed numbers around `mean`, quantised by rows. */
export function normalF8Product(rows: number, columns: number, depth: number, mean: number): F8Product {
  const random = new Random(rows + columns + depth);
  const normal = (): number =>
    mean + Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next());
  const [x, w] = [rows, columns].map((count) => {
    const codes = new Uint8Array(count * depth);
    for (let row = 0; row < count; row++) {
      encodeRow(Float32Array.from({ length: depth }, normal), codes.subarray(row * depth, (row + 1) * depth), 'f8e4m3');
    }
    return codes;
  }) as [Uint8Array, Uint8Array];
  return multiplyF8(x, w, rows, columns);
}

function multiplyF8(x: Uint8Array, w: Uint8Array, rows: number, columns: number): F8Product {
  const depth = x.length / rows;
  const [y, truncated] = [new Float32Array(rows * columns), new Float32Array(rows * columns)];
  const bounds = new Float64Array(rows * columns);
  for (let at = 0; at < y.length; at++) {
    const [row, column] = [Math.floor(at / columns), at % columns];
    // Kernels multiply whole rows of 128 bytes; zeros behind the end cut bits off as well.
    for (let first = 0; first < Math.ceil(depth / 128) * 128; first += 32) {
      const products = Array.from(
        x.subarray(row * depth + first, row * depth + Math.min(first + 32, depth)),
        (code, k) => {
          return f8e4m3Values[code]! * f8e4m3Values[w[column * depth + first + k]!]!;
        },
      );
      const terms = [...products, truncated[at]!];
      const largest = Math.max(...terms.map(Math.abs));
      if (largest === 0) continue;
      const unit = 2 ** (Math.floor(Math.log2(largest)) - keptBits);
      truncated[at] = terms.reduce((sum, term) => sum + (term - (term % unit)), 0);
      y[at]! += products.reduce((sum, product) => sum + product, 0);
      bounds[at]! += terms.length * unit;
    }
  }
  return { rows, columns, depth, x, w, y, truncated, bounds };
}

export const fragmentKernel = parseThreadKernel(fragmentProduct);
export const sharedKernel = parseThreadKernel(sharedProduct);
