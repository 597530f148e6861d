import type { Dim } from '../../ir/dim.js';
import type { AxisSpread } from '../../ir/kernel/tile.js';

/** An axis of which a workgroup has one place. */
export const alone: AxisSpread = { threads: 1, registers: 1, vector: 1 };

/** A power of two of at most `most` parts of `each` coordinates; fewer where a constant extent leaves them idle. */
export function partsFor(extent: Dim, each: number, most: number): number {
  const wanted = extent.constant === undefined ? most : Math.max(1, Math.ceil(extent.constant / each));
  let parts = 1;
  while (parts * 2 <= most && parts < wanted) parts *= 2;
  return parts;
}

/** The largest power of two of at most `most` that divides the extent. */
export function partsThatDivide(extent: Dim, most: number): number {
  let parts = 1;
  while (parts * 2 <= most && extent.isMultipleOf(parts * 2)) parts *= 2;
  return parts;
}
