import { Dim } from '../../../ir/dim.js';
import type { Value } from '../../../ir/graph/graph.js';
import type { StorageType } from '../../../ir/kernel/thread.js';
import type { Axis, Schedule, TileBuffer, TileExpression, TileKernel, TileStatement } from '../../../ir/kernel/tile.js';
import {
  boundsOf,
  expressionsOfTile,
  flattenTileStatements,
  indicesOfTerm,
  indicesOfTile,
  walkTileExpressions,
} from '../../../ir/kernel/tile-walk.js';
import { buildAttention } from './attention.js';
import { buildContraction } from './contraction.js';
import { describeGroup, hasHeads, keepsRowsApart } from './facts.js';
import { addressOf } from './group.js';
import type { KernelGroup } from './group.js';
import { buildHeads } from './heads.js';
import { IndexSpace } from './index-space.js';
import { buildRowStatistics, rowCoordinates } from './row.js';
import { buffersOf, Scalarizer } from './scalarize.js';
import { buildStatistics } from './statistics.js';

/**
 * Builds the tile form of a fused operation, without a name, under a schedule (which gives the tile sizes). The body of the kernel is found
 * by pulling each result's element through the group's operations to loads and to the anchor's accumulator.
 */
export function buildKernel(group: KernelGroup, schedule: Schedule): TileKernel {
  const axes = describeGroup(group).axes.map((facts): Axis => {
    const tile = tileOf(schedule, facts.name);
    // What a tile does not hold is walked in pieces.
    const isWhole = facts.kind === 'whole' && facts.extent.equals(tile);
    return { ...facts, kind: facts.kind !== 'whole' || isWhole ? facts.kind : 'loop', tile };
  });
  const space = new IndexSpace(axes);
  const pull = new Scalarizer(group, space);
  const body = buildBody(group, pull, space, axes);
  const used = new Set(axes.flatMap((axis) => axis.extent.symbols));
  const bound = new Set([...axes.map((axis) => axis.name), ...space.terms.map((term) => term.name)]);
  for (const symbol of symbolsOf(body, space)) if (!bound.has(symbol)) used.add(symbol);
  return {
    phase: 'tile',
    name: '',
    buffers: buffersOf(group).map((buffer) => markReadBack(buffer, body)),
    parameters: [...used].sort(),
    axes,
    terms: [...space.terms],
    body,
  };
}

/** A result that the kernel loads again is not only written. */
function markReadBack(buffer: TileBuffer, body: readonly TileStatement[]): TileBuffer {
  if (buffer.access === 'read') return buffer;
  let isRead = false;
  for (const statement of flattenTileStatements(body)) {
    walkTileExpressions(expressionsOfTile(statement), (part) => {
      isRead ||= part.kind === 'load' && part.buffer === buffer.name;
    });
  }
  return isRead ? { ...buffer, access: 'read_write' } : buffer;
}

/** Coordinates of an axis that a workgroup, or a chunk, covers. */
export function tileOf(schedule: Schedule, axis: string): number {
  const spread = schedule.spread[axis];
  if (spread === undefined) throw new Error(`internal: the schedule does not spread axis ${axis}`);
  return (spread.groups ?? 1) * spread.threads * spread.registers * spread.vector;
}

function buildBody(group: KernelGroup, pull: Scalarizer, space: IndexSpace, axes: readonly Axis[]): TileStatement[] {
  switch (group.anchor) {
    case 'map':
      return storeResults(group, pull, (result) => ({ axes: ['m', 'n'], coordinates: mapCoordinates(result, space) }));
    case 'row': {
      const statistics = buildRowStatistics(group, pull, space);
      const rows = (result: Value): readonly Dim[] => rowCoordinates(result.type.shape, keepsRowsApart(group), space);
      const isScale = (result: Value): boolean => {
        const producer = pull.producerOf(result);
        return producer?.kind === 'quantize_rows' && producer.results[1] === result;
      };
      const stores = storeResults(group, pull, (result) =>
        isScale(result)
          ? { axes: ['m'], coordinates: [...rows(result), Dim.of(0)] }
          : { axes: ['m', 'c'], coordinates: [...rows(result), Dim.symbol('c')] },
      );
      const [scales, elements] = [true, false].map((one) =>
        stores.filter((_, place) => isScale(group.body.results[place] as Value) === one),
      ) as [TileStatement[], TileStatement[]];
      return [...statistics, ...scales, { kind: 'for', axis: 'c', body: elements }];
    }
    case 'contraction':
      return hasHeads(group) ? buildHeads(group, pull, space, axes) : buildContraction(group, pull, space);
    case 'attention':
      return buildAttention(group, pull, space);
    case 'statistics':
      return buildStatistics(group, pull, space);
  }
}

function mapCoordinates(result: Value, space: IndexSpace): Dim[] {
  const { shape } = result.type;
  if (shape.length === 0) return [];
  return [...space.delinearize(Dim.symbol('m'), shape.slice(0, -1)), Dim.symbol('n')];
}

function storeResults(
  group: KernelGroup,
  pull: Scalarizer,
  placeOf: (result: Value) => { readonly axes: readonly string[]; readonly coordinates: readonly Dim[] },
): TileStatement[] {
  return group.body.results.map((result, place): TileStatement => {
    const { axes, coordinates } = placeOf(result);
    const layout = group.results[place];
    if (layout === undefined) throw new Error('internal: a result has no layout');
    return {
      kind: 'store',
      buffer: `r${place}`,
      axes,
      index: addressOf(pull.space, layout, result.type.shape, coordinates),
      conditions: [],
      value: unrounded(pull.elementOf(result, coordinates), layout.storage),
    };
  });
}

/** A store rounds to the type in memory itself. */
function unrounded(element: TileExpression, storage: StorageType): TileExpression {
  return element.kind === 'convert' && element.to === 'f8e4m3' && storage === 'f8e4m3' ? element.operand : element;
}

/** Every symbol an index or bound in the kernel names, terms' own included. */
function symbolsOf(body: readonly TileStatement[], space: IndexSpace): Set<string> {
  const symbols = new Set<string>();
  const add = (index: Dim): void => index.symbols.forEach((symbol) => symbols.add(symbol));
  const seen = new Set<TileExpression>();
  for (const statement of flattenTileStatements(body)) {
    if (statement.kind === 'for') boundsOf(statement.conditions ?? []).forEach(add);
    if (statement.kind === 'store') [statement.index, ...boundsOf(statement.conditions)].forEach(add);
    walkTileExpressions(expressionsOfTile(statement), (part) => indicesOfTile(part).forEach(add), seen);
  }
  for (const term of space.terms) indicesOfTerm(term).forEach(add);
  return symbols;
}
