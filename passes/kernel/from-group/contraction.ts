import { Dim } from '../../../ir/dim.js';
import type { Value } from '../../../ir/graph/graph.js';
import type { IndexCondition, TileExpression, TileStatement } from '../../../ir/kernel/tile.js';
import type { ProductOperation } from './facts.js';
import { blocksOf, multipliesBytes, productsOf } from './facts.js';
import { addressOf, sameShape } from './group.js';
import type { KernelGroup } from './group.js';
import type { IndexSpace } from './index-space.js';
import type { Scalarizer } from './scalarize.js';
import { convert, number, roundFactor, tile } from './tile-expressions.js';

/**
 * Products of the rows of one operand, an accumulator each, and what is made of them element by element. Several products walk
 * the contracted axis together, so that their left operand's elements are read once; for that they are one expression.
 */
export function buildContraction(group: KernelGroup, pull: Scalarizer, space: IndexSpace): TileStatement[] {
  const products = productsOf(group.body.operations);
  const [anchor] = products;
  const { coordinates, axes, a, rightOf } = describeProduct(anchor, pull, space, Dim.symbol('n'));
  const inBytes = multipliesBytes(group);
  const asFactor = factorRounding(anchor, inBytes);
  const left = asFactor(a);
  const accumulators = products.map((product, place) => {
    const name = products.length === 1 ? 'acc' : `acc${place}`;
    pull.define(product.results[0] as Value, () => tile(name));
    const b = asFactor(rightOf(product.operands[1] as Value));
    const contract: TileStatement = { kind: 'contract', name, over: 'k', ...(inBytes && { inBytes }), a: left, b };
    return { name, contract };
  });
  const anchors = new Set(products.map(({ results }) => results[0] as Value));
  const stores = group.body.results.map((value, place): TileStatement => {
    const { at, conditions } = locate(value, anchors, coordinates, pull);
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
  const contracts = accumulators.map(({ contract }) => contract);
  return [
    ...accumulators.map(({ name }): TileStatement => ({ kind: 'tile', name, axes, value: number(0) })),
    ...(contracts.length === 1 ? contracts : [{ kind: 'for', axis: 'k', body: contracts } as const]),
    ...stores,
  ];
}

/** What a product makes of its factors' elements before they are multiplied. Bytes are multiplied as they are, other integers as numbers. */
export function factorRounding(
  { operands, attributes }: ProductOperation,
  inBytes: boolean,
): (factor: TileExpression) => TileExpression {
  if (inBytes) return (factor) => factor;
  if (operands.every(({ type }) => type.dtype === 'i8')) return (factor) => convert('f32', factor);
  return (factor) => roundFactor(attributes.factors, factor);
}

/** A product's loops: where its result's elements are, the left factor and how a right one is read. */
export interface ProductLoops {
  readonly coordinates: readonly Dim[];
  readonly axes: readonly string[];
  readonly a: TileExpression;
  readonly rightOf: (right: Value) => TileExpression;
}

export function describeProduct(anchor: ProductOperation, pull: Scalarizer, space: IndexSpace, n: Dim): ProductLoops {
  const { shape } = (anchor.results[0] as Value).type;
  const [m, k] = [Dim.symbol('m'), Dim.symbol('k')];
  const [left, right] = anchor.operands as readonly [Value, Value];
  if (anchor.kind === 'conv2d') {
    const { stride, padding, phases } = anchor.attributes;
    const [, height, width] = left.type.shape as readonly [Dim, Dim, Dim, Dim];
    const filter = right.type.shape.slice(1);
    const [dy, dx, channel] = space.delinearize(k, filter) as [Dim, Dim, Dim];
    const z = Dim.symbol('z');
    // A workgroup has one position of all blocks.
    const [p, q] =
      phases === undefined ? [Dim.of(0), Dim.of(0)] : [space.floor(z, Dim.of(phases)), space.modulo(z, Dim.of(phases))];
    const [batch, row, column] = space.delinearize(m, blocksOf(anchor)) as [Dim, Dim, Dim];
    const y = row.add(p).mul(stride).add(dy).sub(padding[0]);
    const x = column.add(q).mul(stride).add(dx).sub(padding[1]);
    const guards: IndexCondition[] = [];
    const guard = (at: Dim, size: Dim, before: number, after: number): void => {
      if (before > 0) guards.push({ kind: 'not_less', left: at, right: Dim.of(0) });
      if (before > 0 || after > 0) guards.push({ kind: 'less', left: at, right: size });
    };
    guard(y, height, padding[0], padding[2]);
    guard(x, width, padding[1], padding[3]);
    const a = guardedElement(pull, left, [batch, y, x, channel], guards);
    if (phases === undefined) {
      const rightOf = (weight: Value): TileExpression => pull.elementOf(weight, [n, dy, dx, channel]);
      return { coordinates: [batch, row, column, n], axes: ['m', 'n'], a, rightOf };
    }
    const filters = z.mul(shape.at(-1) as Dim).add(n);
    return {
      coordinates: [batch, row.mul(phases).add(p), column.mul(phases).add(q), n],
      axes: ['z', 'm', 'n'],
      a,
      rightOf: (weight) => pull.elementOf(weight, [filters, dy, dx, channel]),
    };
  }
  const isBatched = right.type.shape.length > 2;
  const leading = isBatched
    ? [...space.delinearize(Dim.symbol('z'), shape.slice(0, -2)), m]
    : space.delinearize(m, shape.slice(0, -1));
  const rowIndex = broadcastTail(leading, left, 1);
  return {
    coordinates: [...leading, n],
    axes: isBatched ? ['z', 'm', 'n'] : ['m', 'n'],
    a: pull.elementOf(left, [...rowIndex, k]),
    rightOf: (weight) => {
      const batchIndex = broadcastTail(leading.slice(0, -1), weight, 2);
      return pull.elementOf(weight, [...batchIndex, ...(anchor.attributes.transposeB ? [n, k] : [k, n])]);
    },
  };
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
  anchors: ReadonlySet<Value>,
  coordinates: readonly Dim[],
  pull: Scalarizer,
): { readonly at: readonly Dim[]; readonly conditions: readonly IndexCondition[] } {
  if (anchors.has(value)) return { at: coordinates, conditions: [] };
  const producer = pull.producerOf(value);
  if (producer === undefined) throw new Error(`internal: %${value.name} does not come from the contraction`);
  const source = producer.operands.find((operand) => dependsOn(operand, anchors, pull));
  if (source === undefined) throw new Error(`internal: %${value.name} does not come from the contraction`);
  const { at, conditions } = locate(source, anchors, coordinates, pull);
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

function dependsOn(value: Value, anchors: ReadonlySet<Value>, pull: Scalarizer): boolean {
  if (anchors.has(value)) return true;
  return pull.producerOf(value)?.operands.some((operand) => dependsOn(operand, anchors, pull)) ?? false;
}
