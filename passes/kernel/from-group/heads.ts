import { Dim } from '../../../ir/dim.js';
import type { Block, Value } from '../../../ir/graph/graph.js';
import { opTable } from '../../../ir/graph/ops/index.js';
import type { Axis, IndexCondition, TileExpression, TileStatement } from '../../../ir/kernel/tile.js';
import { describeProduct, factorRounding } from './contraction.js';
import { headSizeOf, isRowOperation, multipliesBytes, productsOf } from './facts.js';
import { addressOf, lastDim } from './group.js';
import type { KernelGroup, OperandPrecision } from './group.js';
import type { IndexSpace } from './index-space.js';
import { rowStatistics } from './row.js';
import type { Scalarizer } from './scalarize.js';
import { number, tile } from './tile-expressions.js';

/**
 * Heads of a product's columns that belong together: queries, keys or values. `value` has a dimension of heads and one of
 * their size.
 */
interface Segment {
  readonly value: Value;
  /** The first head in the product. */
  readonly start: Dim;
  readonly heads: Dim;
}

/**
 * A product whose columns are heads: each segment of heads is normalised, turned and stored in its own way while its
 * accumulators are in registers. The tile has whole heads, so a norm is a sum over the tile's columns.
 *
 * Where a tile has a piece of a head only, the pieces are walked twice: sums are stored as they are while their squares add up, then
 * each invocation reads back what it stored itself, which needs no barrier, and normalises it. What no norm changes is stored once.
 */
export function buildHeads(
  group: KernelGroup,
  pull: Scalarizer,
  space: IndexSpace,
  operands: OperandPrecision,
  axes: readonly Axis[],
): TileStatement[] {
  const [product] = productsOf(group.body.operations);
  const [h, d] = [Dim.symbol('h'), Dim.symbol('d')];
  const column = h.mul(headSizeOf(group)).add(d);
  const { coordinates, a, rightOf } = describeProduct(product, pull, space, column);
  const leading = coordinates.slice(0, -1);
  pull.exchangeAlong('d');
  const whole = scaledProduct(group.body);
  pull.define(product.results[0] as Value, () => tile('acc'));
  const segments = listSegments(group.body, whole);
  for (const { value } of segments) pull.define(value, () => pull.elementOf(whole, coordinates));
  const { declare, add, finish } = shareSums(
    group.body.operations.filter(isRowOperation).flatMap((operation) => {
      const { start } = segmentOf(operation.results[0] as Value, segments, pull);
      return rowStatistics(operation, [...leading, h.sub(start)], 'd', pull);
    }),
  );
  const results = group.body.results.map((value, place) => {
    const segment = segmentOf(value, segments, pull);
    const layout = group.results[place];
    if (layout === undefined) throw new Error('internal: a result has no layout');
    const at = [...leading, h.sub(segment.start), d];
    const buffer = `r${place}`;
    const index = addressOf(space, layout, value.type.shape, at);
    const conditions = segments.length === 1 ? [] : within(h, segment);
    const store = (of: Value): TileStatement => {
      return { kind: 'store', buffer, axes: ['m', 'd'], index, conditions, value: pull.elementOf(of, at) };
    };
    return { value, source: segment.value, load: { kind: 'load', buffer, index, conditions: [] } as const, store };
  });
  const inBytes = multipliesBytes(group);
  const asFactor = inBytes ? (factor: TileExpression) => factor : factorRounding(product, operands);
  const right = rightOf(product.operands[1] as Value);
  const multiply: readonly TileStatement[] = [
    { kind: 'tile', name: 'acc', axes: ['m', 'd'], value: number(0) },
    { kind: 'contract', name: 'acc', over: 'k', ...(inBytes && { inBytes }), a: asFactor(a), b: asFactor(right) },
  ];
  if (axes.find(({ name }) => name === 'd')?.kind === 'whole') {
    return [...multiply, ...declare, ...add, ...finish, ...results.map(({ store, value }) => store(value))];
  }
  const first = results.map(({ store, source }) => store(source));
  const again = results.filter(({ value, source }) => value !== source);
  for (const { source, load } of again) pull.redefine(source, () => load);
  const second = again.map(({ store, value }) => store(value));
  return [
    ...declare,
    { kind: 'for', axis: 'd', body: [...multiply, ...add, ...first] },
    ...finish,
    { kind: 'for', axis: 'd', body: second },
  ];
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

/** The reshapes of a product or of the pieces of its split, each with its heads' place among all. */
function listSegments({ operations }: Block, whole: Value): readonly Segment[] {
  const starts = new Map<Value, Dim>([[whole, Dim.of(0)]]);
  const segments: Segment[] = [];
  for (const operation of operations) {
    if (operation.kind === 'split') {
      let start = Dim.of(0);
      for (const piece of operation.results) {
        starts.set(piece, start);
        start = start.add(lastDim(piece));
      }
    }
    const start = operation.kind === 'reshape' ? starts.get(operation.operands[0] as Value) : undefined;
    if (start === undefined) continue;
    const value = operation.results[0] as Value;
    const [heads, size] = value.type.shape.slice(-2) as [Dim, Dim];
    segments.push({ value, start: start.divideExactly(size) as Dim, heads });
  }
  return segments;
}

function segmentOf(value: Value, segments: readonly Segment[], pull: Scalarizer): Segment {
  const found = segments.find((segment) => segment.value === value);
  if (found !== undefined) return found;
  const source = pull.producerOf(value)?.operands[0];
  if (source === undefined) throw new Error(`internal: %${value.name} is not made of heads`);
  return segmentOf(source, segments, pull);
}
