/** How measurements grow with a size: a polynomial through them, and whether they grow faster than they may. */

export interface GrowthPoint {
  readonly n: number;
  readonly value: number;
}

export interface GrowthFit {
  /** value = constant + linear · n + quadratic · n², none of them negative. */
  readonly coefficients: readonly [constant: number, linear: number, quadratic: number];
  /** The largest share by which a point lies off the polynomial. */
  readonly worstResidual: number;
  /** The power of n that the values follow between the last two sizes. */
  readonly exponent: number;
}

/**
 * Fits with the least squares of relative errors, so that small sizes count as much as large ones. Costs are sums of what is
 * constant, linear and quadratic, so no coefficient is negative: the best fit of all subsets of the three terms that
 * gives none.
 *
 * @param degree the highest power that the polynomial may have
 */
export function fitGrowth(points: readonly GrowthPoint[], degree: 0 | 1 | 2): GrowthFit {
  const subsets = degree === 0 ? [[0]] : degree === 1 ? [[0], [1], [0, 1]] : [[0], [1], [2], [0, 1], [0, 2], [1, 2], [0, 1, 2]]; // prettier-ignore
  const fits = subsets
    .map((powers) => solveFor(points, powers))
    .filter((coefficients) => coefficients?.every((value) => value >= 0) === true) as [number, number, number][];
  const coefficients = fits.reduce((best, fit) => (errorOf(points, fit) < errorOf(points, best) ? fit : best));
  const [before, last] = points.slice(-2) as [GrowthPoint, GrowthPoint];
  return {
    coefficients,
    worstResidual: Math.max(...points.map((point) => Math.abs(residualOf(point, coefficients)))),
    exponent: Math.log(last.value / before.value) / Math.log(last.n / before.n),
  };
}

export function evaluateFit([constant, linear, quadratic]: GrowthFit['coefficients'], n: number): number {
  return constant + linear * n + quadratic * n * n;
}

function residualOf({ n, value }: GrowthPoint, coefficients: GrowthFit['coefficients']): number {
  return evaluateFit(coefficients, n) / value - 1;
}

function errorOf(points: readonly GrowthPoint[], coefficients: GrowthFit['coefficients']): number {
  return points.reduce((sum, point) => sum + residualOf(point, coefficients) ** 2, 0);
}

/** Normal equations of the terms with these powers; undefined where the points do not determine them. */
function solveFor(points: readonly GrowthPoint[], powers: readonly number[]): readonly number[] | undefined {
  const largest = Math.max(...points.map(({ n }) => n));
  const rows = points.map(({ n, value }) => powers.map((power) => (n / largest) ** power / value));
  const matrix = powers.map((_, i) => [
    ...powers.map((__, j) => rows.reduce((sum, row) => sum + row[i]! * row[j]!, 0)),
    rows.reduce((sum, row) => sum + row[i]!, 0),
  ]);
  for (let pivot = 0; pivot < powers.length; pivot++) {
    const row = matrix[pivot]!;
    // The matrix is positive definite unless there are fewer points than terms.
    if (!(row[pivot]! > 1e-12 * matrix[0]![0]!)) return undefined;
    for (const [at, other] of matrix.entries()) {
      if (at === pivot) continue;
      const factor = other[pivot]! / row[pivot]!;
      for (let column = pivot; column <= powers.length; column++) other[column]! -= factor * row[column]!;
    }
  }
  const solution = powers.map((_, at) => matrix[at]![powers.length]! / matrix[at]![at]!);
  const coefficients = [0, 0, 0];
  const most = Math.max(...solution.map(Math.abs));
  powers.forEach((power, at) => {
    const value = solution[at]!;
    // What rounding leaves of a term that is not there.
    coefficients[power] = Math.abs(value) < 1e-9 * most ? 0 : value / largest ** power;
  });
  return coefficients;
}
