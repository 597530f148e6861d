import type { Value } from '../ir/graph/graph.js';
import type { FloatType } from './tensor-types.js';
import { emitAll, emitOne, Tensor } from './tensor.js';

/**
 * Rotary position embedding: x[B, S, H, D], cos[S, D/2], sin[S, D/2] -> [B, S, H, D]. Turns the pairs (2i, 2i+1) when
 * `interleaved` (default), (i, i + D/2) when `half`.
 */
export function rope<D extends FloatType, C extends FloatType>(
  x: Tensor<D, 4>,
  cos: Tensor<C, 2>,
  sin: Tensor<NoInfer<C>, 2>,
  { style = 'interleaved' }: { readonly style?: 'interleaved' | 'half' } = {},
): Tensor<D, 4> {
  return emitOne('rope', [x, cos, sin], { style });
}

/**
 * The tables for `rope`: ids i32[S, axes] -> [cos, sin], each f32[S, D/2] with D the sum of `axisSizes`. The axes lie side
 * by side; the angle of pair j of axis a is id_a · theta^(-2j/axisSizes[a]).
 */
export function ropeTable(
  ids: Tensor<'i32', 2>,
  { theta, axisSizes }: { readonly theta: number; readonly axisSizes: readonly number[] },
): readonly [cos: Tensor<'f32', 2>, sin: Tensor<'f32', 2>] {
  const [cos, sin] = emitAll('rope_table', [ids], { theta, axisSizes }) as readonly [Value, Value];
  return [new Tensor(ids.graph, cos), new Tensor(ids.graph, sin)];
}

/** t f32[N] -> f32[N, size] = [cos, sin] of scale·t · exp(-ln(maxPeriod)·i/(size/2)). */
export function timestepEmbedding(
  t: Tensor<'f32', 1>,
  {
    size,
    maxPeriod = 10000,
    scale = 1,
  }: { readonly size: number; readonly maxPeriod?: number; readonly scale?: number },
): Tensor<'f32', 2> {
  return emitOne('timestep_embedding', [t], { size, maxPeriod, scale });
}
