import type { Operation, Value } from '../../ir/graph/graph.js';
import type { GraphPass } from '../pass.js';
import { rewriteModule, type RewriteRule } from './rewriter.js';

/**
 * Computes equal expressions once: operations of the same kind on the same operands with the same attributes. A loop's
 * body uses what was computed before the loop; what it computes itself is not visible outside.
 *
 * Needs constants on one side (canonicalize), otherwise 1 + x and x + 1 stay two. Leaves loops and fused operations
 * themselves alone. Cost: linear in the module's text.
 */
export const eliminateCommonSubexpressions: GraphPass = {
  name: 'eliminate-common-subexpressions',
  description: 'compute equal expressions once',
  run: (module) => rewriteModule(module, createRule),
};

function createRule(): RewriteRule {
  const numbers = new Map<Value, number>();
  const numberOf = (value: Value): number => {
    const known = numbers.get(value);
    if (known !== undefined) return known;
    numbers.set(value, numbers.size);
    return numbers.size - 1;
  };
  const first = new Map<string, readonly Value[]>();
  return (operation, context) => {
    if (operation.kind === 'loop' || operation.kind === 'fused') return undefined;
    const key = `${operation.kind}(${operation.operands.map(numberOf).join()})${printAttributes(operation)}`;
    const results = first.get(key);
    // What an earlier loop's body computed is not visible here: its key belongs to this block from now on.
    if (results !== undefined && results.every((value) => context.block.sees(value))) return results;
    first.set(key, operation.results);
    return undefined;
  };
}

/** Attributes as text that differs when they do; -0 and NaN are told apart, a dimension is its canonical text. */
function printAttributes(operation: Operation): string {
  return JSON.stringify(operation.attributes, (_, value: unknown) => {
    if (typeof value !== 'number') return value;
    return Object.is(value, -0) ? '-0' : Number.isFinite(value) ? value : String(value);
  });
}
