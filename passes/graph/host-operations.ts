import type { Block, Operation, Value } from '../../ir/graph/graph.js';
import { opTable } from '../../ir/graph/ops/index.js';

/**
 * The operations of a function's body that run on the host: small, precision-critical ones (`host` in the op table), `iota`,
 * and the lookup of embedding rows, where both the table (a file) and the row numbers (an input) are at hand: a table of
 * more than a gigabyte then never goes to the device.
 */
export function findHostOperations(body: Block): ReadonlySet<Operation> {
  const found = new Set<Operation>();
  const known = new Set<Value>(body.parameters);
  for (const operation of body.operations) {
    const { kind, operands, results } = operation;
    if (kind === 'constant' || kind === 'weight') {
      for (const result of results) known.add(result);
      continue;
    }
    const allKnown = operands.every((operand) => known.has(operand));
    const isLookup = kind === 'gather' && isWeight(operands[0], body) && body.parameters.includes(operands[1] as Value);
    if (kind === 'iota' || isLookup || (opTable[kind].category === 'host' && allKnown)) {
      found.add(operation);
      // A lookup's rows are data of the network, not something further host work should wait for.
      if (!isLookup) for (const result of results) known.add(result);
    }
  }
  return found;
}

function isWeight(value: Value | undefined, body: Block): boolean {
  return body.operations.some(({ kind, results }) => kind === 'weight' && results[0] === value);
}
