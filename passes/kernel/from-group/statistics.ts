import { Dim } from '../../../ir/dim.js';
import type { Value } from '../../../ir/graph/graph.js';
import type { TileExpression, TileStatement } from '../../../ir/kernel/tile.js';
import { statisticsAnchor } from './facts.js';
import { addressOf, elementCount } from './group.js';
import type { KernelGroup } from './group.js';
import type { IndexSpace } from './index-space.js';
import type { Scalarizer } from './scalarize.js';
import { binary, indexNumber, number, roundTo, tile, unary } from './tile-expressions.js';

/** Reductions over some axes and the (mean, 1/deviation) pairs of GroupNorm: one row `m` a result, reduced over `r`. */
export function buildStatistics(group: KernelGroup, pull: Scalarizer, space: IndexSpace): TileStatement[] {
  const anchor = statisticsAnchor(group);
  const source = anchor.operands[0] as Value;
  const result = anchor.results[0] as Value;
  const layout = group.results[0];
  if (layout === undefined || group.body.results[0] !== result)
    throw new Error('internal: a statistics kernel stores its anchor only');
  const m = Dim.symbol('m');
  const r = Dim.symbol('r');
  const { shape } = source.type;
  if (anchor.kind === 'group_statistics') {
    const { groups, eps } = anchor.attributes;
    const size = (shape.at(-1) as Dim).divideExactly(groups) as Dim;
    const middle = shape.slice(1, -1);
    const [batch, place] = space.delinearize(m, [shape[0] as Dim, Dim.of(groups)]) as [Dim, Dim];
    const inside = space.delinearize(r, [...middle, size]);
    const channel = place.mul(size).add(inside.at(-1) as Dim);
    const x = pull.elementOf(source, [batch, ...inside.slice(0, -1), channel]);
    const count = indexNumber(elementCount(middle).mul(size));
    const centred = binary('sub', x, tile('mean'));
    const store = (which: number, value: TileExpression): TileStatement => ({
      kind: 'store',
      buffer: 'r0',
      axes: ['m'],
      index: addressOf(space, layout, result.type.shape, [batch, place, Dim.of(which)]),
      conditions: [],
      value,
    });
    return [
      { kind: 'tile', name: 'mean', axes: ['m'], value: number(0) },
      { kind: 'reduce', name: 'mean', over: 'r', operator: 'add', value: x },
      { kind: 'assign', name: 'mean', value: binary('div', tile('mean'), count) },
      { kind: 'tile', name: 'squares', axes: ['m'], value: number(0) },
      { kind: 'reduce', name: 'squares', over: 'r', operator: 'add', value: binary('mul', centred, centred) },
      store(0, tile('mean')),
      store(1, unary('rsqrt', binary('add', binary('div', tile('squares'), count), number(eps)))),
    ];
  }
  const axes = anchor.attributes.axes.map((axis) => (axis < 0 ? axis + shape.length : axis));
  const kept = shape.map((_, axis) => axis).filter((axis) => !axes.includes(axis));
  const outer = space.delinearize(
    m,
    kept.map((axis) => shape[axis] as Dim),
  );
  const inner = space.delinearize(
    r,
    axes.map((axis) => shape[axis] as Dim),
  );
  const index = shape.map(
    (_, axis) => (axes.includes(axis) ? inner[axes.indexOf(axis)] : outer[kept.indexOf(axis)]) as Dim,
  );
  const operator = anchor.kind === 'reduce_max' ? 'max' : 'add';
  const count = indexNumber(elementCount(axes.map((axis) => shape[axis] as Dim)));
  const at = space.delinearize(m, result.type.shape);
  return [
    { kind: 'tile', name: 'sum', axes: ['m'], value: number(operator === 'max' ? -Infinity : 0) },
    { kind: 'reduce', name: 'sum', over: 'r', operator, value: pull.elementOf(source, index) },
    {
      kind: 'store',
      buffer: 'r0',
      axes: ['m'],
      index: addressOf(space, layout, result.type.shape, at),
      conditions: [],
      value: roundTo(
        result.type.dtype,
        anchor.kind === 'reduce_mean' ? binary('div', tile('sum'), count) : tile('sum'),
      ),
    },
  ];
}
