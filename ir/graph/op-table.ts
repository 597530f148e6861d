import type { Dim, DimBinding } from '../dim.js';
import type { HostTensor } from '../host-tensor.js';
import type { OpAttributes, OpKind } from './attributes.js';
import type { TensorType } from './graph.js';

export type { HostTensor } from '../host-tensor.js';

/**
 * How an operation may take part in fusion:
 * - `source`: weights and constants; free to duplicate
 * - `pointwise`: output element i needs only element i (after broadcasting) of each operand
 * - `view`: pure index change (reshape, transpose, slice, split, broadcast); never a kernel of its own if avoidable
 * - `injective`: output element needs one known element of each operand, but not element i (concat, pad, gather, upsample, rope)
 * - `row`: needs a whole row of the last axis
 * - `contraction`, `attention`, `statistics`: the anchor of a kernel
 * - `host`: small and precision-critical; evaluated on the host in f64 when its operands are known there
 * - `control`: loop and fused
 */
export type FusionCategory =
  | 'source'
  | 'pointwise'
  | 'view'
  | 'injective'
  | 'row'
  | 'contraction'
  | 'attention'
  | 'statistics'
  | 'host'
  | 'control';

export interface InferContext {
  /** Type of a weight of the module, or undefined when there is none of that name. */
  weightType(name: string): TensorType | undefined;
}

export interface EvaluateContext {
  /** Values of the dims' symbols, the enclosing loops' included. */
  readonly sizes: DimBinding;
  /** `f32` rounds every result to f32 before its own dtype; `f64` leaves float results in doubles. */
  readonly precision: 'f32' | 'f64';
  weight(name: string): HostTensor;
}

export interface Cost {
  /** Floating-point operations, a multiply-add counts two. */
  readonly flop: Dim;
  /** Bytes read and written when nothing is fused. */
  readonly bytes: Dim;
}

/** One row of the op table: everything the compiler knows about an operation. */
export interface OpDefinition<K extends OpKind> {
  readonly kind: K;
  readonly category: FusionCategory;
  /** Result types; throws Flux2cError F2C11x when the operands or attributes do not fit. */
  infer(operands: readonly TensorType[], attributes: OpAttributes[K], context: InferContext): readonly TensorType[];
  /** Reference semantics. Missing only for `loop` and `fused`, which the interpreter runs itself. */
  evaluate?(
    operands: readonly HostTensor[],
    attributes: OpAttributes[K],
    results: readonly TensorType[],
    context: EvaluateContext,
  ): readonly HostTensor[];
  cost(operands: readonly TensorType[], attributes: OpAttributes[K], results: readonly TensorType[]): Cost;
}

export type OpTable = { readonly [K in OpKind]: OpDefinition<K> };
