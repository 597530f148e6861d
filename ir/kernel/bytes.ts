/** Bytes that are multiplied at once: those of a vector of four words. */
export const bytesOfVector = 16;

/** So many products of i8 numbers, which may be -128 where they were not quantised here, always have a sum that an i32 holds. */
export const mostProductsOfBytes = Math.floor((2 ** 31 - 1) / 128 ** 2 / bytesOfVector) * bytesOfVector;

/** The signed byte `at` (0 to 3) of a word. */
export function byteOfWord(word: number, at: number): number {
  return (word << (24 - 8 * at)) >> 24;
}
