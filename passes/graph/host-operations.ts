import type { Block, Operation, Value } from '../../ir/graph/graph.js';
import { opTable } from '../../ir/graph/ops/index.js';

/**
 * The operations of a function's body that run on the host: small, precision-critical ones (`host` in the op table), whatever
 * of the inputs prepares their operands, `iota`, and the lookup of embedding rows, where both the table (a file) and the
 * row numbers (an input) are at hand: a table of more than a gigabyte then never goes to the device.
 */
export function findHostOperations(body: Block): ReadonlySet<Operation> {
  const makers = new Map<Value, Operation>();
  const fromInputs = new Set<Value>(body.parameters);
  const weights = new Set<Value>();
  const found = new Set<Operation>();
  const need = (operation: Operation): void => {
    if (found.has(operation) || operation.kind === 'constant' || operation.kind === 'weight') return;
    found.add(operation);
    for (const operand of operation.operands) {
      const maker = makers.get(operand);
      if (maker !== undefined) need(maker);
    }
  };
  for (const operation of body.operations) {
    const { kind, operands, results } = operation;
    for (const result of results) makers.set(result, operation);
    if (kind === 'weight') weights.add(results[0] as Value);
    const known = kind !== 'weight' && kind !== 'loop' && operands.every((operand) => fromInputs.has(operand));
    if (known) for (const result of results) fromInputs.add(result);
    const isLookup = kind === 'gather' && weights.has(operands[0] as Value) && fromInputs.has(operands[1] as Value);
    if (kind === 'iota' || isLookup || (known && opTable[kind].category === 'host')) need(operation);
  }
  return found;
}
