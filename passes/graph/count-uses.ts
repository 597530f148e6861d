import type { Block, Value } from '../../ir/graph/graph.js';

/** How often values are operands or results of a block, and of the blocks in it. */
export function countUses(block: Block): Map<Value, number> {
  const uses = new Map<Value, number>();
  const add = (value: Value): void => void uses.set(value, (uses.get(value) ?? 0) + 1);
  const walk = (inner: Block): void => {
    for (const { operands, body } of inner.operations) {
      operands.forEach(add);
      if (body !== undefined) walk(body);
    }
    inner.results.forEach(add);
  };
  walk(block);
  return uses;
}
