import { Dim } from '../../ir/dim.js';
import type { Operation, Value } from '../../ir/graph/graph.js';
import type { Cost } from '../../ir/graph/op-table.js';
import { opTable } from '../../ir/graph/ops/index.js';
import { storageBytes } from '../../ir/kernel/thread-interpret-memory.js';
import { elementCount, type KernelGroup } from '../kernel/from-group/group.js';

/** Operations of a group's arithmetic, and bytes when what it reads and writes goes through memory once. */
export function costOfGroup({ body, operands, results }: KernelGroup): { readonly flop: Dim; readonly bytes: Dim } {
  let flop = Dim.of(0);
  for (const operation of body.operations) flop = flop.add(operationCost(operation).flop);
  const layouts = [...operands, ...results];
  const bytes = [...body.parameters, ...body.results].reduce((sum, value, place) => {
    return sum.add(elementCount(value.type.shape).mul(storageBytes(layouts[place]?.storage ?? 'f32')));
  }, Dim.of(0));
  return { flop, bytes };
}

function operationCost(operation: Operation): Cost {
  const types = (values: readonly Value[]): Value['type'][] => values.map(({ type }) => type);
  const row = opTable[operation.kind] as { cost(operands: unknown, attributes: unknown, results: unknown): Cost };
  return row.cost(types(operation.operands), operation.attributes, types(operation.results));
}
