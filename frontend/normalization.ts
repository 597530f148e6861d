import type { QuantizedDType } from '../ir/dtype.js';
import type { ReduceKind } from '../ir/graph/attributes.js';
import type { Value } from '../ir/graph/graph.js';
import type { FloatType, SubtractRanks, Wider } from './tensor-types.js';
import { add, mul } from './elementwise.js';
import { emitAll, emitOne, resolveAxis, Tensor } from './tensor.js';

export interface NormalizationOptions {
  /** Added to the variance (or mean square) before the root; above 0. */
  readonly eps: number;
}

/**
 * (x - mean) / sqrt(variance + eps) over the last axis, then · weight + bias where given.
 * x[..., C], weight[C], bias[C] -> [..., C], in the type of x.
 */
export function layerNorm<D extends FloatType, R extends number>(
  x: Tensor<D, R>,
  {
    eps,
    weight,
    bias,
  }: NormalizationOptions & {
    readonly weight?: Tensor<NoInfer<D>, 1> | undefined;
    readonly bias?: Tensor<NoInfer<D>, 1> | undefined;
  },
): Tensor<D, R> {
  const normalized: Tensor<FloatType> = emitOne('layer_norm', [x], { eps });
  const scaled: Tensor = weight === undefined ? normalized : (mul(normalized, weight) as Tensor);
  return (bias === undefined ? scaled : add(scaled, bias)) as Tensor<D, R>;
}

/** x · rsqrt(mean(x²) + eps) · weight over the last axis: x[..., C], weight[C] -> [..., C], in the wider type. */
export function rmsNorm<D extends FloatType, R extends number, W extends FloatType>(
  x: Tensor<D, R>,
  weight: Tensor<W, 1>,
  { eps }: NormalizationOptions,
): Tensor<Wider<D, W>, R> {
  return emitOne('rms_norm', [x, weight], { eps });
}

/**
 * Normalises over all positions and the channels of a group, then · weight + bias by channel:
 * x[B, ..., C], weight[C], bias[C] -> [B, ..., C], in the wider type. `groups` divides C (F2C116).
 */
export function groupNorm<D extends FloatType, R extends number, W extends FloatType, B extends FloatType>(
  x: Tensor<D, R>,
  weight: Tensor<W, 1>,
  bias: Tensor<B, 1>,
  { groups, eps }: NormalizationOptions & { readonly groups: number },
): Tensor<Wider<Wider<D, W>, B>, R> {
  return emitOne('group_norm', [x, weight, bias], { groups, eps });
}

/**
 * The first pass of `groupNorm`: x[B, R, ..., C] -> f32[B, R, groups, 2] = (mean, variance) at each coordinate of axis 1;
 * R is 1 for x[B, C].
 */
export function groupMoments<R extends number>(
  x: Tensor<FloatType, R>,
  { groups }: { readonly groups: number },
): Tensor<'f32', 4> {
  return emitOne('group_moments', [x], { groups });
}

/** The second pass of `groupNorm`: moments f32[B, R, groups, 2] -> f32[B, groups, 2] = (mean, 1/sqrt(variance + eps)). */
export function combineMoments(moments: Tensor<'f32', 4>, { eps }: NormalizationOptions): Tensor<'f32', 3> {
  return emitOne('combine_moments', [moments], { eps });
}

/** The third pass of `groupNorm`: x[B, ..., C], statistics f32[B, groups, 2], weight[C], bias[C] -> [B, ..., C]. */
export function groupApply<D extends FloatType, R extends number, W extends FloatType, B extends FloatType>(
  x: Tensor<D, R>,
  statistics: Tensor<'f32', 3>,
  weight: Tensor<W, 1>,
  bias: Tensor<B, 1>,
  { groups }: { readonly groups: number },
): Tensor<Wider<Wider<D, W>, B>, R> {
  return emitOne('group_apply', [x, statistics, weight, bias], { groups });
}

/** exp(x) / sum of exp(x) over the last axis: x[..., C] -> [..., C]. */
export function softmax<D extends FloatType, R extends number>(x: Tensor<D, R>): Tensor<D, R> {
  return emitOne('softmax', [x], {});
}

/**
 * Rows of the last axis in 8 bits: x[..., R, C] -> values `dtype`[..., R, C] and scales f32[..., R, 1], values · scales being nearly x.
 * A row's scale is its largest magnitude / 448 (f8e4m3) or / 127 (i8), so that the whole range of the type is used.
 */
export function quantizeRows<D extends FloatType, R extends number, Q extends QuantizedDType = 'f8e4m3'>(
  x: Tensor<D, R>,
  dtype: Q = 'f8e4m3' as Q,
): { readonly values: Tensor<Q, R>; readonly scales: Tensor<'f32', R> } {
  const [values, scales] = emitAll('quantize_rows', [x], { dtype });
  return { values: new Tensor(x.graph, values as Value), scales: new Tensor(x.graph, scales as Value) };
}

/**
 * Reduces over `axes` (negative ones count from the end). They are dropped from the shape, or stay with size 1 when
 * `keepDims`. F2C114 for an axis named twice or out of range.
 */
export interface ReduceFunction {
  <D extends FloatType, R extends number>(
    x: Tensor<D, R>,
    axes: readonly number[],
    options: { readonly keepDims: true },
  ): Tensor<D, R>;
  <D extends FloatType, R extends number, const A extends readonly number[]>(
    x: Tensor<D, R>,
    axes: A,
    options?: { readonly keepDims?: false },
  ): Tensor<D, SubtractRanks<R, A['length']>>;
}

function reduce(kind: ReduceKind): ReduceFunction {
  return ((
    x: Tensor<FloatType>,
    axes: readonly number[],
    { keepDims = false }: { readonly keepDims?: boolean } = {},
  ): Tensor => emitOne(kind, [x], { axes: axes.map((axis) => resolveAxis(x, axis)), keepDims })) as ReduceFunction;
}

export const reduceSum = reduce('reduce_sum');
export const reduceMean = reduce('reduce_mean');
export const reduceMax = reduce('reduce_max');
