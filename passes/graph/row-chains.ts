import { opTable } from '../../ir/graph/ops/index.js';
import { equalShapes } from '../../ir/graph/types.js';
import type { Block, Operation, Value } from '../../ir/graph/graph.js';
import { Uses } from './uses.js';

/** A norm of a value's rows and the elementwise operations of the same shape that it alone goes through. */
export interface RowChain {
  readonly source: Value;
  readonly links: readonly RowLink[];
}

/** One operation of a chain and which operand it takes from the one before. */
export interface RowLink {
  readonly operation: Operation;
  readonly at: number;
}

const norms: ReadonlySet<Operation['kind']> = new Set(['layer_norm', 'rms_norm']);
/** What makes no value in memory of its own. */
const placed: ReadonlySet<string> = new Set(['source', 'view', 'host', 'control']);

/**
 * Norms of what kernels of the block write, where a concatenation can say to which place: nothing else says it, as a result of the
 * block or another concatenation would. In the block's order.
 */
export function findChains(block: Block): readonly RowChain[] {
  const uses = new Uses(block);
  const makers = new Map<Value, Operation>();
  const readers = new Map<Value, Operation[]>();
  for (const operation of block.operations) {
    for (const result of operation.results) makers.set(result, operation);
    for (const operand of operation.operands) readers.set(operand, [...(readers.get(operand) ?? []), operation]);
  }
  return block.operations.flatMap((norm): readonly RowChain[] => {
    const [source] = norm.operands;
    if (!norms.has(norm.kind) || source === undefined || block.results.includes(source)) return [];
    const maker = makers.get(source);
    if (maker === undefined || maker.kind === 'concat' || placed.has(opTable[maker.kind].category)) return [];
    if (readers.get(source)?.some(({ kind }) => kind === 'concat') === true) return [];
    const links: RowLink[] = [{ operation: norm, at: 0 }];
    for (let value = norm.results[0] as Value; uses.count(value) === 1;) {
      const reader = readers.get(value)?.[0];
      const result = reader?.results[0];
      if (reader === undefined || result === undefined || opTable[reader.kind].category !== 'pointwise') break;
      if (!equalShapes(result.type.shape, source.type.shape)) break;
      links.push({ operation: reader, at: reader.operands.indexOf(value) });
      value = result;
    }
    return [{ source, links }];
  });
}
