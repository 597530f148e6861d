/** Areas in a rectangle, in proportion to sizes and as near to squares as they get (squarified treemap, Bruls et al. 2000). */

export interface Rectangle {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface Area<T> {
  readonly size: number;
  readonly item: T;
}

export interface PlacedArea<T> {
  readonly area: Area<T>;
  readonly rectangle: Rectangle;
}

/** Largest first. Areas of size 0 are left out. */
export function placeAreas<T>(areas: readonly Area<T>[], rectangle: Rectangle): readonly PlacedArea<T>[] {
  const sorted = areas.filter(({ size }) => size > 0).sort((a, b) => b.size - a.size);
  const placed: PlacedArea<T>[] = [];
  let rest = rectangle;
  let left = sorted.reduce((sum, { size }) => sum + size, 0);
  for (let start = 0; start < sorted.length;) {
    const scale = (rest.width * rest.height) / left;
    const side = Math.min(rest.width, rest.height);
    let end = start + 1;
    while (
      end < sorted.length &&
      worstRatio(sorted, start, end + 1, side, scale) <= worstRatio(sorted, start, end, side, scale)
    )
      end++;
    const row = sorted.slice(start, end);
    const sum = row.reduce((total, { size }) => total + size, 0);
    rest = placeRow(row, sum, rest, scale, placed);
    left -= sum;
    start = end;
  }
  return placed;
}

/** The least square rectangle of a row: the larger of its two ratios of sides. */
function worstRatio<T>(areas: readonly Area<T>[], start: number, end: number, side: number, scale: number): number {
  const row = areas.slice(start, end);
  const sum = row.reduce((total, { size }) => total + size, 0) * scale;
  const largest = (row[0]?.size ?? 0) * scale;
  const smallest = (row.at(-1)?.size ?? 0) * scale;
  return Math.max((side * side * largest) / (sum * sum), (sum * sum) / (side * side * smallest));
}

/** Lays the row along the shorter side and returns what is left. */
function placeRow<T>(
  row: readonly Area<T>[],
  sum: number,
  rest: Rectangle,
  scale: number,
  placed: PlacedArea<T>[],
): Rectangle {
  const { x, y, width, height } = rest;
  const isColumn = width >= height;
  const thickness = (sum * scale) / (isColumn ? height : width);
  let at = isColumn ? y : x;
  for (const area of row) {
    const length = (area.size * scale) / thickness;
    const rectangle = isColumn
      ? { x, y: at, width: thickness, height: length }
      : { x: at, y, width: length, height: thickness };
    placed.push({ area, rectangle });
    at += length;
  }
  return isColumn
    ? { x: x + thickness, y, width: width - thickness, height }
    : { x, y: y + thickness, width, height: height - thickness };
}
