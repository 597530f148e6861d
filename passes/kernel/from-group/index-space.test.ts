import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Dim } from '../../../ir/dim.js';
import type { Axis } from '../../../ir/kernel/tile.js';
import { evaluateIndex } from '../../../test/evaluate-index.js';
import { Random } from '../../../test/random.js';
import { denseStrides, elementCount } from './group.js';
import { IndexSpace } from './index-space.js';

function axis(name: string, extent: Dim): Axis {
  return { name, kind: 'grid_x', extent, tile: 1 };
}

/** Texts of the index and of the terms it made. */
function describeIndex(space: IndexSpace, index: Dim): string {
  const terms = space.terms.map((term) => {
    const by = term.kind === 'floor' || term.kind === 'modulo' ? `, ${term.by.text}` : '';
    return `${term.name} = ${term.kind}(${term.kind === 'loaded' ? term.at.text : term.of.text}${by})`;
  });
  return [index.text, ...terms].join('; ');
}

const axes = [axis('m', Dim.of('4*n')), axis('c', Dim.of(12)), axis('r', Dim.of('n'))];

describe('IndexSpace', () => {
  it.each([
    ['what the divisor divides', '8*m+12', 4, '3+2*m', '0'],
    ['what the range of an axis keeps below the divisor', '12*m+c', 12, 'm', 'c'],
    ['the range of a sum of products', '24*m+2*c+1', 24, 'm', '1+2*c'],
    ['a range in symbols', 'n*m+r', 'n', 'm', 'r'],
  ] as const)('decides quotient and remainder by %s', (_, of, by, quotient, remainder) => {
    const space = new IndexSpace(axes);
    expect(space.floor(Dim.of(of), Dim.of(by)).equals(quotient)).toBe(true);
    expect(space.modulo(Dim.of(of), Dim.of(by)).equals(remainder)).toBe(true);
    expect(space.terms).toEqual([]);
  });

  it('keeps what it cannot decide as terms, once each, and joins quotients of quotients', () => {
    const space = new IndexSpace(axes);
    const half = space.floor(Dim.symbol('m'), Dim.of(2));
    expect(space.floor(Dim.symbol('m'), Dim.of(2)).text).toBe(half.text);
    expect(describeIndex(space, space.floor(half, Dim.of(3)))).toBe('t1; t0 = floor(m, 2); t1 = floor(m, 6)');
  });

  it('does not leave a negative rest to a quotient that truncates', () => {
    const space = new IndexSpace(axes);
    expect(describeIndex(space, space.floor(Dim.of('8*m+c-4'), Dim.of(8)))).toBe('m+t0-1; t0 = floor(c+4, 8)');
    expect(describeIndex(space, space.floor(Dim.of('n*m+c-r'), Dim.of('n')))).toContain('floor(c+m*n-r, n)');
  });

  it('puts a flat index together again, whatever it was taken apart into', () => {
    const flat = Dim.of('12*m+c');
    for (const shape of [['2', '2*n', '12'], ['n', '8', '6'], ['16*n', '3'], ['n', '2', '2', '3', '4']]) {
      const space = new IndexSpace(axes);
      const dims = shape.map((size) => Dim.of(size));
      expect(space.linearize(space.delinearize(flat, dims), denseStrides(dims)).text).toBe(flat.text);
    } // prettier-ignore
  });

  it('means the coordinates of the flat index in any shape', () => {
    fc.assert(
      fc.property(fc.nat(), (seed) => {
        const random = new Random(seed);
        const binding = { n: random.integer(1, 5) };
        const space = new IndexSpace(axes);
        const shape = random.shuffle([
          Dim.of('n'),
          Dim.of(random.pick([2, 4])),
          Dim.of(random.pick([3, 6])),
          Dim.of(8),
        ]);
        // Any part of a flat index over the axes that stays inside of the shape.
        const start = random.integer(0, 9);
        const flat = Dim.of(random.pick(['m', '2*m+c', '12*m+c', 'n*c+r', '3*m+12*n-c'])).add(
          start - random.integer(0, start),
        );
        const coordinates = space.delinearize(flat, shape);
        const again = space.linearize(coordinates, denseStrides(shape));
        for (let point = 0; point < 20; point++) {
          const at = {
            ...binding,
            m: random.integer(0, 4 * binding.n - 1),
            c: random.integer(0, 11),
            r: random.integer(0, binding.n - 1),
          };
          const value = flat.evaluate(at);
          if (value < 0 || value >= elementCount(shape).evaluate(binding)) continue;
          let rest = value;
          const expected = [...shape].reverse().map((size) => {
            const extent = size.evaluate(binding);
            const coordinate = rest % extent;
            rest = Math.floor(rest / extent);
            return coordinate;
          });
          const found = coordinates.map((coordinate) => evaluateIndex(coordinate, space.terms, at));
          expect(found).toEqual(expected.reverse());
          expect(evaluateIndex(again, space.terms, at)).toBe(value);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('divides sums with falling parts as integers do', () => {
    fc.assert(
      fc.property(fc.nat(), (seed) => {
        const random = new Random(seed);
        const space = new IndexSpace(axes);
        const coefficient = (): number => random.integer(-9, 9);
        const of = Dim.symbol('m').mul(coefficient()).add(Dim.symbol('c').mul(coefficient())).add(Dim.of('n*r').mul(coefficient())).add(coefficient()); // prettier-ignore
        const by = Dim.of(random.pick([2, 3, 4, 8, 'n', '2*n']));
        const inner = random.chance(0.5) ? of : space.floor(of, Dim.of(2));
        const quotient = space.floor(inner, by);
        const remainder = space.modulo(inner, by);
        for (let point = 0; point < 30; point++) {
          const n = random.integer(1, 5);
          const at = { n, m: random.integer(0, 4 * n - 1), c: random.integer(0, 11), r: random.integer(0, n - 1) };
          const value = of.evaluate(at);
          // Indices are never negative where they are used.
          if (value < 0) continue;
          const divided = inner === of ? value : Math.floor(value / 2);
          const divisor = by.evaluate(at);
          expect(evaluateIndex(quotient, space.terms, at)).toBe(Math.floor(divided / divisor));
          expect(evaluateIndex(remainder, space.terms, at)).toBe(divided % divisor);
        }
      }),
      { numRuns: 500 },
    );
  });
});
