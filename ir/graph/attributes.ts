import type { Dim } from '../dim.js';
import type { DType, QuantizedDType } from '../dtype.js';

interface None {
  readonly [key: string]: never;
}

/** Elementwise functions of one float tensor. `gelu` is the tanh form, `silu` is x·sigmoid(x). */
export const unaryKinds = [
  'neg', 'abs', 'exp', 'log', 'sqrt', 'rsqrt', 'sin', 'cos', 'tanh', 'sigmoid', 'silu', 'gelu', 'erf', 'floor',
] as const; // prettier-ignore

/** Elementwise with numpy broadcasting, result in the wider operand type. */
export const binaryKinds = ['add', 'sub', 'mul', 'div', 'min', 'max', 'pow'] as const;

/** Elementwise comparison with broadcasting, result `bool`. */
export const compareKinds = ['equal', 'less', 'less_equal'] as const;

/** Reductions over `axes`; the axes stay with size 1 when `keepDims`. */
export const reduceKinds = ['reduce_sum', 'reduce_mean', 'reduce_max'] as const;

/** What factors of products may be rounded to before they are multiplied. */
export const factorTypes = ['f16', 'bf16'] as const;

export type UnaryKind = (typeof unaryKinds)[number];
export type BinaryKind = (typeof binaryKinds)[number];
export type CompareKind = (typeof compareKinds)[number];
export type ReduceKind = (typeof reduceKinds)[number];
export type FactorType = (typeof factorTypes)[number];

/**
 * Of products: what their factors are rounded to before they are multiplied, whatever element types they have. Sums are not rounded. As they
 * are without it; passes/graph/choose-factors.ts decides.
 */
interface Factors {
  readonly factors?: FactorType;
}

/** The attributes of every operation, by kind. Shapes in the comments are [outermost, ..., innermost]. */
export interface OpAttributes
  extends
    Record<UnaryKind, None>,
    Record<BinaryKind, None>,
    Record<CompareKind, None>,
    Record<ReduceKind, { readonly axes: readonly number[]; readonly keepDims: boolean }> {
  // ── sources ──
  /** () -> the weight of that name in the module; printed in place as `@name`. */
  weight: { readonly name: string };
  /** () -> a scalar splat over `shape` (usually rank 0), or as many values as `shape` has elements; at most 4096. */
  constant: { readonly dtype: DType; readonly shape: readonly Dim[]; readonly values: readonly number[] };
  /** () -> i32[size] = 0, 1, 2, ... */
  iota: { readonly size: Dim };

  // ── elementwise ──
  cast: { readonly dtype: DType };
  /** (condition bool, a, b), broadcasting. */
  select: None;

  // ── contraction ──
  /**
   * a[..., M, K] · b[..., K, N], or b[..., N, K] with transposeB (how checkpoints store linear layers). Leading dims broadcast. The
   * product of two f8e4m3 is f32, as that of convolutions and attention; so is the product of two i8, whose sums are exact where kernels
   * multiply bytes (rows of whole vectors of 16, up to 131,056 numbers), elsewhere sums of f32 numbers.
   */
  matmul: Factors & { readonly transposeB: boolean };
  /**
   * x[B, H, W, C] with w[O, kh, kw, C] -> [B, H', W', O]; padding is [top, left, bottom, right], zeros. With `phases` 2 w has
   * O filters for each position of a block of 2 × 2 in turn, and the result is [B, 2·(H' - 1), 2·(W' - 1), O]: its (2y + p, 2x + q)
   * is (y + p, x + q) of the filters of position (p, q). So filters of 2 × 2 (`sumTaps`), padded by 1, convolve a picture made twice as
   * high and wide.
   */
  conv2d: Factors & {
    readonly stride: number;
    readonly padding: readonly [number, number, number, number];
    readonly phases?: 2;
  };
  /**
   * q[B, Hq, S, D], k[B, Hk, T, D], v[B, Hk, T, D], optional key mask bool[B, T] (false = not attended to) -> [B, Hq, S, D].
   * softmax(scale · q kᵀ) v; Hq is a multiple of Hk (grouped queries). A query with no key gets 0. Causal: key index <= query index.
   * The probabilities are factors, too.
   */
  attention: Factors & { readonly scale: number; readonly causal: boolean };

  // ── normalisation over the last axis ──
  /** (x) without affine. */
  layer_norm: { readonly eps: number };
  /** (x, weight[C]): x · rsqrt(mean(x²) + eps) · weight. */
  rms_norm: { readonly eps: number };
  softmax: None;
  /** (x[B, ..., C], weight[C], bias[C]) over all positions of a group of channels. */
  group_norm: { readonly groups: number; readonly eps: number };
  /**
   * (x[B, R, ..., C]) -> f32[B, R, groups, 2] = (mean, variance) of a group of channels at one coordinate of axis 1, as a
   * picture's row; R is 1 for x[B, C].
   */
  group_moments: { readonly groups: number };
  /**
   * (moments f32[B, R, groups, 2]) -> f32[B, groups, 2] = (mean, 1/sqrt(variance + eps)) of R parts of equally many numbers
   * taken together. After `group_moments` it is what `group_norm` needs to know of all positions.
   */
  combine_moments: { readonly eps: number };
  /** (x[B, ..., C], statistics[B, groups, 2], weight[C], bias[C]): elementwise given the statistics. */
  group_apply: { readonly groups: number };

  // ── quantisation ──
  /**
   * (x[..., R, C]) -> (values `dtype`[..., R, C], scales f32[..., R, 1]): each row of the last axis divided by its scale, its largest
   * magnitude / 448 (f8e4m3) or / 127 (i8), 1 for zeros, and rounded, so values · scales is nearly x. A scale for a whole tensor is one
   * of extent 1.
   */
  quantize_rows: { readonly dtype: QuantizedDType };
  /** (the arrays [N, columns] that `encodedFields` lists) -> f32[N, K], the numbers they stand for (`decodeRows`). */
  dequantize: { readonly encoding: string };

  // ── position ──
  /** (x[B, S, H, D], cos[S, D/2], sin[S, D/2]). `interleaved` turns pairs (2i, 2i+1), `half` pairs (i, i + D/2). */
  rope: { readonly style: 'interleaved' | 'half' };
  /**
   * (ids i32[S, axes]) -> (cos, sin) f32[S, D/2], D = sum of `axisSizes`; angle = id_a · theta^(-2j/axisSize_a), in f64, axes side by side.
   */
  rope_table: { readonly theta: number; readonly axisSizes: readonly number[] };
  /** (t f32[N]) -> f32[N, size]: [cos, sin] of scale·t · exp(-ln(maxPeriod)·i/(size/2)), rounded to f32 where diffusers rounds. */
  timestep_embedding: { readonly size: number; readonly maxPeriod: number; readonly scale: number };

  // ── data movement ──
  reshape: { readonly shape: readonly Dim[] };
  transpose: { readonly permutation: readonly number[] };
  /** `size` elements from `start` along one axis; `start` may use a loop's symbol. */
  slice: { readonly axis: number; readonly start: Dim; readonly size: Dim };
  /** Several results: consecutive pieces of the axis. */
  split: { readonly axis: number; readonly sizes: readonly Dim[] };
  concat: { readonly axis: number };
  /** numpy broadcasting to a larger shape. */
  broadcast: { readonly shape: readonly Dim[] };
  pad: { readonly low: readonly number[]; readonly high: readonly number[]; readonly value: number };
  /** x[B, H, W, C] -> [B, factor·H, factor·W, C]. */
  upsample_nearest: { readonly factor: number };
  /** (table[V, ...], ids i32[...]) -> [...ids, ...table tail]; an id outside 0..V-1 is an error on the host and the nearest row on a device. */
  gather: None;

  // ── control and grouping ──
  /**
   * Runs the body `count` times with the symbol bound to 0..count-1. Operands are the carried values at the start; the
   * body's parameters are the carried values of the iteration, its results those of the next; the results are the last ones.
   */
  loop: { readonly count: Dim; readonly symbol: string };
  /** One kernel: body parameters are the operands, in order. `anchor` says which schedule family lowers it. */
  fused: { readonly anchor: FusedAnchor };
}

export type FusedAnchor = 'map' | 'row' | 'contraction' | 'attention' | 'statistics';

export type OpKind = keyof OpAttributes;
