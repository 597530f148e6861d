import { byteOfWord } from './bytes.js';
import type { Values } from './thread-interpret-memory.js';

/** Bytes `from` and the next of two words. */
function dotPair(a: number, b: number, from: number): number {
  return byteOfWord(a, from) * byteOfWord(b, from) + byteOfWord(a, from + 1) * byteOfWord(b, from + 1);
}

/** Of each word all four products. */
export function dotWords(a: Values, b: Values, out: Values): void {
  for (let at = 0; at < out.length; at++) {
    const [left, right] = [a[at] as number, b[at] as number];
    out[at] = dotPair(left, right, 0) + dotPair(left, right, 2);
  }
}

/** Of 16 bytes, lane l of the sums has a pair of the first eight and one of the last. */
export function dotHalves(a: Values, b: Values, out: Values): void {
  for (let at = 0; at < out.length; at++) {
    const lane = at % 4;
    const [low, high] = [at - lane + (lane >> 1), at - lane + 2 + (lane >> 1)];
    const from = 2 * (lane & 1);
    out[at] = dotPair(a[low] as number, b[low] as number, from) + dotPair(a[high] as number, b[high] as number, from);
  }
}
