import { describe, expect, it } from 'vitest';
import { evaluateFit, fitGrowth } from './fit-growth.js';

const sizes = [64, 128, 256, 512, 1024, 2048, 4096];
const pointsOf = (valueAt: (n: number) => number): { n: number; value: number }[] =>
  sizes.map((n) => ({ n, value: valueAt(n) }));

describe('fitGrowth', () => {
  it('finds the terms of a polynomial', () => {
    for (const coefficients of [
      [5, 0, 0],
      [0, 3, 0],
      [40, 0.1, 2e-4],
      [7, 0, 1e-3],
      [0, 1e6, 3],
    ] as const) {
      const fit = fitGrowth(
        pointsOf((n) => evaluateFit(coefficients, n)),
        2,
      );
      coefficients.forEach((value, power) => expect(fit.coefficients[power]).toBeCloseTo(value, 6));
      expect(fit.worstResidual).toBeLessThan(1e-6);
    }
  });

  it('gives no negative coefficient, where a line through the points would have one', () => {
    const fit = fitGrowth(
      pointsOf((n) => n ** 1.5),
      1,
    );
    expect(Math.min(...fit.coefficients)).toBe(0);
    expect(fit.worstResidual).toBeGreaterThan(0.5);
  });

  it('says with which power the largest sizes grow', () => {
    for (const power of [0, 1, 2, 2.7]) {
      expect(fitGrowth(pointsOf((n) => 3 * n ** power), 2).exponent).toBeCloseTo(power, 9); // prettier-ignore
    }
  });

  it('takes two points', () => {
    const fit = fitGrowth([{ n: 1, value: 3 }, { n: 2, value: 5 }], 2); // prettier-ignore
    expect(evaluateFit(fit.coefficients, 1)).toBeCloseTo(3, 9);
    expect(evaluateFit(fit.coefficients, 2)).toBeCloseTo(5, 9);
  });
});
