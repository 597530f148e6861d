import { Dim } from '../../../ir/dim.js';
import type { Block, Operation, Value } from '../../../ir/graph/graph.js';
import { opTable } from '../../../ir/graph/ops/index.js';
import type { Axis, IndexCondition, TileExpression, TileStatement } from '../../../ir/kernel/tile.js';
import { describeProduct, factorRounding, type ProductLoops } from './contraction.js';
import { hasPairs, headSizeOf, isRowOperation, multipliesBytes, productsOf } from './facts.js';
import { addressOf, lastDim } from './group.js';
import type { KernelGroup } from './group.js';
import type { IndexSpace } from './index-space.js';
import { rowStatistics } from './row.js';
import type { Scalarizer } from './scalarize.js';
import { number, tile } from './tile-expressions.js';

/**
 * Heads of a product's columns that belong together: queries, keys or values, whose `value` has a dimension of heads and one of
 * their size; or pairs of a gate and what it is multiplied with.
 */
interface Segment {
  readonly value: Value;
  /** The first head in the product. */
  readonly start: Dim;
  readonly heads: Dim;
  /** Gate and partner. */
  readonly pair?: readonly [Value, Value];
}

/** Columns of a head that have an accumulator: all, or the first or the second ones of pairs. */
interface Columns {
  readonly accumulator: string;
  /** Of the coordinate d, in the head. */
  readonly place: Dim;
}

/** A result: `source` as its heads come from the product, `value` as it is meant. */
interface HeadResult {
  readonly value: Value;
  readonly source: Value;
  /** Where the columns of each accumulator are in it; of gated pairs there is one. */
  readonly places: readonly (readonly Dim[])[];
  readonly store: (of: Value, at: readonly Dim[]) => TileStatement;
  /** Reads what is stored. */
  readonly load: (at: readonly Dim[]) => TileExpression;
  readonly conditions: readonly IndexCondition[];
}

/**
 * A product whose columns are heads: each segment of heads is normalised, turned and stored in its own way while its
 * accumulators are in registers. The tile has whole heads, so a norm is a sum over the tile's columns. With gated pairs among the heads
 * there are two accumulators, for the first and the second columns of pairs, which rope turns and gates meet in.
 *
 * Where a tile has a piece of a head only, the pieces are walked twice: sums are stored as they are while their squares add up, then
 * each invocation reads back what it stored itself, which needs no barrier, and normalises it. What no norm changes is stored once.
 */
export function buildHeads(
  group: KernelGroup,
  pull: Scalarizer,
  space: IndexSpace,
  axes: readonly Axis[],
): TileStatement[] {
  const [product] = productsOf(group.body.operations);
  const size = headSizeOf(group);
  const h = Dim.symbol('h');
  const parts = listColumns(group);
  const columnOf = (place: Dim): Dim => h.mul(size).add(place);
  const loops = parts.map(({ place }) => describeProduct(product, pull, space, columnOf(place)));
  const [{ coordinates, a }] = loops as [ProductLoops];
  const leading = coordinates.slice(0, -1);
  if (parts.length === 1) pull.exchangeAlong('d');
  const whole = scaledProduct(group.body);
  pull.define(product.results[0] as Value, (index) => {
    const at = parts.find(({ place }) => columnOf(place).equals(index.at(-1) as Dim));
    if (at === undefined) throw new Error('internal: a column is read in another place than its own');
    return tile(at.accumulator);
  });
  const segments = listSegments(group.body, whole);
  const elementAt = (place: Dim): TileExpression => pull.elementOf(whole, [...leading, columnOf(place)]);
  for (const { value, pair } of segments) {
    if (pair === undefined) pull.define(value, (index) => elementAt(index.at(-1) as Dim));
    else pair.forEach((half, at) => pull.define(half, () => elementAt((parts[at] as Columns).place)));
  }
  const { declare, add, finish } = shareSums(
    group.body.operations.filter(isRowOperation).flatMap((operation) => {
      const { start } = segmentOf(operation.results[0] as Value, segments, pull);
      const places = parts.map(({ place }) => place);
      return rowStatistics(operation, [...leading, h.sub(start)], 'd', pull, places);
    }),
  );
  const results = group.body.results.map((value, which): HeadResult => {
    const segment = segmentOf(value, segments, pull);
    const layout = group.results[which];
    if (layout === undefined) throw new Error('internal: a result has no layout');
    const head = h.sub(segment.start);
    const { pair } = segment;
    const own = pair === undefined ? parts.map(({ place }) => [head, place]) : [[columnOfPair(head, size)]];
    const buffer = `r${which}`;
    const conditions = segments.length === 1 ? [] : within(h, segment);
    const addressAt = (at: readonly Dim[]): Dim => addressOf(space, layout, value.type.shape, at);
    return {
      value,
      source: pair === undefined ? segment.value : value,
      places: own.map((at) => [...leading, ...at]),
      store: (of, at) => {
        const index = addressAt(at);
        return { kind: 'store', buffer, axes: ['m', 'd'], index, conditions, value: pull.elementOf(of, at) };
      },
      load: (at) => ({ kind: 'load', buffer, index: addressAt(at), conditions }),
      conditions,
    };
  });
  const storesOf = ({ places, store }: HeadResult, of: Value): readonly TileStatement[] =>
    places.map((at) => store(of, at));
  const inBytes = multipliesBytes(group);
  const asFactor = factorRounding(product, inBytes);
  const left = asFactor(a);
  const contracts = loops.map(({ rightOf }, at): TileStatement => {
    const name = (parts[at] as Columns).accumulator;
    const b = asFactor(rightOf(product.operands[1] as Value));
    return { kind: 'contract', name, over: 'k', ...(inBytes && { inBytes }), a: left, b };
  });
  const multiply: readonly TileStatement[] = [
    ...parts.map(({ accumulator: name }): TileStatement => {
      return { kind: 'tile', name, axes: ['m', 'd'], value: number(0) };
    }),
    ...(contracts.length === 1 ? contracts : [{ kind: 'for', axis: 'k', body: contracts } as const]),
  ];
  if (axes.find(({ name }) => name === 'd')?.kind === 'whole') {
    return [...multiply, ...declare, ...add, ...finish, ...results.flatMap((one) => storesOf(one, one.value))];
  }
  const first = results.flatMap((one) => storesOf(one, one.source));
  const again = results.filter(({ value, source }) => value !== source);
  const second = again.map((one): TileStatement => {
    const { conditions } = one;
    const body = [...readHeads(one, pull), ...storesOf(one, one.value)];
    return { kind: 'for', axis: 'd', ...(conditions.length > 0 && { conditions }), body };
  });
  return [...declare, { kind: 'for', axis: 'd', body: [...multiply, ...add, ...first] }, ...finish, ...second];
}

/**
 * From now on a result's heads are what has been stored of them: both columns of pairs are read before one is stored, which the other's
 * value needs.
 */
function readHeads({ source, places, load }: HeadResult, pull: Scalarizer): readonly TileStatement[] {
  if (places.length === 1) {
    pull.redefine(source, load);
    return [];
  }
  const tiles = places.map((at) => ({ name: pull.freshTile('read'), at }));
  pull.redefine(source, (index) => {
    const found = tiles.find(({ at }) => (at.at(-1) as Dim).equals(index.at(-1) as Dim));
    if (found === undefined) throw new Error('internal: a column is read in another place than its own');
    return tile(found.name);
  });
  return tiles.map(({ name, at }) => ({ kind: 'tile', name, axes: ['m', 'd'], value: load(at) }));
}

/** Where a pair's gate and partner meet: a head has half as many pairs as columns. */
function columnOfPair(head: Dim, size: Dim): Dim {
  return head.mul(size.divideExactly(2) as Dim).add(Dim.symbol('d'));
}

function listColumns(group: KernelGroup): readonly Columns[] {
  const d = Dim.symbol('d');
  if (!hasPairs(group)) return [{ accumulator: 'acc', place: d }];
  return [0, 1].map((at) => ({ accumulator: `acc${at}`, place: d.mul(2).add(at) }));
}

interface Sums {
  readonly declare: readonly TileStatement[];
  /** Over the columns at hand. */
  readonly add: readonly TileStatement[];
  readonly finish: readonly TileStatement[];
}

/** Statistics in the parts that walking pieces of a row needs. Norms of one row, of which one holds, have one sum of squares. */
function shareSums(statistics: readonly TileStatement[]): Sums {
  const known = new Map<TileExpression, string>();
  const copies = new Map<string, string>();
  const add = statistics.filter((statement) => {
    if (statement.kind !== 'reduce') return false;
    const { value, name } = statement;
    const isSquare = value.kind === 'binary' && value.operator === 'mul' && value.left === value.right;
    const same = isSquare ? known.get(value.left) : undefined;
    if (same !== undefined) copies.set(name, same);
    else if (isSquare) known.set(value.left, name);
    return same === undefined;
  });
  const tiles = statistics.filter((statement) => statement.kind === 'tile');
  const copied = tiles.flatMap((statement) => {
    const from = copies.get(statement.name);
    return from === undefined ? [] : [{ ...statement, value: tile(from) }];
  });
  const finish = statistics.filter(({ kind }) => kind === 'assign');
  return { declare: tiles.filter(({ name }) => !copies.has(name)), add, finish: [...copied, ...finish] };
}

function within(h: Dim, { start, heads }: Segment): IndexCondition[] {
  const end: IndexCondition = { kind: 'less', left: h, right: start.add(heads) };
  return start.constant === 0 ? [end] : [{ kind: 'not_less', left: h, right: start }, end];
}

/** A product after the elementwise operations that scale it, before it is divided into heads. */
function scaledProduct({ operations }: Block): Value {
  let value = productsOf(operations)[0].results[0] as Value;
  for (const { kind, operands, results } of operations) {
    if (opTable[kind].category === 'pointwise' && operands.includes(value)) value = results[0] as Value;
  }
  return value;
}

/** The reshapes of a product or of the pieces of its split, each with its heads' place among all. Pairs are heads, too. */
function listSegments({ operations }: Block, whole: Value): readonly Segment[] {
  const starts = new Map<Value, Dim>([[whole, Dim.of(0)]]);
  const segments: Segment[] = [];
  for (const operation of operations) {
    if (operation.kind === 'split' && operation.operands[0] === whole) {
      let start = Dim.of(0);
      for (const piece of operation.results) {
        starts.set(piece, start);
        start = start.add(lastDim(piece));
      }
    }
    const start = operation.kind === 'reshape' ? starts.get(operation.operands[0] as Value) : undefined;
    if (start === undefined) continue;
    const value = operation.results[0] as Value;
    const pair = pairOf(value, operations);
    const [heads, size] = value.type.shape.slice(2) as [Dim, Dim];
    // Of pairs: as many of them as a head has, and the pair's two.
    const width = pair === undefined ? size : size.mul(2);
    segments.push({ value, start: start.divideExactly(width) as Dim, heads, ...(pair && { pair }) });
  }
  return segments;
}

/** Gate and partner, where columns are pairs of both. */
function pairOf(columns: Value, operations: readonly Operation[]): readonly [Value, Value] | undefined {
  const halves = operations.find(({ kind, operands }) => kind === 'split' && operands[0] === columns)?.results;
  const [gate, up] = (halves ?? []).map((half) => operations.find(({ operands }) => operands[0] === half)?.results[0]);
  return gate === undefined || up === undefined ? undefined : [gate, up];
}

function segmentOf(value: Value, segments: readonly Segment[], pull: Scalarizer): Segment {
  const found = segments.find((segment) => segment.value === value);
  if (found !== undefined) return found;
  const source = pull.producerOf(value)?.operands[0];
  if (source === undefined) throw new Error(`internal: %${value.name} is not made of heads`);
  return segmentOf(source, segments, pull);
}
