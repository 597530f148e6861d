import type { Block, Operation, Value } from '../../ir/graph/graph.js';

/** What makes the numbers of encoded rows, and which products have them as their right factor. */
export class Decoders {
  private readonly makers = new Map<Value, Operation>();
  /** Results that something other than a product's right side reads. */
  private readonly readElsewhere = new Set<Value>();

  constructor(block: Block) {
    for (const result of block.results) this.readElsewhere.add(result);
    const visit = (operation: Operation): void => {
      if (operation.kind === 'dequantize') this.makers.set(operation.results[0] as Value, operation);
      operation.operands.forEach((operand, place) => {
        if (operation.kind !== 'matmul' || place !== 1) this.readElsewhere.add(operand);
      });
      // What a loop reads from outside of it is in memory.
      for (const inner of operation.body?.operations ?? []) {
        for (const operand of inner.operands) this.readElsewhere.add(operand);
        visit(inner);
      }
      for (const result of operation.body?.results ?? []) this.readElsewhere.add(result);
    };
    for (const operation of block.operations) visit(operation);
  }

  /** Nothing needs the numbers in memory. */
  isOnlyFactor({ kind, results }: Operation): boolean {
    return kind === 'dequantize' && !this.readElsewhere.has(results[0] as Value);
  }

  /** The operations with the makers of their products' right factors before them. */
  precede(operations: readonly Operation[]): readonly Operation[] {
    const makers = new Set<Operation>();
    for (const { kind, operands } of operations) {
      const maker = kind === 'matmul' ? this.makers.get(operands[1] as Value) : undefined;
      if (maker !== undefined) makers.add(maker);
    }
    return [...makers, ...operations];
  }
}
