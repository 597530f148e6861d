/** A kernel of `dot_bytes` in both widths, of bytes as they come, with sums by their definition. */
import type { ThreadKernel } from '../ir/kernel/thread.js';
import { parseThreadKernel } from '../ir/kernel/thread-parse.js';
import { Random } from './random.js';

const vectors = 64;

/** out[i] = lanes of the sums of vectors a[i] and b[i], and of their words; also of a vector that is put together. */
export const byteDots: ThreadKernel = parseThreadKernel(`
kernel @byte_dots workgroup(8) params(origin_x)
  buffer a: read u32 x4
  buffer b: read u32 x4
  buffer out: write i32 x4
{
  let i: i32 = workgroup_x * 8 + local_index
  let left: u32x4 = a[i]
  let right: u32x4 = b[i]
  out[i * 3] = dot_bytes(left, right)
  out[i * 3 + 1] = vector(dot_bytes(left.x, right.x), dot_bytes(left.y, right.y), dot_bytes(left.z, right.z), dot_bytes(left.w, right.w))
  out[i * 3 + 2] = dot_bytes(left.wzyx, right.wzyx) + dot_bytes(left, right)
}
`);

export const byteDotsGroups = vectors / 8;

/** All codes, -128 too, and pairs of the largest magnitudes, whose sums are the largest. */
export function byteDotsInputs(): { readonly a: Int8Array; readonly b: Int8Array } {
  const random = new Random(8);
  const draw = (): Int8Array => Int8Array.from({ length: 16 * vectors }, () => random.integer(-128, 127));
  const [a, b] = [draw(), draw()];
  a.fill(-128, 0, 16);
  b.fill(-128, 0, 16);
  a.fill(-128, 16, 32);
  b.fill(127, 16, 32);
  return { a, b };
}

/** What the kernel writes. */
export function byteDotsResult(): Int32Array {
  const { a, b } = byteDotsInputs();
  const product = (vector: number, byte: number): number => a[16 * vector + byte]! * b[16 * vector + byte]!;
  const out: number[] = [];
  for (let vector = 0; vector < vectors; vector++) {
    const of = (bytes: readonly number[]): number => bytes.reduce((sum, byte) => sum + product(vector, byte), 0);
    const pairs = [0, 1, 2, 3].map((lane) => of([2 * lane, 2 * lane + 1, 2 * lane + 8, 2 * lane + 9]));
    // With its words the other way around, lane l has the same halves of the words opposite.
    const turned = [0, 1, 2, 3].map((lane) => {
      const [low, half] = [lane >> 1, 2 * (lane & 1)];
      return of([3 - low, 1 - low].flatMap((word) => [4 * word + half, 4 * word + half + 1]));
    });
    const words = [0, 4, 8, 12].map((first) => of([first, first + 1, first + 2, first + 3]));
    out.push(...pairs, ...words, ...pairs.map((sum, lane) => sum + turned[lane]!));
  }
  return Int32Array.from(out);
}
