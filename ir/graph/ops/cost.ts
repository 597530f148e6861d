import { Dim } from '../../dim.js';
import { byteSize } from '../../dtype.js';
import type { TensorType } from '../graph.js';
import type { Cost } from '../op-table.js';

export function countElementsOf(type: TensorType): Dim {
  return type.shape.reduce((product, dim) => product.mul(dim), Dim.of(1));
}

export function countBytesOf(types: readonly TensorType[]): Dim {
  return types.reduce((sum, type) => sum.add(countElementsOf(type).mul(byteSize(type.dtype))), Dim.of(0));
}

/** Every operand read once, every result written once; `flop` floating-point operations. */
export function costOfFlop(flop: Dim, operands: readonly TensorType[], results: readonly TensorType[]): Cost {
  return { flop, bytes: countBytesOf(operands).add(countBytesOf(results)) };
}

/** A rough count of arithmetic per element of the first operand, as of one pass for each statistic and one to apply them. */
export function costPerElement(flop: number) {
  return (operands: readonly TensorType[], _: unknown, results: readonly TensorType[]): Cost =>
    costOfFlop(countElementsOf(operands[0] as TensorType).mul(flop), operands, results);
}

/** A move of as many elements as the results have: each is read and written once. */
export function costOfMove(results: readonly TensorType[]): Cost {
  return { flop: Dim.of(0), bytes: countBytesOf(results).mul(2) };
}

/** No work of its own: weights are read by their users, a control operation costs what its body costs. */
export const noCost: Cost = { flop: Dim.of(0), bytes: Dim.of(0) };
