import type { TileExpression } from '../../../ir/kernel/tile.js';
import { indicesOfTile, walkTileExpressions } from '../../../ir/kernel/tile-walk.js';
import type { TileRegisters } from './tile-registers.js';
import type { Coordinates } from './positions.js';

/** Of the given axes, those that the expression's value depends on. */
export function freeAxes(
  expression: TileExpression,
  axes: readonly string[],
  at: Coordinates,
  tiles: ReadonlyMap<string, TileRegisters>,
): readonly string[] {
  const used = new Set<string>();
  const fromSymbols = (symbols: readonly string[]): void => {
    for (const symbol of symbols) {
      const term = at.term(symbol);
      if (at.isAxis(symbol)) used.add(symbol);
      else if (term !== undefined) fromSymbols((term.kind === 'loaded' ? term.at : term.of).symbols);
    }
  };
  walkTileExpressions([expression], (part) => {
    if (part.kind === 'tile') for (const axis of tiles.get(part.name)?.axes ?? []) used.add(axis);
    for (const index of indicesOfTile(part)) fromSymbols(index.symbols);
  });
  return axes.filter((axis) => used.has(axis));
}
