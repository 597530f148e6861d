import { Dim } from '../../../ir/dim.js';
import type { Operation, Value } from '../../../ir/graph/graph.js';
import type { TileExpression, TileStatement } from '../../../ir/kernel/tile.js';
import { statisticsAnchor } from './facts.js';
import type { StatisticsOperation } from './facts.js';
import { addressOf, elementCount, lastDim } from './group.js';
import type { KernelGroup, MemoryLayout } from './group.js';
import type { IndexSpace } from './index-space.js';
import type { Scalarizer } from './scalarize.js';
import { binary, indexNumber, number, roundTo, tile, unary } from './tile-expressions.js';

type OperationOfKind<K extends StatisticsOperation['kind']> = Extract<Operation, { kind: K }>;

/** What a statistics kernel is made from: where its element comes from and where its result goes. */
interface Parts {
  readonly pull: Scalarizer;
  readonly space: IndexSpace;
  readonly layout: MemoryLayout;
}

/** Reductions over some axes, and the two stages of GroupNorm's statistics: every result is reduced over `r`. */
export function buildStatistics(group: KernelGroup, pull: Scalarizer, space: IndexSpace): TileStatement[] {
  const anchor = statisticsAnchor(group);
  const layout = group.results[0];
  if (layout === undefined || group.body.results[0] !== anchor.results[0])
    throw new Error('internal: a statistics kernel stores its anchor only');
  const parts: Parts = { pull, space, layout };
  switch (anchor.kind) {
    case 'group_moments':
      return buildMoments(anchor, parts);
    case 'combine_moments':
      return buildCombination(anchor, parts);
    case 'reduce_sum':
    case 'reduce_mean':
    case 'reduce_max':
      return buildReduction(anchor, parts);
  }
}

/**
 * (mean, variance) of a row `m` of a picture and a group `g` of channels. The row stays whole in every address, so what a
 * launch reads of some rows is one window.
 */
function buildMoments(anchor: OperationOfKind<'group_moments'>, { pull, space, layout }: Parts): TileStatement[] {
  const source = anchor.operands[0] as Value;
  const result = anchor.results[0] as Value;
  const [batch, rows, groups] = result.type.shape as readonly [Dim, Dim, Dim, Dim];
  const size = lastDim(source).divideExactly(groups) as Dim;
  const between = source.type.shape.slice(2, -1);
  const g = Dim.symbol('g');
  const [picture, row] = space.delinearize(Dim.symbol('m'), [batch, rows]) as [Dim, Dim];
  const inside = space.delinearize(Dim.symbol('r'), [...between, size]);
  const channel = g.mul(size).add(inside.at(-1) as Dim);
  // Of x[B, C] there is one row, which is no axis of it.
  const place = source.type.shape.length === 2 ? [picture] : [picture, row];
  const x = pull.elementOf(source, [...place, ...inside.slice(0, -1), channel]);
  const count = indexNumber(elementCount(between).mul(size));
  const centred = binary('sub', x, tile('mean'));
  const axes = ['m', 'g'];
  const store = (which: number, value: TileExpression): TileStatement => ({
    kind: 'store',
    buffer: 'r0',
    axes,
    index: addressOf(space, layout, result.type.shape, [picture, row, g, Dim.of(which)]),
    conditions: [],
    value,
  });
  return [
    { kind: 'tile', name: 'mean', axes, value: number(0) },
    { kind: 'reduce', name: 'mean', over: 'r', operator: 'add', value: x },
    { kind: 'assign', name: 'mean', value: binary('div', tile('mean'), count) },
    { kind: 'tile', name: 'squares', axes, value: number(0) },
    { kind: 'reduce', name: 'squares', over: 'r', operator: 'add', value: binary('mul', centred, centred) },
    store(0, tile('mean')),
    store(1, binary('div', tile('squares'), count)),
  ];
}

/**
 * (mean, 1/deviation) of all rows `r` together, from theirs. All rows have equally many numbers, so the variance of all is
 * the average of the rows' variances and of the squared distances of their means from the mean of all.
 */
function buildCombination(anchor: OperationOfKind<'combine_moments'>, { pull, space, layout }: Parts): TileStatement[] {
  const source = anchor.operands[0] as Value;
  const result = anchor.results[0] as Value;
  const [batch, rows, groups] = source.type.shape as readonly [Dim, Dim, Dim, Dim];
  const [picture, group] = space.delinearize(Dim.symbol('m'), [batch, groups]) as [Dim, Dim];
  const element = (which: number): TileExpression =>
    pull.elementOf(source, [picture, Dim.symbol('r'), group, Dim.of(which)]);
  const count = indexNumber(rows);
  const distance = binary('sub', element(0), tile('mean'));
  const spread = binary('add', element(1), binary('mul', distance, distance));
  const store = (which: number, value: TileExpression): TileStatement => ({
    kind: 'store',
    buffer: 'r0',
    axes: ['m'],
    index: addressOf(space, layout, result.type.shape, [picture, group, Dim.of(which)]),
    conditions: [],
    value,
  });
  const variance = binary('div', tile('spread'), count);
  return [
    { kind: 'tile', name: 'mean', axes: ['m'], value: number(0) },
    { kind: 'reduce', name: 'mean', over: 'r', operator: 'add', value: element(0) },
    { kind: 'assign', name: 'mean', value: binary('div', tile('mean'), count) },
    { kind: 'tile', name: 'spread', axes: ['m'], value: number(0) },
    { kind: 'reduce', name: 'spread', over: 'r', operator: 'add', value: spread },
    store(0, tile('mean')),
    store(1, unary('rsqrt', binary('add', variance, number(anchor.attributes.eps)))),
  ];
}

function buildReduction(
  anchor: OperationOfKind<'reduce_sum' | 'reduce_mean' | 'reduce_max'>,
  { pull, space, layout }: Parts,
): TileStatement[] {
  const source = anchor.operands[0] as Value;
  const result = anchor.results[0] as Value;
  const { shape } = source.type;
  const m = Dim.symbol('m');
  const axes = anchor.attributes.axes.map((axis) => (axis < 0 ? axis + shape.length : axis));
  const kept = shape.map((_, axis) => axis).filter((axis) => !axes.includes(axis));
  const outer = space.delinearize(
    m,
    kept.map((axis) => shape[axis] as Dim),
  );
  const inner = space.delinearize(
    Dim.symbol('r'),
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
