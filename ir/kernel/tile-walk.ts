import type { Dim } from '../dim.js';
import { unreachable } from '../diagnostics.js';
import type { IndexCondition, IndexTerm, TileExpression, TileStatement } from './tile.js';

/** Direct operands of a tile expression, left to right. */
function operandsOfTile(expression: TileExpression): readonly TileExpression[] {
  switch (expression.kind) {
    case 'number':
    case 'tile':
    case 'index':
    case 'load':
      return [];
    case 'unary':
    case 'convert':
    case 'exchange':
      return [expression.operand];
    case 'binary':
      return [expression.left, expression.right];
    case 'select':
      return [expression.condition, expression.yes, expression.no];
    case 'when':
      return [expression.yes, expression.no];
    case 'decode':
      return expression.fields;
    default:
      return unreachable(expression, 'tile expression');
  }
}

/** Visits every expression below the given ones once; shared subexpressions are one object and are visited once. */
export function walkTileExpressions(
  roots: readonly TileExpression[],
  visit: (expression: TileExpression) => void,
  seen = new Set<TileExpression>(),
): void {
  for (const expression of roots) {
    if (seen.has(expression)) continue;
    seen.add(expression);
    visit(expression);
    walkTileExpressions(operandsOfTile(expression), visit, seen);
  }
}

/** The statements in order, those of loops after the loop. */
export function* flattenTileStatements(body: readonly TileStatement[]): Generator<TileStatement> {
  for (const statement of body) {
    yield statement;
    if (statement.kind === 'for') yield* flattenTileStatements(statement.body);
  }
}

/** The expressions of a statement itself; none for a loop. */
export function expressionsOfTile(statement: TileStatement): readonly TileExpression[] {
  switch (statement.kind) {
    case 'contract':
      return [statement.a, statement.b];
    case 'for':
      return [];
    case 'tile':
    case 'assign':
    case 'reduce':
    case 'store':
      return [statement.value];
    default:
      return unreachable(statement, 'tile statement');
  }
}

/** The polynomials of an expression itself, not of its operands. */
export function indicesOfTile(expression: TileExpression): readonly Dim[] {
  switch (expression.kind) {
    case 'index':
      return [expression.index];
    case 'load':
      return [expression.index, ...boundsOf(expression.conditions)];
    case 'when':
      return boundsOf(expression.conditions);
    case 'decode':
      return [expression.column];
    default:
      return [];
  }
}

/** Both sides of every condition. */
export function boundsOf(conditions: readonly IndexCondition[]): readonly Dim[] {
  return conditions.flatMap(({ left, right }) => [left, right]);
}

/** What a term is computed from. */
export function indicesOfTerm(term: IndexTerm): readonly Dim[] {
  switch (term.kind) {
    case 'floor':
    case 'modulo':
      return [term.of, term.by];
    case 'exclusive_or':
      return [term.of];
    case 'loaded':
      return [term.at, term.limit];
    default:
      return unreachable(term, 'index term');
  }
}
