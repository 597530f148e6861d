import type { IndexCondition, TileExpression } from '../../../ir/kernel/tile.js';
import type { TileRegisters } from './elements.js';
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
  const fromConditions = (conditions: readonly IndexCondition[]): void => {
    for (const { left, right } of conditions) fromSymbols([...left.symbols, ...right.symbols]);
  };
  const seen = new Set<TileExpression>();
  const visit = (part: TileExpression): void => {
    if (seen.has(part)) return;
    seen.add(part);
    switch (part.kind) {
      case 'number':
        return;
      case 'tile':
        for (const axis of tiles.get(part.name)?.axes ?? []) used.add(axis);
        return;
      case 'index':
        return fromSymbols(part.index.symbols);
      case 'load':
        fromSymbols(part.index.symbols);
        return fromConditions(part.conditions);
      case 'unary':
      case 'convert':
        return visit(part.operand);
      case 'binary':
        visit(part.left);
        return visit(part.right);
      case 'select':
        return [part.condition, part.yes, part.no].forEach(visit);
      case 'when':
        fromConditions(part.conditions);
        return [part.yes, part.no].forEach(visit);
    }
  };
  visit(expression);
  return axes.filter((axis) => used.has(axis));
}
