import type { Block, Operation, Value } from '../../ir/graph/graph.js';
import { NameScope } from '../../ir/graph/names.js';

/** The block with the bodies of its `fused` operations in their places, those of its loops included. */
export function inlineFused(block: Block): Block {
  if (!hasFused(block)) return block;
  const names = new NameScope();
  reserveNames(block, names);
  return inlineIn(block, new Map(), names);
}

function hasFused({ operations }: Block): boolean {
  return operations.some(({ kind, body }) => kind === 'fused' || (body !== undefined && hasFused(body)));
}

function reserveNames(block: Block, names: NameScope): void {
  for (const { name } of block.parameters) names.reserve(name);
  for (const { results, kind, body } of block.operations) {
    for (const { name } of results) names.reserve(name);
    if (kind === 'loop' && body !== undefined) reserveNames(body, names);
  }
}

/** `renamed`: what stands for results of operations that were taken apart. */
function inlineIn(block: Block, renamed: Map<Value, Value>, names: NameScope): Block {
  const current = (value: Value): Value => renamed.get(value) ?? value;
  const operations = block.operations.flatMap((operation): Operation[] => {
    const operands = operation.operands.map(current);
    const { body } = operation;
    if (body === undefined) return [{ ...operation, operands }];
    if (operation.kind === 'loop') return [{ ...operation, operands, body: inlineIn(body, renamed, names) }];
    const inner = new Map<Value, Value>(body.parameters.map((parameter, at) => [parameter, operands[at] as Value]));
    const copies = body.operations.map((copied): Operation => {
      const results = copied.results.map(({ name, type }): Value => ({ name: names.fresh(name), type }));
      const renamedOperands = copied.operands.map((operand) => inner.get(operand) as Value);
      copied.results.forEach((result, at) => inner.set(result, results[at] as Value));
      return { ...copied, operands: renamedOperands, results };
    });
    operation.results.forEach((result, at) => renamed.set(result, inner.get(body.results[at] as Value) as Value));
    return copies;
  });
  return { ...block, operations, results: block.results.map(current) };
}
