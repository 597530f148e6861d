import { Dim } from '../../../ir/dim.js';
import type { Value } from '../../../ir/graph/graph.js';
import type {
  Axis,
  IndexCondition,
  Schedule,
  TileExpression,
  TileKernel,
  TileStatement,
} from '../../../ir/kernel/tile.js';
import {
  boundsOf,
  expressionsOfTile,
  flattenTileStatements,
  indicesOfTerm,
  indicesOfTile,
  walkTileExpressions,
} from '../../../ir/kernel/tile-walk.js';
import { buildAttention } from './attention.js';
import { anchorOf, describeGroup, keepsRowsApart } from './facts.js';
import { addressOf, sameShape } from './group.js';
import type { KernelGroup, OperandPrecision } from './group.js';
import { IndexSpace } from './index-space.js';
import { buildRowStatistics, rowCoordinates } from './row.js';
import { buffersOf, Scalarizer } from './scalarize.js';
import { buildStatistics } from './statistics.js';
import { number, roundTo, tile } from './tile-expressions.js';

/**
 * Builds the tile form of a fused operation, without a name, under a schedule (which gives the tile sizes). The body of the kernel is found
 * by pulling each result's element through the group's operations to loads and to the anchor's accumulator.
 */
export function buildKernel(group: KernelGroup, schedule: Schedule, operands: OperandPrecision): TileKernel {
  const axes = describeGroup(group).axes.map((facts): Axis => {
    return { ...facts, tile: tileOf(schedule, facts.name) };
  });
  const space = new IndexSpace(axes);
  const pull = new Scalarizer(group, space);
  const body = buildBody(group, pull, space, operands);
  const used = new Set(axes.flatMap((axis) => axis.extent.symbols));
  const bound = new Set([...axes.map((axis) => axis.name), ...space.terms.map((term) => term.name)]);
  for (const symbol of symbolsOf(body, space)) if (!bound.has(symbol)) used.add(symbol);
  return {
    phase: 'tile',
    name: '',
    buffers: buffersOf(group),
    parameters: [...used].sort(),
    axes,
    terms: [...space.terms],
    body,
  };
}

/** Coordinates of an axis that a workgroup, or a chunk, covers. */
export function tileOf(schedule: Schedule, axis: string): number {
  const spread = schedule.spread[axis];
  if (spread === undefined) throw new Error(`internal: the schedule does not spread axis ${axis}`);
  return (spread.groups ?? 1) * spread.threads * spread.registers * spread.vector;
}

function buildBody(
  group: KernelGroup,
  pull: Scalarizer,
  space: IndexSpace,
  operands: OperandPrecision,
): TileStatement[] {
  switch (group.anchor) {
    case 'map':
      return storeResults(group, pull, ['m', 'n'], (result) => mapCoordinates(result, space));
    case 'row': {
      const statistics = buildRowStatistics(group, pull, space);
      const stores = storeResults(group, pull, ['m', 'c'], (result) => {
        return [...rowCoordinates(result.type.shape, keepsRowsApart(group), space), Dim.symbol('c')];
      });
      return [...statistics, { kind: 'for', axis: 'c', body: stores }];
    }
    case 'contraction':
      return buildContraction(group, pull, space, operands);
    case 'attention':
      return buildAttention(group, pull, space, operands);
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
  axes: readonly string[],
  coordinatesOf: (result: Value) => readonly Dim[],
): TileStatement[] {
  return group.body.results.map((result, place): TileStatement => {
    const coordinates = coordinatesOf(result);
    const layout = group.results[place];
    if (layout === undefined) throw new Error('internal: a result has no layout');
    return {
      kind: 'store',
      buffer: `r${place}`,
      axes,
      index: addressOf(pull.space, layout, result.type.shape, coordinates),
      conditions: [],
      value: pull.elementOf(result, coordinates),
    };
  });
}

function buildContraction(
  group: KernelGroup,
  pull: Scalarizer,
  space: IndexSpace,
  operands: OperandPrecision,
): TileStatement[] {
  const anchor = anchorOf(group, ['matmul', 'conv2d']);
  const result = anchor.results[0] as Value;
  const { shape } = result.type;
  const m = Dim.symbol('m');
  const n = Dim.symbol('n');
  const k = Dim.symbol('k');
  const [left, right] = anchor.operands as readonly [Value, Value];
  let coordinates: Dim[];
  let a: TileExpression;
  let b: TileExpression;
  if (anchor.kind === 'conv2d') {
    const { stride, padding } = anchor.attributes;
    const [, height, width] = left.type.shape as readonly [Dim, Dim, Dim, Dim];
    const filter = right.type.shape.slice(1);
    const [batch, row, column] = space.delinearize(m, shape.slice(0, -1)) as [Dim, Dim, Dim];
    const [dy, dx, channel] = space.delinearize(k, filter) as [Dim, Dim, Dim];
    const y = row.mul(stride).add(dy).sub(padding[0]);
    const x = column.mul(stride).add(dx).sub(padding[1]);
    const guards: IndexCondition[] = [];
    const guard = (at: Dim, size: Dim, before: number, after: number): void => {
      if (before > 0) guards.push({ kind: 'not_less', left: at, right: Dim.of(0) });
      if (before > 0 || after > 0) guards.push({ kind: 'less', left: at, right: size });
    };
    guard(y, height, padding[0], padding[2]);
    guard(x, width, padding[1], padding[3]);
    coordinates = [batch, row, column, n];
    a = guardedElement(pull, left, [batch, y, x, channel], guards);
    b = pull.elementOf(right, [n, dy, dx, channel]);
  } else {
    const isBatched = right.type.shape.length > 2;
    const leading = isBatched
      ? [...space.delinearize(Dim.symbol('z'), shape.slice(0, -2)), m]
      : space.delinearize(m, shape.slice(0, -1));
    coordinates = [...leading, n];
    const rowIndex = broadcastTail(leading, left, 1);
    a = pull.elementOf(left, [...rowIndex, k]);
    const batchIndex = broadcastTail(leading.slice(0, -1), right, 2);
    b = pull.elementOf(right, [...batchIndex, ...(anchor.attributes.transposeB ? [n, k] : [k, n])]);
  }
  const batchAxes = shape.length > 2 && anchor.kind === 'matmul' && right.type.shape.length > 2 ? ['z'] : [];
  const axes = [...batchAxes, 'm', 'n'];
  pull.define(result, () => tile('acc'));
  const stores = group.body.results.map((value, place): TileStatement => {
    const { at, conditions } = locate(value, result, coordinates, pull);
    const layout = group.results[place];
    if (layout === undefined) throw new Error('internal: a result has no layout');
    const index = addressOf(space, layout, value.type.shape, at);
    return {
      kind: 'store',
      buffer: `r${place}`,
      axes,
      index,
      conditions,
      value: pull.elementOf(value, at, conditions),
    };
  });
  return [
    { kind: 'tile', name: 'acc', axes, value: number(0) },
    { kind: 'contract', name: 'acc', over: 'k', a: roundTo(operands, a), b: roundTo(operands, b) },
    ...stores,
  ];
}

/** Zero padding guards loads; what is computed from them (an activation in the prologue) is guarded as a whole. */
function guardedElement(
  pull: Scalarizer,
  value: Value,
  index: readonly Dim[],
  guards: readonly IndexCondition[],
): TileExpression {
  const element = pull.elementOf(value, index, guards);
  if (guards.length === 0 || element.kind === 'load') return element;
  return { kind: 'when', conditions: guards, yes: element, no: number(0) };
}

/** Leading coordinates of an operand with fewer or broadcast leading dims; `tail` trailing dims are addressed apart. */
function broadcastTail(leading: readonly Dim[], operand: Value, tail: number): Dim[] {
  const own = operand.type.shape.slice(0, -tail);
  const offset = leading.length - own.length;
  return own.map((size, place) => (size.constant === 1 ? Dim.of(0) : (leading[place + offset] as Dim)));
}

/** Where a result's element lies, for the accumulator's coordinates: forward through pointwise operations and a split. */
function locate(
  value: Value,
  anchor: Value,
  coordinates: readonly Dim[],
  pull: Scalarizer,
): { readonly at: readonly Dim[]; readonly conditions: readonly IndexCondition[] } {
  if (value === anchor) return { at: coordinates, conditions: [] };
  const producer = pull.producerOf(value);
  if (producer === undefined) throw new Error(`internal: %${value.name} does not come from the contraction`);
  const source = producer.operands.find((operand) => dependsOn(operand, anchor, pull));
  if (source === undefined) throw new Error(`internal: %${value.name} does not come from the contraction`);
  const { at, conditions } = locate(source, anchor, coordinates, pull);
  switch (producer.kind) {
    case 'split': {
      const { axis, sizes } = producer.attributes;
      const place = producer.results.indexOf(value);
      const start = sizes.slice(0, place).reduce((sum, size) => sum.add(size), Dim.of(0));
      const here = at[axis] as Dim;
      const inside: IndexCondition[] = [{ kind: 'less', left: here, right: start.add(sizes[place] as Dim) }];
      if (start.constant !== 0) inside.unshift({ kind: 'not_less', left: here, right: start });
      return {
        at: at.map((index, i) => (i === axis ? index.sub(start) : index)),
        conditions: [...conditions, ...inside],
      };
    }
    default:
      if (!sameShape(value.type.shape, source.type.shape)) throw new Error('internal: an epilogue changes the shape');
      return { at, conditions };
  }
}

function dependsOn(value: Value, anchor: Value, pull: Scalarizer): boolean {
  if (value === anchor) return true;
  return pull.producerOf(value)?.operands.some((operand) => dependsOn(operand, anchor, pull)) ?? false;
}

/** Every symbol an index or bound in the kernel names, terms' own included. */
function symbolsOf(body: readonly TileStatement[], space: IndexSpace): Set<string> {
  const symbols = new Set<string>();
  const add = (index: Dim): void => index.symbols.forEach((symbol) => symbols.add(symbol));
  const seen = new Set<TileExpression>();
  for (const statement of flattenTileStatements(body)) {
    if (statement.kind === 'store') [statement.index, ...boundsOf(statement.conditions)].forEach(add);
    walkTileExpressions(expressionsOfTile(statement), (part) => indicesOfTile(part).forEach(add), seen);
  }
  for (const term of space.terms) indicesOfTerm(term).forEach(add);
  return symbols;
}
