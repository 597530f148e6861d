import { isFloat } from '../../ir/dtype.js';
import type { OpKind } from '../../ir/graph/attributes.js';
import type { Block, Operation, TensorType, Value } from '../../ir/graph/graph.js';
import { opTable } from '../../ir/graph/ops/index.js';
import { isProduct } from '../../ir/graph/products.js';
import { bytesOfVector } from '../../ir/kernel/bytes.js';
import type { HalfType } from '../../ir/kernel/thread.js';

/**
 * Values of a fused function that nothing but products read whose factors are rounded to 16 bits: kept in those, they cost half the memory
 * traffic and go into matrix fragments as they are.
 *
 * In bf16, what `quantize_rows` reads is narrow as well. That rounds it twice, first to 8 bits of fraction and then to 4, which is next
 * to nothing: the golden cases in fp8 are off by 0.024 to 0.123 either way (mean of 13: 0.070 with, 0.071 without). Not in f16, beyond
 * whose 65504 what is quantised may well go: rows are divided by their scales only when they are read.
 *
 * Where a store is a word or more (`canStoreOne` is false), rows of values that are no whole vectors stay wide.
 *
 * Values that views and concatenations put into one storage are narrow together or not at all. What a function takes or
 * returns, a loop carries or the host makes stays wide. Cost: linear in operations and uses.
 */
export function findNarrowValues(body: Block, halves: HalfType, canStoreOne: boolean): ReadonlySet<Value> {
  const isStored = ({ dtype, shape }: TensorType): boolean =>
    isFloat(dtype) && dtype !== 'f8e4m3' && (canStoreOne || shape.at(-1)?.isMultipleOf(4) === true);
  const rounds = (operation: Operation, place: number): boolean => {
    if (isProduct(operation)) return place < 3 && operation.attributes.factors === halves;
    return operation.kind === 'quantize_rows' && halves === 'bf16';
  };
  const search = new NarrowSearch(rounds, isStored, () => true);
  search.visit(body);
  return search.finish();
}

/**
 * Values of i8 numbers that nothing but products read, whose factors are bytes in memory, not words: rows of whole vectors of them. As
 * `findNarrowValues` otherwise.
 */
export function findByteValues(body: Block): ReadonlySet<Value> {
  const isWhole = ({ dtype, shape }: TensorType): boolean =>
    dtype === 'i8' && shape.at(-1)?.isMultipleOf(bytesOfVector) === true;
  const search = new NarrowSearch(({ kind }, place) => kind === 'matmul' && place < 2, isWhole, isWhole);
  search.visit(body);
  return search.finish();
}

/** What only moves elements on their way into a product. */
const moving: ReadonlySet<OpKind> = new Set<OpKind>(['reshape', 'transpose', 'slice', 'broadcast', 'upsample_nearest']);

class NarrowSearch {
  /** Union-find of the values that share a storage. */
  private readonly parents = new Map<Value, Value>();
  private readonly wide = new Set<Value>();
  private readonly made: Value[] = [];

  /**
   * @param rounds whether an operation rounds an operand to the narrow type, or has it so, before it does anything with it
   * @param isStored whether what a kernel makes can be stored narrow
   * @param isMoved whether what views and concatenations make can be
   */
  constructor(
    private readonly rounds: (operation: Operation, place: number) => boolean,
    private readonly isStored: (type: TensorType) => boolean,
    private readonly isMoved: (type: TensorType) => boolean,
  ) {}

  visit(block: Block): void {
    block.parameters.forEach((value) => this.widen(value));
    for (const operation of block.operations) this.visitOperation(operation);
    block.results.forEach((value) => this.widen(value));
  }

  finish(): ReadonlySet<Value> {
    const wideRoots = new Set([...this.wide].map((value) => this.root(value)));
    return new Set(this.made.filter((value) => !wideRoots.has(this.root(value))));
  }

  private visitOperation(operation: Operation): void {
    const { kind, operands, results } = operation;
    if (kind === 'fused') {
      const inner = operation.body as Block;
      operands.forEach((operand, place) => {
        if (!this.mayBeNarrow(inner.parameters[place] as Value, inner)) this.widen(operand);
      });
      for (const result of results) {
        if (this.isStored(result.type)) this.made.push(result);
        else this.widen(result);
      }
      return;
    }
    if (kind === 'concat' || opTable[kind].category === 'view') {
      for (const operand of operands) for (const result of results) this.join(operand, result);
      this.made.push(...results);
      for (const result of results) if (!this.isMoved(result.type)) this.widen(result);
      return;
    }
    if (operation.body !== undefined) this.visit(operation.body);
    [...operands, ...results].forEach((value) => this.widen(value));
  }

  private widen(value: Value): void {
    this.wide.add(value);
  }

  private join(a: Value, b: Value): void {
    const [first, second] = [this.root(a), this.root(b)];
    if (first !== second) this.parents.set(first, second);
  }

  private root(value: Value): Value {
    let root = value;
    for (let parent = this.parents.get(root); parent !== undefined; parent = this.parents.get(root)) root = parent;
    return root;
  }

  /** Whether no reader of a group's value minds. */
  private mayBeNarrow(value: Value, group: Block): boolean {
    if (group.results.includes(value)) return false;
    return group.operations.every((operation) =>
      operation.operands.every((operand, place) => {
        if (operand !== value || this.rounds(operation, place)) return true;
        return moving.has(operation.kind) && operation.results.every((result) => this.mayBeNarrow(result, group));
      }),
    );
  }
}
