import type { Dim } from '../dim.js';
import type { DType, QuantizedDType } from '../dtype.js';
import type { FieldName } from '../encoding.js';
import type { OpAttributes, OpKind } from './attributes.js';

/**
 * Graph IR: tensors in SSA form, pure operations, dimensions that may be symbolic.
 *
 * A module has weights (by reference to a file, never their numbers) and functions. A function's body is a block:
 * parameters, operations in order, results. Two operations carry a block of their own: `loop` (its block may use
 * values of the blocks around it) and `fused` (its block sees only its own parameters, so equal kernels are equal text).
 */
export interface Module {
  readonly weights: ReadonlyMap<string, WeightDeclaration>;
  readonly functions: ReadonlyMap<string, GraphFunction>;
}

export interface TensorType {
  readonly dtype: DType;
  /** Row-major, outermost first; rank 0 is a scalar. */
  readonly shape: readonly Dim[];
}

/** An SSA value. Identity is the object; `name` is unique in its function and printed as `%name`. */
export interface Value {
  readonly name: string;
  readonly type: TensorType;
}

export interface WeightDeclaration {
  /** Printed as `@name`. */
  readonly name: string;
  /** All dimensions are constant. */
  readonly type: TensorType;
  readonly source: WeightSource;
}

/**
 * Where a weight's numbers come from. Anything but `tensor` is a packed copy that the compiler or the loader makes once.
 * Sources are row-major in the declared dtype of the tensors they name; rows are quantised from the stored numbers, in f32.
 */
export type WeightSource =
  | { readonly kind: 'tensor'; readonly tensor: string }
  /** Rows (axis 0) one after another; the other dimensions agree. */
  | { readonly kind: 'concat_rows'; readonly parts: readonly WeightPart[] }
  /** Rows taken in turn, `group` from each part: gate and up rows side by side. */
  | { readonly kind: 'interleave_rows'; readonly group: number; readonly parts: readonly WeightPart[] }
  /** As many rows of the part as the shape says, from `start` on. */
  | { readonly kind: 'slice_rows'; readonly of: WeightPart; readonly start: number }
  | { readonly kind: 'permute'; readonly of: WeightPart; readonly permutation: readonly number[] }
  /**
   * Filters [4·O, 2, 2, C], O for each position of a block of 2 × 2 in turn, that make of a picture what filters [O, 3, 3, C] make of it
   * once its pixels are repeated (`sumTaps`). No part of others.
   */
  | { readonly kind: 'upsampled_filters'; readonly of: WeightPart }
  /** Rows in 8 bits, each divided by its scale, as the operation of that name makes them. Whole weights only, no parts of others. */
  | { readonly kind: 'quantize_rows'; readonly of: WeightPart; readonly dtype: QuantizedDType }
  /** The scales of those rows: f32[rows]. */
  | { readonly kind: 'row_scales'; readonly of: WeightPart; readonly dtype: QuantizedDType }
  /** An array of the encoded form of the rows of a matrix [N, K], `encodedFields` says of what type and shape. No part of others. */
  | { readonly kind: 'encoded_rows'; readonly of: WeightPart; readonly encoding: string; readonly field: FieldName };

/** A weight as an ingredient of another: what to read and its shape. */
export interface WeightPart {
  readonly shape: readonly number[];
  readonly source: WeightSource;
}

export interface Block {
  readonly parameters: readonly Value[];
  readonly operations: readonly Operation[];
  readonly results: readonly Value[];
}

export interface GraphFunction {
  readonly name: string;
  /** Names of the results, in the order of `body.results`: what `run` writes as `out.NAME`. */
  readonly resultNames: readonly string[];
  readonly body: Block;
}

export interface OperationOf<K extends OpKind> {
  readonly kind: K;
  readonly operands: readonly Value[];
  readonly attributes: OpAttributes[K];
  readonly results: readonly Value[];
  /** Only `loop` and `fused`. */
  readonly body?: Block;
}

/** Discriminated by `kind`, so `switch (operation.kind)` narrows the attributes. */
export type Operation = { readonly [K in OpKind]: OperationOf<K> }[OpKind];
