import { Dim } from '../../../ir/dim.js';
import { largestQuantized, leastQuantized } from '../../../ir/quantize.js';
import type { Operation, Value } from '../../../ir/graph/graph.js';
import type { IndexCondition, TileExpression, TileStatement } from '../../../ir/kernel/tile.js';
import { isRowOperation, keepsRowsApart } from './facts.js';
import type { KernelGroup } from './group.js';
import type { IndexSpace } from './index-space.js';
import type { Scalarizer } from './scalarize.js';
import { binary, convert, indexNumber, number, tile, unary } from './tile-expressions.js';

/**
 * Statistics of each row operation of a group, in order, as tiles over rows; elements of its result are then pointwise.
 * Variances take a second pass over the row: E[x²] - E[x]² loses the digits FLUX.2's large activations need.
 */
export function buildRowStatistics(group: KernelGroup, pull: Scalarizer, space: IndexSpace): TileStatement[] {
  const isApart = keepsRowsApart(group);
  const operations = group.body.operations.filter(isRowOperation);
  return operations.flatMap((operation) => {
    const { shape } = (operation.operands[0] as Value).type;
    return rowStatistics(operation, rowCoordinates(shape, isApart, space), 'c', pull);
  });
}

/** The leading coordinates of the kernel's row. */
export function rowCoordinates(shape: readonly Dim[], isApart: boolean, space: IndexSpace): readonly Dim[] {
  const m = Dim.symbol('m');
  return isApart
    ? [...space.delinearize(m, shape.slice(0, -2)), Dim.symbol('h')]
    : space.delinearize(m, shape.slice(0, -1));
}

/**
 * The statistics of rows at the given leading coordinates, which run along an axis; a coordinate may stand for several columns of a row,
 * `places`.
 */
export function rowStatistics(
  operation: Operation,
  rows: readonly Dim[],
  axis: string,
  pull: Scalarizer,
  places: readonly Dim[] = [Dim.symbol(axis)],
): TileStatement[] {
  const source = operation.operands[0] as Value;
  const result = operation.results[0] as Value;
  const size = source.type.shape.at(-1) as Dim;
  const elements = places.map((place) => pull.elementOf(source, [...rows, place]));
  const count = indexNumber(size);
  const statistic = (
    hint: string,
    operator: 'add' | 'max',
    initial: number,
    valueOf: (x: TileExpression) => TileExpression,
  ): { name: string; statements: TileStatement[] } => {
    const name = pull.freshTile(hint);
    return {
      name,
      statements: [
        { kind: 'tile', name, axes: ['m'], value: number(initial) },
        ...elements.map((x): TileStatement => ({ kind: 'reduce', name, over: axis, operator, value: valueOf(x) })),
      ],
    };
  };
  const define = (
    rule: (x: TileExpression, index: readonly Dim[], conditions: readonly IndexCondition[]) => TileExpression,
  ): void => {
    pull.define(result, (index, conditions) => {
      const sameRow = rows.every((row, place) => row.equals(index[place] as Dim));
      if (!sameRow) throw new Error(`internal: ${operation.kind} is read in another row than its own`);
      return rule(pull.elementOf(source, index, conditions), index, conditions);
    });
  };
  const inverseRoot = (sum: string, eps: number): TileExpression =>
    unary('rsqrt', binary('add', binary('div', tile(sum), count), number(eps)));
  switch (operation.kind) {
    case 'layer_norm': {
      const sum = statistic('mean', 'add', 0, (x) => x);
      const mean: TileStatement = { kind: 'assign', name: sum.name, value: binary('div', tile(sum.name), count) };
      const squares = statistic('scale', 'add', 0, (x) => {
        const centred = binary('sub', x, tile(sum.name));
        return binary('mul', centred, centred);
      });
      const { eps } = operation.attributes;
      define((element) => binary('mul', binary('sub', element, tile(sum.name)), tile(squares.name)));
      return [
        ...sum.statements,
        mean,
        ...squares.statements,
        { kind: 'assign', name: squares.name, value: inverseRoot(squares.name, eps) },
      ];
    }
    case 'rms_norm': {
      const squares = statistic('scale', 'add', 0, (x) => binary('mul', x, x));
      const weight = operation.operands[1] as Value;
      define((element, index, conditions) => {
        const normal = binary('mul', element, tile(squares.name));
        return binary('mul', normal, pull.elementOf(weight, [index.at(-1) as Dim], conditions));
      });
      const { eps } = operation.attributes;
      return [...squares.statements, { kind: 'assign', name: squares.name, value: inverseRoot(squares.name, eps) }];
    }
    case 'softmax': {
      const largest = statistic('largest', 'max', -Infinity, (x) => x);
      const exponential = (element: TileExpression): TileExpression =>
        unary('exp', binary('sub', element, tile(largest.name)));
      const sum = statistic('sum', 'add', 0, exponential);
      define((element) => binary('div', exponential(element), tile(sum.name)));
      return [...largest.statements, ...sum.statements];
    }
    case 'quantize_rows': {
      // A maximum may leave NaN out: an infinite scale makes NaN of all products with the row.
      const magnitude = (x: TileExpression): TileExpression => {
        return { kind: 'select', condition: binary('equal', x, x), yes: unary('abs', x), no: number(Infinity) };
      };
      const { name, statements } = statistic('scale', 'max', 0, magnitude);
      const isZero = binary('less', tile(name), number(leastQuantized));
      const { dtype } = operation.attributes;
      const quotient = binary('div', tile(name), number(largestQuantized[dtype]));
      // Floats are rounded where they are stored or read.
      const rounded = (element: TileExpression): TileExpression => (dtype === 'i8' ? convert('i8', element) : element);
      define((element) => rounded(binary('div', element, tile(name))));
      pull.define(operation.results[1] as Value, () => tile(name));
      const scale: TileExpression = { kind: 'select', condition: isZero, yes: number(1), no: quotient };
      return [...statements, { kind: 'assign', name, value: scale }];
    }
    default:
      throw new Error(`internal: ${operation.kind} is no row operation`);
  }
}
