import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Dim } from '../../ir/dim.js';
import type { AccessMap } from '../../ir/kernel/access.js';
import type { IndexCondition, IndexTerm } from '../../ir/kernel/tile.js';
import { AccessWindows, type GridRanges } from './access-windows.js';

const sizes = new Map([
  ['p0', 16],
  ['p1', 6],
]);

function windows(
  index: string,
  parts: {
    readonly terms?: readonly IndexTerm[];
    readonly conditions?: readonly IndexCondition[];
    readonly loops?: Readonly<Record<string, number>>;
  } = {},
): AccessWindows {
  const { terms = [], conditions = [], loops = {} } = parts;
  const map: AccessMap = {
    axes: [
      { name: 'x', kind: 'grid_x', extent: Dim.of('p0*p1') },
      { name: 'y', kind: 'grid_y', extent: Dim.of('p0') },
      { name: 'z', kind: 'grid_z', extent: Dim.of(2) },
      ...Object.entries(loops).map(([name, extent]) => ({ name, kind: 'loop' as const, extent: Dim.of(extent) })),
    ],
    terms,
    buffers: [[{ index: Dim.of(index), conditions }]],
  };
  return new AccessWindows(map, sizes);
}

function part(x: readonly [number, number], y: readonly [number, number] = [0, 0]): GridRanges {
  return [
    { low: x[0], high: x[1] },
    { low: y[0], high: y[1] },
    { low: 0, high: 0 },
  ];
}

const floor = (name: string, of: string, by: string | number): IndexTerm => ({
  name,
  kind: 'floor',
  of: Dim.of(of),
  by: Dim.of(by),
});
const modulo = (name: string, of: string, by: string | number): IndexTerm => ({
  name,
  kind: 'modulo',
  of: Dim.of(of),
  by: Dim.of(by),
});

describe('AccessWindows', () => {
  it('moves with an axis, and spans what is walked', () => {
    expect(windows('8*x+k', { loops: { k: 8 } }).elementsOf(0, part([3, 5]))).toEqual({ low: 24, high: 47 });
  });

  it('keeps to the heads that a range of columns writes', () => {
    // out[head][token][place], columns x = head * 4 + place, 16 tokens
    const heads = windows('4*p0*t0+4*y+t1', { terms: [floor('t0', 'x', 4), modulo('t1', 'x', 4)] });
    expect(heads.elementsOf(0, part([8, 15], [0, 15]))).toEqual({ low: 2 * 64, high: 4 * 64 - 1 });
  });

  it('keeps to the rows of a picture that a range of pixels reads, with a halo', () => {
    // 3×3 over [16 rows, 6 columns]: pixel x, offset k of the kernel
    const terms = [floor('row', 'x', 'p1'), modulo('column', 'x', 'p1'), floor('dy', 'k', 3), modulo('dx', 'k', 3)];
    const picture = windows('p1*row+p1*dy-p1+column+dx-1', { terms, loops: { k: 9 } });
    // rows 4 to 6: from the pixel before row 3 to the one after row 7
    expect(picture.elementsOf(0, part([24, 41]))).toEqual({ low: 3 * 6 - 1, high: 8 * 6 });
  });

  it('narrows the axes to where conditions hold, and knows when they nowhere do', () => {
    const conditions: readonly IndexCondition[] = [
      { kind: 'not_less', left: Dim.of('x'), right: Dim.of(32) },
      { kind: 'less', left: Dim.of('x'), right: Dim.of(64) },
    ];
    const piece = windows('x-32', { conditions });
    expect(piece.elementsOf(0, part([0, 95]))).toEqual({ low: 0, high: 31 });
    expect(piece.elementsOf(0, part([40, 47]))).toEqual({ low: 8, high: 15 });
    expect(piece.elementsOf(0, part([0, 31]))).toBeUndefined();
    expect(piece.elementsOf(0, part([64, 95]))).toBeUndefined();
  });

  it('bounds what is read at rows from memory by the table', () => {
    const term: IndexTerm = { name: 'row', kind: 'loaded', buffer: 'ids', at: Dim.of('x'), limit: Dim.of('p0') };
    expect(windows('8*row+k', { terms: [term], loops: { k: 8 } }).elementsOf(0, part([1, 1]))).toEqual({
      low: 0,
      high: 127,
    });
  });

  it('names what has no value', () => {
    expect(() => windows('x+p7')).toThrow('p7');
  });

  it('holds every element that is touched, and more for a larger part', () => {
    const coefficient = fc.integer({ min: -3, max: 9 });
    const linear = (...names: readonly string[]): fc.Arbitrary<string> =>
      fc
        .tuple(fc.integer({ min: 0, max: 20 }), ...names.map(() => coefficient))
        .map(([constant, ...by]) => [`${constant}`, ...names.map((name, at) => `${by[at]}*${name}`)].join('+'))
        .map((text) => text.replaceAll('+-', '-'));
    const term = (name: string, ...names: readonly string[]): fc.Arbitrary<IndexTerm> =>
      fc
        .record({
          of: linear(...names),
          by: fc.integer({ min: 1, max: 7 }),
          kind: fc.constantFrom('floor', 'modulo', 'xor'),
        })
        .map(({ of, by, kind }): IndexTerm =>
          kind === 'xor'
            ? { name, kind: 'exclusive_or', of: Dim.of(of), mask: by }
            : { name, kind: kind as 'floor' | 'modulo', of: Dim.of(of), by: Dim.of(by) },
        );
    const condition = fc.record({
      kind: fc.constantFrom('less' as const, 'not_less' as const),
      left: linear('x', 'k', 't0').map(Dim.of),
      right: linear('y').map(Dim.of),
    });
    const range = fc.tuple(fc.nat(6), fc.nat(4)).map(([low, length]) => [low, low + length] as const);
    let touchedParts = 0;
    fc.assert(
      fc.property(
        term('t0', 'x', 'k'),
        term('t1', 't0', 'y'),
        linear('x', 'y', 'k', 't0', 't1'),
        fc.array(condition, { maxLength: 2 }),
        range,
        range,
        (t0, t1, index, conditions, xs, ys) => {
          const some = windows(index, { terms: [t0, t1], conditions, loops: { k: 5 } });
          const bounds = some.elementsOf(0, part(xs, ys));
          const wider = some.elementsOf(0, part([xs[0], xs[1] + 3], [Math.max(0, ys[0] - 1), ys[1] + 1]));
          for (let x = xs[0]; x <= xs[1]; x++)
            for (let y = ys[0]; y <= ys[1]; y++)
              for (let k = 0; k < 5; k++) {
                const at: Record<string, number> = { x, y, k, p0: 16, p1: 6 };
                if (![t0, t1].every((one) => isDefined(one, at))) continue;
                if (!conditions.every((one) => holds(one, at))) continue;
                touchedParts++;
                const element = Dim.of(index).evaluate(at);
                expect(element).toBeGreaterThanOrEqual(bounds?.low ?? Infinity);
                expect(element).toBeLessThanOrEqual(bounds?.high ?? -Infinity);
              }
          if (bounds === undefined) return;
          expect(wider?.low).toBeLessThanOrEqual(bounds.low);
          expect(wider?.high).toBeGreaterThanOrEqual(bounds.high);
        },
      ),
      { numRuns: 500 },
    );
    expect(touchedParts).toBeGreaterThan(2000);
  });
});

/** Adds the term's value, as kernels compute it; false where it has none that a kernel relies on. */
function isDefined(term: IndexTerm, at: Record<string, number>): boolean {
  if (term.kind === 'loaded') return false;
  const of = term.of.evaluate(at);
  if (term.kind === 'exclusive_or') {
    at[term.name] = of ^ term.mask;
    return true;
  }
  const by = term.by.evaluate(at);
  at[term.name] = term.kind === 'floor' ? Math.trunc(of / by) : of % by;
  return true;
}

function holds({ kind, left, right }: IndexCondition, at: Record<string, number>): boolean {
  return left.evaluate(at) < right.evaluate(at) === (kind === 'less');
}
