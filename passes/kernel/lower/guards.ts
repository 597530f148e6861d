import type { IndexCondition, TileExpression } from '../../../ir/kernel/tile.js';
import { walkTileExpressions } from '../../../ir/kernel/tile-walk.js';

/** The conditions of loads and of choices with zero, each once: zero padding. */
export function guardsOf(expressions: readonly TileExpression[]): readonly IndexCondition[] {
  const found = new Map<string, IndexCondition>();
  walkTileExpressions(expressions, (part) => {
    if (part.kind !== 'load' && part.kind !== 'when') return;
    for (const guard of part.conditions) found.set(`${guard.kind} ${guard.left.text} ${guard.right.text}`, guard);
  });
  return [...found.values()];
}

/** The expression where the guards that `holds` names hold. What is one object stays one. */
export function withoutGuards(expression: TileExpression, holds: (guard: IndexCondition) => boolean): TileExpression {
  const done = new Map<TileExpression, TileExpression>();
  const kept = (guards: readonly IndexCondition[]): readonly IndexCondition[] =>
    guards.filter((guard) => !holds(guard));
  const visit = (part: TileExpression): TileExpression => {
    const known = done.get(part);
    if (known !== undefined) return known;
    const made = rewrite(part);
    done.set(part, made);
    return made;
  };
  const rewrite = (part: TileExpression): TileExpression => {
    switch (part.kind) {
      case 'number':
      case 'tile':
      case 'index':
        return part;
      case 'load':
        return { ...part, conditions: kept(part.conditions) };
      case 'unary':
      case 'convert':
      case 'exchange':
        return { ...part, operand: visit(part.operand) };
      case 'decode':
        return { ...part, fields: part.fields.map(visit) };
      case 'binary':
        return { ...part, left: visit(part.left), right: visit(part.right) };
      case 'select':
        return { ...part, condition: visit(part.condition), yes: visit(part.yes), no: visit(part.no) };
      case 'when': {
        const conditions = kept(part.conditions);
        return conditions.length === 0
          ? visit(part.yes)
          : { ...part, conditions, yes: visit(part.yes), no: visit(part.no) };
      }
    }
  };
  return visit(expression);
}
