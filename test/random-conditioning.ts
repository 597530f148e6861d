/** What makes numbers and operations of random graphs good ones: not wild, and not near a step. */
import { type DType, isFloat } from '../ir/dtype.js';
import type { OpAttributes } from '../ir/graph/attributes.js';
import type { PlainOpKind } from '../ir/graph/builder.js';
import type { Value } from '../ir/graph/graph.js';
import type { HostTensor } from '../ir/host-tensor.js';
import type { GraphGenerator } from './random-graph.js';

export function largestOf(tensor: HostTensor): number {
  return tensor.data.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
}

export function isGood(tensor: HostTensor): boolean {
  // NaN fails every comparison. Integers stay exact in all types up to 100.
  return tensor.data.every((value) => Math.abs(value) <= (isFloat(tensor.dtype) ? 1e4 : 100));
}

/** An operation with its numbers. */
interface Evaluated<K extends PlainOpKind> {
  readonly kind: K;
  readonly operands: readonly Value[];
  readonly attributes: OpAttributes[K];
  readonly tensors: readonly HostTensor[];
  readonly results: readonly HostTensor[];
}

/** Whether the results stay near when the operands move a little: by what they may be off when computed another way. */
export function isSteady<K extends PlainOpKind>(g: GraphGenerator, operation: Evaluated<K>): boolean {
  const { kind, operands, attributes, tensors, results } = operation;
  if (kind === 'equal' && tensors.every(({ dtype }) => isFloat(dtype))) {
    // Equality shows at one point, which no nudge may hit; `less` changes wherever the difference passes it.
    const ordered = g.evaluate('less', operands, {}, tensors);
    return ordered !== undefined && isSteady(g, { ...operation, kind: 'less', attributes: {}, results: ordered });
  }
  return nudgeOperands(operation).every((moved) => {
    const nudged = g.evaluate(kind, operands, attributes, moved);
    return nudged?.every((tensor, at) => isNear(tensor, results[at] as HostTensor)) === true;
  });
}

function isNear(a: HostTensor, b: HostTensor): boolean {
  return a.data.every((value, index) => Math.abs(value - (b.data[index] as number)) < 2e-5);
}

/**
 * Signs for the first operand and for the others. A step may lie on one side only, and between two operands that have
 * the same number it is met only where they move apart: with all four, every pair of elements does so both ways.
 */
const allSigns = [
  [1, 1],
  [-1, -1],
  [1, -1],
  [-1, 1],
] as const;

/** The operands moved once where results follow smoothly, in all ways where they jump; the same value the same way. */
function nudgeOperands<K extends PlainOpKind>(operation: Evaluated<K>): readonly (readonly HostTensor[])[] {
  const { kind, operands, tensors, results } = operation;
  const jumps = kind === 'floor' || results.some(({ dtype }) => !isFloat(dtype));
  return (jumps ? allSigns : allSigns.slice(0, 1)).map(([first, others]) =>
    tensors.map((tensor, at) => nudge(tensor, operands[at] === operands[0] ? first : others, jumps)),
  );
}

/** Floats moved by 1e-6, up and down in turn; with `byUnits` those of 16 bits by a unit in the last place if it is more. */
function nudge(tensor: HostTensor, sign: 1 | -1, byUnits: boolean): HostTensor {
  if (!isFloat(tensor.dtype)) return tensor;
  const unit = byUnits ? (relativeUnits[tensor.dtype] ?? 0) : 0;
  const moved = tensor.data.map((value, index) => {
    const distance = Math.max(1e-6, unit * Math.abs(value));
    return value + sign * (index % 3 === 0 ? -distance : distance);
  });
  return { ...tensor, data: moved };
}

const relativeUnits: Readonly<Partial<Record<DType, number>>> = { bf16: 2 ** -7, f16: 2 ** -10 };
