import { describe, expect, it } from 'vitest';
import { computeReference, relativeError } from './reference.js';
import { sampleReference, spread } from './sampled-reference.js';
import { makeWorkData } from './work-data.js';
import { buildWorkGraph } from './work-graph.js';
import { parseWork, type Work, type WorkKind } from './works.js';

describe('sampleReference', () => {
  it.each<[WorkKind, string, number]>([
    ['product', '60x20x400', spread(60, 48).length * spread(400, 384).length],
    ['product', '9x20x13', 9 * 13],
    ['attention', '2x17x16', 2 * 8 * 16],
    ['convolution', '5x7@12', spread(12, 10).length ** 2 * 7],
  ])('gives numbers of the reference of a %s of %s', (kind, shape, count) => {
    const work = parseWork(kind, shape) as Exclude<Work, { readonly kind: 'transformer' }>;
    const whole = computeReference(work, 'f16');
    const sampled = sampleReference(work, makeWorkData(work, buildWorkGraph(work), { numbers: 'f16' }));
    expect(sampled.length).toBe(whole.length);
    expect(sampled.values).toHaveLength(count);
    sampled.values.forEach((value, at) => expect(value).toBeCloseTo(whole.values[sampled.positions![at]!]!, 12));
    expect(relativeError(Float32Array.from(whole.values), sampled)).toBeLessThan(1e-7);
  });
});

describe('spread', () => {
  it('takes the ends and places between, in order, each once', () => {
    for (const [count, wanted] of [
      [4608, 48],
      [27648, 384],
    ] as const) {
      const places = spread(count, wanted);
      expect(places.length).toBeGreaterThan(0.95 * wanted);
      expect([places[0], places.at(-1)]).toEqual([0, count - 1]);
      expect(places).toEqual([...new Set(places)].sort((a, b) => a - b));
    }
    expect(spread(100, 64).length).toBeGreaterThan(50);
    expect(spread(3, 8)).toEqual([0, 1, 2]);
  });
});

describe('relativeError', () => {
  const reference = { length: 2, values: Float64Array.of(3, 4) };

  it('is that of the whole, and infinite for what is no result', () => {
    expect(relativeError(Float32Array.of(3, 4), reference)).toBe(0);
    expect(relativeError(Float32Array.of(3, 4.5), reference)).toBeCloseTo(0.1);
    expect(relativeError(Float32Array.of(3), reference)).toBe(Infinity);
    expect(relativeError(Float32Array.of(3, NaN), reference)).toBe(Infinity);
  });

  it('is that of the numbers that are known; the others must be numbers all the same', () => {
    const sampled = { length: 3, positions: Uint32Array.of(0, 2), values: Float64Array.of(3, 4) };
    expect(relativeError(Float32Array.of(3, 99, 4), sampled)).toBe(0);
    expect(relativeError(Float32Array.of(3, 99, 4.5), sampled)).toBeCloseTo(0.1);
    expect(relativeError(Float32Array.of(3, Infinity, 4), sampled)).toBe(Infinity);
  });
});
