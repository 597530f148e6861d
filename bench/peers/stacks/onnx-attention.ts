/** The two forms of attention in ONNX. */
import type { OnnxBuilder, OnnxName } from './onnx-builder.js';

/** softmax(q kᵀ / sqrt(headDim)) v, all [1, heads, tokens, headDim]. */
export function attendPlainly(
  builder: OnnxBuilder,
  [q, k, v]: readonly [OnnxName, OnnxName, OnnxName],
  headDim: number,
): OnnxName {
  const factor = builder.scalar(1 / Math.sqrt(headDim));
  const scaled = builder.node('Mul', [q, factor]);
  const scores = builder.node('MatMul', [scaled, builder.transpose(k, [0, 1, 3, 2])]);
  return builder.node('MatMul', [builder.node('Softmax', [scores], { attributes: { axis: -1 } }), v]);
}

/** The same for [1, tokens, heads * headDim]. */
export function attendFused(
  builder: OnnxBuilder,
  operands: readonly [OnnxName, OnnxName, OnnxName],
  heads: number,
): OnnxName {
  return builder.node('MultiHeadAttention', operands, { attributes: { num_heads: heads }, contributed: true });
}
