import type { Block, Operation, Value } from '../../ir/graph/graph.js';

/**
 * Storage buffers that kernels bind. Numbers that kernels hold in themselves need none; vectors cut out of one weight share one
 * (`sharesBinding`).
 */
export class GroupBuffers {
  /** Constants of one number, which kernels hold in themselves. */
  readonly scalars: ReadonlyMap<Value, Operation>;
  /** Where a vector is cut out of a weight, the weight. */
  private readonly cutFrom = new Map<Value, Value>();

  constructor(block: Block) {
    const scalars = new Map<Value, Operation>();
    for (const operation of block.operations) {
      const [result] = operation.results as readonly [Value];
      if (operation.kind === 'constant' && operation.attributes.values.length === 1) scalars.set(result, operation);
      if (operation.kind === 'slice' && result.type.shape.length === 1) {
        this.cutFrom.set(result, operation.operands[0] as Value);
      }
    }
    this.scalars = scalars;
  }

  count(operations: readonly Operation[], results: readonly Value[]): number {
    const inside = new Set(operations.flatMap((operation) => operation.results));
    const outside = new Set(
      operations.flatMap(({ operands }) =>
        operands
          .filter((operand) => !inside.has(operand) && !this.scalars.has(operand))
          .map((operand) => this.cutFrom.get(operand) ?? operand),
      ),
    );
    return outside.size + results.length;
  }
}
