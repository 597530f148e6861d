import { Dim } from '../../ir/dim.js';
import type { IndexCondition, TileExpression, TileKernel, TileStatement } from '../../ir/kernel/tile.js';

/** Parameters become p0, p1, ... in order of appearance; returns new and old names. */
export function renameParameters(kernel: TileKernel): {
  readonly kernel: TileKernel;
  readonly names: readonly (readonly [string, string])[];
} {
  const parameters = new Set(kernel.parameters);
  const renames = new Map<string, Dim>();
  const names: [string, string][] = [];
  const rename = (index: Dim): Dim => {
    const missing = index.symbols.filter((symbol) => parameters.has(symbol) && !renames.has(symbol));
    for (const symbol of missing) {
      const name = `p${names.length}`;
      names.push([name, symbol]);
      renames.set(symbol, Dim.symbol(name));
    }
    return index.symbols.some((symbol) => renames.has(symbol)) ? index.substitute(Object.fromEntries(renames)) : index;
  };
  const renamed: TileKernel = {
    ...kernel,
    axes: kernel.axes.map((axis) => ({ ...axis, extent: rename(axis.extent) })),
    terms: kernel.terms.map((term) => {
      switch (term.kind) {
        case 'floor':
        case 'modulo':
          return { ...term, of: rename(term.of), by: rename(term.by) };
        case 'exclusive_or':
          return { ...term, of: rename(term.of) };
        case 'loaded':
          return { ...term, at: rename(term.at), limit: rename(term.limit) };
      }
    }),
    body: mapIndices(kernel.body, rename),
  };
  return { kernel: { ...renamed, parameters: names.map(([name]) => name) }, names };
}

/** Rewrites every index polynomial of the statements; subexpressions shared within a body stay shared. */
function mapIndices(body: readonly TileStatement[], rename: (index: Dim) => Dim): TileStatement[] {
  const done = new Map<TileExpression, TileExpression>();
  const conditions = (list: readonly IndexCondition[]): IndexCondition[] =>
    list.map(({ kind, left, right }) => ({ kind, left: rename(left), right: rename(right) }));
  const expression = (old: TileExpression): TileExpression => {
    const known = done.get(old);
    if (known !== undefined) return known;
    const made = rewrite(old);
    done.set(old, made);
    return made;
  };
  const rewrite = (old: TileExpression): TileExpression => {
    switch (old.kind) {
      case 'number':
      case 'tile':
        return old;
      case 'index':
        return { ...old, index: rename(old.index) };
      case 'load':
        return { ...old, index: rename(old.index), conditions: conditions(old.conditions) };
      case 'unary':
      case 'convert':
      case 'exchange':
        return { ...old, operand: expression(old.operand) };
      case 'binary':
        return { ...old, left: expression(old.left), right: expression(old.right) };
      case 'select':
        return { ...old, condition: expression(old.condition), yes: expression(old.yes), no: expression(old.no) };
      case 'when':
        return { ...old, conditions: conditions(old.conditions), yes: expression(old.yes), no: expression(old.no) };
    }
  };
  return body.map((statement): TileStatement => {
    switch (statement.kind) {
      case 'tile':
      case 'assign':
      case 'reduce':
        return { ...statement, value: expression(statement.value) };
      case 'contract':
        return { ...statement, a: expression(statement.a), b: expression(statement.b) };
      case 'for':
        return { ...statement, body: mapIndices(statement.body, rename) };
      case 'store':
        return {
          ...statement,
          index: rename(statement.index),
          conditions: conditions(statement.conditions),
          value: expression(statement.value),
        };
    }
  });
}
