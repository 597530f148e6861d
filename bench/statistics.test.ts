import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { quantile, spreadOf, summarize, sumSamples } from './statistics.js';

describe('summarize', () => {
  it('gives what numpy gives', () => {
    // numpy.quantile([1, 2, 4, 8, 16, 32], [0, 0.25, 0.5, 0.75])
    expect(summarize([32, 1, 16, 2, 8, 4])).toEqual({
      count: 6,
      least: 1,
      firstQuartile: 2.5,
      median: 6,
      thirdQuartile: 14,
    });
    expect(spreadOf(summarize([1, 2, 3, 4, 5]))).toBe(2);
    expect(summarize([7])).toEqual({ count: 1, least: 7, firstQuartile: 7, median: 7, thirdQuartile: 7 });
  });

  it('is not moved by one outlier, and has its numbers in order', () => {
    expect(summarize([10, 10, 11, 10, 1e6]).median).toBe(10);
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0, max: 1e6, noNaN: true }), { minLength: 1 }), (samples) => {
        const { least, firstQuartile, median, thirdQuartile } = summarize(samples);
        expect(least).toBeLessThanOrEqual(firstQuartile);
        expect(firstQuartile).toBeLessThanOrEqual(median);
        expect(median).toBeLessThanOrEqual(thirdQuartile);
        expect(thirdQuartile).toBeLessThanOrEqual(Math.max(...samples));
      }),
    );
  });

  it('does not take part in nothing', () => {
    expect(() => quantile([], 0.5)).toThrow('no samples');
  });
});

describe('sumSamples', () => {
  it('adds repetition by repetition', () => {
    expect(
      sumSamples([
        [1, 2, 3],
        [10, 20, 30],
      ]),
    ).toEqual([11, 22, 33]);
  });
});
