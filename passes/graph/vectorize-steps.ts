import { Dim } from '../../ir/dim.js';
import type { OpAttributes } from '../../ir/graph/attributes.js';
import type { BlockBuilder, PlainOpKind } from '../../ir/graph/builder.js';
import type { Operation, Value } from '../../ir/graph/graph.js';
import type { GraphPass } from '../pass.js';
import { rewriteModule, type RewriteContext } from './rewriter.js';
import { listSymbols } from './symbols.js';
import { stackAttributes } from './vectorize-steps/row-parallel.js';

/**
 * Computes for all iterations at once, before the loop, what depends on the loop only through a row of a table:
 * `slice(x, axis 0, start = step, size 1)` with x from outside. The time embedding, its MLP and the modulation of all
 * steps become one matrix product each with `count` rows, of which the body takes its row.
 *
 * Legality: an operation may be stacked when its result's row i needs row i of each stacked operand and nothing of the
 * other rows; passes/graph/vectorize-steps/row-parallel.ts says so for every kind. Operations that would grow more than
 * their stacked operands (broadcasts to many tokens) stay in the body, so that the table is as large as its inputs or
 * what weights make of them.
 *
 * Needs invariants outside the loop already (hoist-loop-invariants). Leaves rows that nobody uses to
 * eliminate-dead-code and slices of slices to canonicalize. Cost: linear; `count` rows of memory for each value that
 * the body takes rows of.
 */
export const vectorizeSteps: GraphPass = {
  name: 'vectorize-steps',
  description: 'compute for all steps at once what depends only on the step',
  run: (module) =>
    rewriteModule(module, () => {
      const tables = new Map<Value, Table>();
      return (operation, context) => {
        const { parent } = context.block.scope;
        if (context.loop === undefined || parent === undefined) return undefined;
        if (operation.kind === 'slice') {
          const table = findTable(operation, context, context.loop, parent);
          if (table !== undefined) {
            tables.set(operation.results[0] as Value, table);
            return undefined;
          }
        }
        return stack(operation, context, context.loop, parent, tables);
      };
    }),
};

/** The rows of all iterations, [count, ...], in the block around the loop. Made when first asked for. */
type Table = () => Value;

/** The table a slice takes row `symbol + offset` of. */
function findTable(
  operation: Operation & { readonly kind: 'slice' },
  context: RewriteContext,
  loop: OpAttributes['loop'],
  parent: BlockBuilder,
): Table | undefined {
  const { axis, start, size } = operation.attributes;
  const [x] = operation.operands as readonly [Value];
  const offset = start.sub(Dim.symbol(loop.symbol));
  if (axis !== 0 || size.constant !== 1 || offset.symbols.includes(loop.symbol) || !parent.sees(x)) return undefined;
  let rows: Value | undefined;
  return () => {
    if (rows !== undefined) return rows;
    const whole = offset.constant === 0 && (x.type.shape[0] as Dim).equals(loop.count);
    rows = whole ? x : context.emitAround(parent, 'slice', [x], { axis, start: offset, size: loop.count }, [`${x.name}.rows`])[0]; // prettier-ignore
    return rows as Value;
  };
}

/** Emits the operation over tables around the loop and rows of its results in the body. */
function stack(
  operation: Operation,
  context: RewriteContext,
  loop: OpAttributes['loop'],
  parent: BlockBuilder,
  tables: Map<Value, Table>,
): readonly Value[] | undefined {
  const stacked = operation.operands.map((operand) => tables.has(operand));
  if (!stacked.includes(true) || listSymbols(operation).has(loop.symbol)) return undefined;
  if (!operation.operands.every((operand, at) => stacked[at] === true || parent.sees(operand))) return undefined;
  const attributes = stackAttributes(operation, stacked, loop.count);
  if (attributes === undefined) return undefined;
  const operands = operation.operands.map((operand) => tables.get(operand)?.() ?? operand);
  const names = operation.results.map((result) => `${result.name}.all`);
  // The attributes are those of the operation's kind, or of the same kind with `count` in place of 1.
  const results = context.emitAround(parent, operation.kind as PlainOpKind, operands, attributes as never, names);
  const start = Dim.symbol(loop.symbol);
  operation.results.forEach((result, at) => {
    const table = results[at] as Value;
    tables.set(result, () => table);
    context.define([result], 'slice', [table], { axis: 0, start, size: Dim.of(1) });
  });
  return operation.results;
}
