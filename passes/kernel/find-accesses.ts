import type { Access, AccessMap } from '../../ir/kernel/access.js';
import type { TileExpression, TileKernel } from '../../ir/kernel/tile.js';
import {
  expressionsOfTile,
  flattenTileStatements,
  indicesOfTerm,
  walkTileExpressions,
} from '../../ir/kernel/tile-walk.js';

/** Every index a kernel reads or writes its buffers at, each once, with the terms and axes that they name. */
export function findAccesses(kernel: TileKernel): AccessMap {
  const found = new Map(kernel.buffers.map(({ name }) => [name, new Map<string, Access>()]));
  const add = (buffer: string, { index, conditions }: Access): void => {
    const guards = conditions.map(({ kind, left, right }) => `${kind} ${left.text} ${right.text}`);
    found.get(buffer)?.set([index.text, ...guards].join(' & '), { index, conditions });
  };
  const seen = new Set<TileExpression>();
  for (const statement of flattenTileStatements(kernel.body)) {
    if (statement.kind === 'store') add(statement.buffer, statement);
    const visit = (expression: TileExpression): void => {
      if (expression.kind === 'load') add(expression.buffer, expression);
    };
    walkTileExpressions(expressionsOfTile(statement), visit, seen);
  }
  for (const term of kernel.terms) if (term.kind === 'loaded') add(term.buffer, { index: term.at, conditions: [] });
  const buffers = [...found.values()].map((accesses) => [...accesses.values()]);
  return { ...keepNamed(kernel, buffers), buffers };
}

/** Only the axes of the grid and what addresses and bounds name: the rest of a kernel's arithmetic moves no window. */
function keepNamed(kernel: TileKernel, buffers: readonly (readonly Access[])[]): Pick<AccessMap, 'axes' | 'terms'> {
  const used = new Set<string>();
  for (const { index, conditions } of buffers.flat()) {
    for (const dim of [index, ...conditions.flatMap(({ left, right }) => [left, right])]) {
      for (const symbol of dim.symbols) used.add(symbol);
    }
  }
  // A term names only earlier ones.
  const terms = [...kernel.terms].reverse().filter((term) => {
    if (!used.has(term.name)) return false;
    for (const dim of indicesOfTerm(term)) for (const symbol of dim.symbols) used.add(symbol);
    return true;
  });
  const axes = kernel.axes.filter(({ name, kind }) => kind.startsWith('grid') || used.has(name));
  return { axes: axes.map(({ name, kind, extent }) => ({ name, kind, extent })), terms: terms.reverse() };
}
