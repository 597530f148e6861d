import type { Block, Operation, Value } from '../../ir/graph/graph.js';

/** What people look for: the weight a product uses, otherwise the value made. */
export function labelOf(operation: Operation, makers: ReadonlyMap<Value, Operation>): string {
  for (const operand of operation.operands) {
    let maker = makers.get(operand);
    // Rows of a weight.
    if (maker?.kind === 'slice') maker = makers.get(maker.operands[0] as Value);
    if (maker?.kind === 'weight' && (operand.type.shape.length > 1 || operation.operands.length < 3))
      return maker.attributes.name;
  }
  return operation.results[0]?.name ?? operation.kind;
}

/** A kernel's name says what it does: its operations, joined. */
export function hintOf(operation: Extract<Operation, { kind: 'fused' }>): string {
  const kinds = (operation.body as Block).operations
    .map(({ kind }) => kind)
    .filter((kind) => !['constant', 'reshape', 'broadcast', 'concat'].includes(kind));
  const short = kinds.length > 4 ? [...kinds.slice(0, 3), `${kinds.length - 3}more`] : kinds;
  return short.join('_');
}
