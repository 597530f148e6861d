import { Flux2cError } from '../ir/diagnostics.js';
import type { Dim } from '../ir/dim.js';
import type { DType } from '../ir/dtype.js';
import type { PlainOpKind } from '../ir/graph/builder.js';
import type { OpAttributes } from '../ir/graph/attributes.js';
import type { Value } from '../ir/graph/graph.js';
import { printType } from '../ir/graph/types.js';
import type { FunctionGraph } from './graph.js';

/**
 * A tensor of a graph under construction: no numbers, only an element type and a shape. `D` and `R` are the element
 * type and the rank as TypeScript knows them, so that a wrong one is an error in the editor; sizes are checked when the
 * operation is added to the graph.
 */
export class Tensor<out D extends DType = DType, out R extends number = number> {
  readonly dtype: D;
  readonly rank: R;

  /** Made by the functions of the graph API. @internal */
  constructor(
    /** @internal */ readonly graph: FunctionGraph,
    /** @internal */ readonly value: Value,
  ) {
    // The caller's D and R come from the signature of an operation; `infer` found the same.
    this.dtype = value.type.dtype as D;
    this.rank = value.type.shape.length as R;
  }

  /** Row-major, outermost first. */
  get shape(): readonly Dim[] {
    return this.value.type.shape;
  }

  /** Size of an axis; negative axes count from the end. F2C128 when there is no such axis. */
  size(axis: number): Dim {
    const dim = this.shape.at(axis);
    if (dim === undefined) throw new Flux2cError('F2C128', `${this} has no axis ${axis}`, { where: [this.graph.name] });
    return dim;
  }

  /** The tensor as one of rank `rank`, for code that reads ranks at run time. F2C128 when it is not. */
  withRank<const N extends number>(rank: N): Tensor<D, N> {
    if (this.rank !== (rank as number)) throw this.mismatch(`rank ${rank}`);
    return new Tensor<D, N>(this.graph, this.value);
  }

  /** The tensor as one of element type `dtype`, for code that reads types at run time; converts nothing. F2C128 when it is not. */
  withDType<const T extends DType>(dtype: T): Tensor<T, R> {
    if (this.dtype !== (dtype as DType)) throw this.mismatch(`element type ${dtype}`);
    return new Tensor<T, R>(this.graph, this.value);
  }

  toString(): string {
    return `%${this.value.name}: ${printType(this.value.type)}`;
  }

  private mismatch(expected: string): Flux2cError {
    return new Flux2cError('F2C128', `%${this.value.name} is not what the caller takes it for`, {
      where: [this.graph.name],
      expected,
      found: printType(this.value.type),
    });
  }
}

/** An axis as the IR counts it: negative ones are counted from the end. */
export function resolveAxis(x: Tensor, axis: number): number {
  return axis < 0 ? x.rank + axis : axis;
}

/** Adds one operation to the function its operands are of; they all must be of the same (F2C129). */
export function emitAll<K extends PlainOpKind>(
  kind: K,
  operands: readonly [Tensor, ...Tensor[]],
  attributes: OpAttributes[K],
): readonly Value[] {
  const { graph } = operands[0];
  for (const operand of operands) {
    if (operand.graph === graph) continue;
    throw new Flux2cError('F2C129', `${kind} cannot use tensors of two functions`, {
      where: [`function '${graph.name}'`],
      found: `${operands[0]} of '${graph.name}' and ${operand} of '${operand.graph.name}'`,
      hint: 'Give the second function an input for it.',
    });
  }
  return graph.emit(
    kind,
    operands.map((operand) => operand.value),
    attributes,
  );
}

/** `emitAll` for one result. The signature of the caller states the type that `infer` finds. */
export function emitOne<D extends DType, R extends number, K extends PlainOpKind>(
  kind: K,
  operands: readonly [Tensor, ...Tensor[]],
  attributes: OpAttributes[K],
): Tensor<D, R> {
  return new Tensor<D, R>(operands[0].graph, emitAll(kind, operands, attributes)[0] as Value);
}
