import { Flux2cError } from '../ir/diagnostics.js';
import type { DType } from '../ir/dtype.js';
import type { FactorBeside, FactorType, FloatType, MaxRank, Product, Wider } from './tensor-types.js';
import { emitOne, type Tensor } from './tensor.js';

/**
 * x[..., K] · weight[N, K]ᵀ (+ bias[N]) -> [..., N]: a linear layer as checkpoints store it. The result has the wider
 * of the operands' types: f32 activations with bf16 weights give f32, and so do two of f8e4m3 or of i8. x has rank 2 or more.
 */
export function linear<
  A extends FactorType,
  R extends number,
  W extends FactorBeside<A>,
  B extends FloatType = Extract<Product<A, W>, FloatType>,
>(x: Tensor<A, R>, weight: Tensor<W, 2>, bias?: Tensor<B, 1>): Tensor<Wider<Product<A, W>, B>, R> {
  const product: Tensor<Wider<Product<A, W>, B>, R> = emitOne('matmul', [x, weight], { transposeB: true });
  return bias === undefined ? product : addBias(product, bias);
}

/**
 * a[..., M, K] · b[..., K, N] -> [..., M, N], or with `transposeB` b[..., N, K]; leading dimensions broadcast.
 * F2C111 for ranks under 2, F2C113 when K differs.
 */
export function matmul<A extends FactorType, B extends FactorBeside<A>, RA extends number, RB extends number>(
  a: Tensor<A, RA>,
  b: Tensor<B, RB>,
  { transposeB = false }: { readonly transposeB?: boolean } = {},
): Tensor<Product<A, B>, MaxRank<RA, RB>> {
  return emitOne('matmul', [a, b], { transposeB });
}

/**
 * The numbers f32[N, K] of a matrix in fewer bits: its arrays [N, columns], in the order of `encodedFields`. As the weight of `linear`
 * it is decoded where it is multiplied and takes no memory as numbers. F2C114 for an `encoding` that there is none of, F2C115 for
 * arrays that are not its own.
 */
export function dequantize(
  arrays: readonly [Tensor<DType, 2>, ...Tensor<DType, 2>[]],
  encoding: string,
): Tensor<'f32', 2> {
  return emitOne('dequantize', arrays, { encoding });
}

export interface ConvolutionOptions<B extends FloatType = FloatType> {
  /** [O], added to every position. */
  readonly bias?: Tensor<B, 1> | undefined;
  /** Default 1. */
  readonly stride?: number;
  /** Zeros around the image: on every side, or [top, left, bottom, right]. Default 0. */
  readonly padding?: number | readonly [number, number, number, number];
}

/**
 * x[B, H, W, C] with weight[O, kh, kw, C] (+ bias[O]) -> [B, H', W', O], H' = (H + top + bottom - kh) / stride + 1.
 * Checkpoints of PyTorch store [O, C, kh, kw]: transpose those by [0, 2, 3, 1], or declare them with a `permute` source.
 * F2C116 when H' is no whole number for every size.
 */
export function conv2d<A extends FloatType, W extends FloatType, B extends FloatType = W>(
  x: Tensor<A, 4>,
  weight: Tensor<W, 4>,
  { bias, stride = 1, padding = 0 }: ConvolutionOptions<B> = {},
): Tensor<Wider<Product<A, W>, B>, 4> {
  const sides = typeof padding === 'number' ? ([padding, padding, padding, padding] as const) : padding;
  const product: Tensor<Wider<Product<A, W>, B>, 4> = emitOne('conv2d', [x, weight], { stride, padding: sides });
  return bias === undefined ? product : addBias(product, bias);
}

/** product + bias, broadcast over all but the last axis. `D` is the type of the sum, which the caller knows. */
function addBias<D extends FloatType, R extends number>(
  product: Tensor<D, R>,
  bias: Tensor<FloatType, 1>,
): Tensor<D, R> {
  return emitOne('add', [product, bias], {});
}

export interface AttentionOptions {
  /** bool[B, T]; keys where it is false are not attended to. A query that may attend to no key gets 0. */
  readonly mask?: Tensor<'bool', 2> | undefined;
  /** Default 1/sqrt(D). */
  readonly scale?: number;
  /** Query i attends to keys 0..i only. Default false. */
  readonly causal?: boolean;
}

/**
 * softmax(scale · q kᵀ) v for q[B, Hq, S, D], k[B, Hk, T, D], v[B, Hk, T, D] -> [B, Hq, S, D]. Hq is a multiple of Hk:
 * groups of Hq/Hk consecutive query heads share a key head. Heads are axis 1; `transpose(x, [0, 2, 1, 3])` puts them there.
 */
export function attention<Q extends FloatType, K extends FloatType, V extends FloatType>(
  q: Tensor<Q, 4>,
  k: Tensor<K, 4>,
  v: Tensor<V, 4>,
  { mask, scale, causal = false }: AttentionOptions = {},
): Tensor<Product<Product<Q, K>, V>, 4> {
  const attributes = { scale: scale ?? 1 / Math.sqrt(constantHeadSize(q)), causal };
  return emitOne('attention', mask === undefined ? [q, k, v] : [q, k, v, mask], attributes);
}

function constantHeadSize(q: Tensor): number {
  const size = q.size(-1).constant;
  if (size !== undefined) return size;
  throw new Flux2cError('F2C128', 'the default scale of attention needs a constant last dimension', {
    where: [`function '${q.graph.name}'`, 'attention'],
    found: q.toString(),
    hint: 'Pass the scale.',
  });
}
