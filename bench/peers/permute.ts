/** Axes in another order: stacks have layouts of their own. */

/** Edge of the squares that matrices are turned in: one stays in the cache. */
const tile = 64;

/** `values` with their axes in another order: axis i of the result is axis `order[i]` of `shape`. */
export function permute<A extends Float32Array | Uint16Array>(
  values: A,
  shape: readonly number[],
  order: readonly number[],
): A {
  const result = new (values.constructor as new (length: number) => A)(values.length);
  if (order.join() === '1,0') transpose(values, result, shape[0]!, shape[1]!);
  else permuteInto(values, result, shape, order);
  return result;
}

function transpose<A extends Float32Array | Uint16Array>(values: A, result: A, rows: number, columns: number): void {
  for (let top = 0; top < rows; top += tile) {
    const bottom = Math.min(top + tile, rows);
    for (let left = 0; left < columns; left += tile) {
      const right = Math.min(left + tile, columns);
      for (let column = left; column < right; column++) {
        for (let row = top; row < bottom; row++) result[column * rows + row] = values[row * columns + column]!;
      }
    }
  }
}

function permuteInto<A extends Float32Array | Uint16Array>(
  values: A,
  result: A,
  shape: readonly number[],
  order: readonly number[],
): void {
  const strides = new Array<number>(shape.length).fill(1);
  for (let axis = shape.length - 2; axis >= 0; axis--) strides[axis] = strides[axis + 1]! * shape[axis + 1]!;
  const sizes = order.map((axis) => shape[axis]!);
  const steps = order.map((axis) => strides[axis]!);
  const place = new Array<number>(order.length).fill(0);
  let from = 0;
  for (let at = 0; at < result.length; at++) {
    result[at] = values[from]!;
    for (let axis = order.length - 1; axis >= 0; axis--) {
      from += steps[axis]!;
      if (++place[axis]! < sizes[axis]!) break;
      from -= steps[axis]! * sizes[axis]!;
      place[axis] = 0;
    }
  }
}
