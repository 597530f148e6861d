import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Dim } from '../../../ir/dim.js';
import type { Axis, AxisSpread, IndexTerm, Schedule, TileKernel } from '../../../ir/kernel/tile.js';
import { evaluateIndex } from '../../../test/evaluate-index.js';
import { Random } from '../../../test/random.js';
import { IndexSpace } from '../from-group/index-space.js';
import { Emitter } from './emitter.js';
import { laneMotion, type LaneMotion } from './lanes.js';
import { Coordinates } from './positions.js';

/** `n` runs along the lanes of a vector of four, `m` stands still; `s` is a size. */
const axes: readonly Axis[] = [
  { name: 'm', kind: 'grid_y', extent: Dim.of('s'), tile: 1 },
  { name: 'n', kind: 'grid_x', extent: Dim.of('4*s'), tile: 4 },
];

function coordinatesOf(terms: readonly IndexTerm[]): Coordinates {
  const kernel: TileKernel = { phase: 'tile', name: 'lanes', buffers: [], parameters: ['s'], axes, terms, body: [] };
  const one: AxisSpread = { threads: 1, registers: 1, vector: 1 };
  const schedule: Schedule = { spread: { m: one, n: { ...one, vector: 4 } }, threadOrder: [], unroll: 1 };
  return new Coordinates(kernel, schedule, new Emitter());
}

function motionOf(make: (space: IndexSpace, n: Dim, m: Dim) => Dim): LaneMotion | undefined {
  const space = new IndexSpace(axes);
  const index = make(space, Dim.symbol('n'), Dim.symbol('m'));
  return laneMotion(index, 'n', 4, coordinatesOf(space.terms));
}

describe('laneMotion', () => {
  it.each<[string, (space: IndexSpace, n: Dim, m: Dim) => Dim, LaneMotion | undefined]>([
    ['the axis itself', (_, n) => n, { deltas: [0, 1, 2, 3], residue: 0 }],
    ['a shifted axis', (_, n) => n.add(5), { deltas: [0, 1, 2, 3], residue: 1 }],
    ['an axis in rows of a multiple of four', (_, n, m) => m.mul(12).add(n), { deltas: [0, 1, 2, 3], residue: 0 }],
    ['an axis in rows of six', (_, n, m) => m.mul(6).add(n), { deltas: [0, 1, 2, 3], residue: undefined }],
    ['a stride', (_, n) => n.mul(3), { deltas: [0, 3, 6, 9], residue: 0 }],
    ['what stands still', (_, __, m) => m, { deltas: [0, 0, 0, 0], residue: undefined }],
    ['halves of pairs', (space, n) => space.floor(n, Dim.of(2)), { deltas: [0, 0, 1, 1], residue: undefined }],
    ['places in pairs', (space, n) => space.modulo(n, Dim.of(2)), { deltas: [0, 1, 0, 1], residue: undefined }],
    ['neighbours of pairs', (space, n) => space.exclusiveOr(n, 1), { deltas: [0, -1, 2, 1], residue: 1 }],
    ['columns of a multiple of four', (space, n) => space.modulo(n, Dim.of(12)), { deltas: [0, 1, 2, 3], residue: 0 }],
    ['rows of a multiple of four', (space, n) => space.floor(n, Dim.of(12)), { deltas: [0, 0, 0, 0], residue: undefined }],
    ['columns of six, which a vector may cross', (space, n) => space.modulo(n, Dim.of(6)), undefined],
    ['columns of a size', (space, n) => space.modulo(n, Dim.symbol('s')), undefined],
    ['the axis times a size', (_, n) => n.mul('s'), undefined],
    ['the axis times itself', (_, n) => n.mul(n), undefined],
  ])('says of %s how it moves', (_, make, expected) => {
    expect(motionOf(make)).toEqual(expected);
  }); // prettier-ignore

  it('agrees with the index at every lane, wherever the vector starts', () => {
    let known = 0;
    fc.assert(
      fc.property(fc.nat(), (seed) => {
        const random = new Random(seed);
        const space = new IndexSpace(axes);
        const grow = (depth: number): Dim => {
          const leaf = random.pick([Dim.symbol('n'), Dim.symbol('n'), Dim.symbol('m'), Dim.of(random.integer(0, 9))]);
          if (depth === 0) return leaf;
          const inner = grow(depth - 1);
          switch (random.integer(0, 4)) {
            case 0:
              return inner.mul(random.pick([1, 2, 3, 4, 8]));
            case 1:
              return inner.add(grow(depth - 1));
            case 2:
              return space.floor(inner, Dim.of(random.pick([2, 3, 4, 6, 8, 's'])));
            case 3:
              return space.modulo(inner, Dim.of(random.pick([2, 3, 4, 6, 8, 's'])));
            default:
              return space.exclusiveOr(inner, 1);
          }
        };
        const index = grow(random.integer(1, 4));
        const motion = laneMotion(index, 'n', 4, coordinatesOf(space.terms));
        if (motion === undefined) return;
        known++;
        for (let point = 0; point < 12; point++) {
          const s = random.integer(1, 7);
          const start = { s, m: random.integer(0, s - 1), n: 4 * random.integer(0, s - 1) };
          const first = evaluateIndex(index, space.terms, start);
          const lanes = [0, 1, 2, 3].map((lane) => evaluateIndex(index, space.terms, { ...start, n: start.n + lane }));
          expect(lanes.map((value) => value - first)).toEqual(motion.deltas);
          if (motion.residue !== undefined) expect(((first % 4) + 4) % 4).toBe(motion.residue);
        }
      }),
      { numRuns: 2000 },
    );
    expect(known).toBeGreaterThan(1000);
  });
});
