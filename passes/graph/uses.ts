import type { Block, Operation, Value } from '../../ir/graph/graph.js';

/** Who uses the values of a block, blocks of loops in it included. Made in one walk; knows the block as it was then. */
export class Uses {
  private readonly counts = new Map<Value, number>();
  private readonly users = new Map<Value, Operation>();
  private readonly absorbed = new Set<Value>();

  constructor(block: Block) {
    this.visit(block);
  }

  /** Operands and results of blocks that are this value. */
  count(value: Value): number {
    return this.counts.get(value) ?? 0;
  }

  /** The operation that uses it, when that is one operand of one operation and nothing else. */
  onlyUser(value: Value): Operation | undefined {
    return this.count(value) === 1 ? this.users.get(value) : undefined;
  }

  /** Marks an operation whose results another one makes already. */
  absorb(operation: Operation): void {
    this.absorbed.add(operation.results[0] as Value);
  }

  isAbsorbed(operation: Operation): boolean {
    const [first] = operation.results;
    return first !== undefined && this.absorbed.has(first);
  }

  private visit(block: Block): void {
    for (const operation of block.operations) {
      for (const operand of operation.operands) {
        this.add(operand);
        this.users.set(operand, operation);
      }
      if (operation.kind === 'loop' && operation.body !== undefined) this.visit(operation.body);
    }
    for (const result of block.results) this.add(result);
  }

  private add(value: Value): void {
    this.counts.set(value, this.count(value) + 1);
  }
}
