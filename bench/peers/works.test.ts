import { describe, expect, it } from 'vitest';
import { codeOf } from '../../test/code-of.js';
import { countFlop, parseWork, printShape, standardWorks, type WorkKind } from './works.js';

describe('shapes on the command line', () => {
  it('are printed as they are read', () => {
    for (const work of standardWorks) expect(parseWork(work.kind, printShape(work))).toEqual(work);
    expect(parseWork('product', '3x5x7')).toEqual({ kind: 'product', m: 3, k: 5, n: 7 });
  });

  it.each<[WorkKind, string]>([
    ['product', '3x5'],
    ['product', '3x0x7'],
    ['product', '3x5x7x9'],
    ['attention', '4x512'],
    ['convolution', '32x32x128'],
    ['transformer', '4x64,2+6'],
    ['transformer', '4x60,2+6,256+64'],
  ])('%s refuses %s', (kind, text) => {
    expect(codeOf(() => parseWork(kind, text))).toBe('F2C702');
  });
});

describe('countFlop', () => {
  it('counts a multiply-add as two operations', () => {
    expect(countFlop(parseWork('product', '3x5x7'))).toBe(2 * 3 * 5 * 7);
    // q·kᵀ and the product with v.
    expect(countFlop(parseWork('attention', '2x3x8'))).toBe(2 * 2 * (2 * 3 * 3 * 8));
    expect(countFlop(parseWork('convolution', '3x5@4'))).toBe(2 * 9 * 3 * 5 * 16);
  });

  it('gives what is known of the small FLUX transformer', () => {
    expect(countFlop(parseWork('transformer', '4x64,2+6,256+64')) / 1e9).toBeCloseTo(5.25, 2);
  });
});
