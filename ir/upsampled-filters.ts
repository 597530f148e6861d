/** Filters for a picture that is made twice as high and wide by repeating its pixels, for the picture as it is. */

/** Positions of a pixel's block of 2 × 2. */
export const upsampledPhases = 4;

/** The shape of the folded filters, [4·O, 2, 2, C], of filters [O, 3, 3, C]; undefined for any others. */
export function upsampledShape(filters: readonly number[]): readonly number[] | undefined {
  const [outputs = 0, height, width, channels = 0] = filters;
  if (filters.length !== 4 || height !== 3 || width !== 3) return undefined;
  return [upsampledPhases * outputs, 2, 2, channels];
}

/**
 * Taps of three that fall on one pixel. Position p of a block reads rows (or columns) 2y + p - 1 to 2y + p + 1 of the larger
 * picture, which are rows y + p - 1 and y + p of the smaller one: for the first position one tap and two, for the second two and one.
 */
const tapsOn: readonly (readonly (readonly number[])[])[] = [
  [[0], [1, 2]],
  [[0, 1], [2]],
];

/**
 * The filters of one position of a block from filters [count, 3, 3, C], of which each element is C numbers: [count, 2, 2, C], sums of
 * those taps that fall on one pixel. Sums are rounded by `out` alone.
 *
 * @param phase 2 · row + column of the position
 */
export function sumTaps(
  filters: ArrayLike<number>,
  count: number,
  channels: number,
  phase: number,
  out: Float32Array | Float64Array,
): void {
  const [rows, columns] = [tapsOn[phase >> 1], tapsOn[phase & 1]] as const;
  for (let filter = 0; filter < count; filter++) {
    for (let place = 0; place < 4; place++) {
      const to = (filter * 4 + place) * channels;
      const taps = rows?.[place >> 1]?.flatMap((dy) => columns?.[place & 1]?.map((dx) => 3 * dy + dx) ?? []) ?? [];
      for (let channel = 0; channel < channels; channel++) {
        let sum = 0;
        for (const tap of taps) sum += filters[(filter * 9 + tap) * channels + channel] as number;
        out[to + channel] = sum;
      }
    }
  }
}
