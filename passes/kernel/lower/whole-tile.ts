import { Dim } from '../../../ir/dim.js';
import { add, both, integer } from '../../../ir/kernel/expressions.js';
import type { Expression } from '../../../ir/kernel/thread.js';
import type { IndexCondition, TileStatement } from '../../../ir/kernel/tile.js';
import type { AxisPoint, Coordinates } from './positions.js';

type Assignment = Extract<TileStatement, { readonly kind: 'assign' }>;

/**
 * Whether conditions hold for all coordinates of the workgroup's part of some axes: an expression alike for all invocations. Undefined
 * where it is not seen from the corners, because a side is no sum of axes times numbers.
 */
export function wholeTileHolds(
  conditions: readonly IndexCondition[],
  axes: readonly string[],
  at: Coordinates,
): Expression | undefined {
  let all: Expression | undefined;
  for (const condition of conditions) {
    const one = holdsAtWorst(condition, axes, at);
    if (one === undefined) return undefined;
    all = all === undefined ? one : both(all, one);
  }
  return all;
}

/** An assignment that changes only what lies past the extent of a loop axis: nothing in a whole chunk. */
export function changesOnlyPastEnd({ name, value }: Assignment, axis: string, at: Coordinates): boolean {
  if (value.kind !== 'when' || value.yes.kind !== 'tile' || value.yes.name !== name) return false;
  const { extent } = at.axis(axis);
  return value.conditions.every(
    ({ kind, left, right }) => kind === 'less' && left.equals(Dim.symbol(axis)) && right.equals(extent),
  );
}

/** The condition where the difference of its sides is largest, or smallest, in the tile. */
function holdsAtWorst(
  { kind, left, right }: IndexCondition,
  axes: readonly string[],
  at: Coordinates,
): Expression | undefined {
  const difference = left.sub(right);
  const corner = new Map<string, AxisPoint>();
  for (const symbol of difference.symbols) {
    if (at.isTerm(symbol)) return undefined;
    if (!at.isAxis(symbol)) continue;
    const slope = slopeAlong(difference, symbol);
    if (slope === undefined) return undefined;
    const atEnd = kind === 'less' ? slope > 0 : slope < 0;
    const last = axes.includes(symbol) && atEnd ? at.axis(symbol).tile - 1 : 0;
    corner.set(symbol, { coordinate: add(at.base(symbol), integer(last)) });
  }
  const list: readonly IndexCondition[] = [{ kind, left: difference, right: Dim.of(0) }];
  return at.conditions(list, corner, true);
}

/** The coefficient of a symbol that stands alone in its monomials. */
function slopeAlong(polynomial: Dim, symbol: string): number | undefined {
  let slope = 0;
  for (const { symbols, coefficient } of polynomial.monomials()) {
    if (!symbols.includes(symbol)) continue;
    if (symbols.length > 1) return undefined;
    slope += coefficient;
  }
  return slope;
}
