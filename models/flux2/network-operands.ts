import type { Target } from '../../backends/target.js';
import type { CompileOptions } from '../../passes/compile.js';
import type { Component } from './weights.js';

/**
 * What the factors of a component's products are rounded to, where a user asked for something. An autoencoder's residual stream grows from
 * block to block (to 400,000 in the embedded one), beyond the 65,504 that f16 holds, and some of its convolutions read that stream as it
 * is (shortcuts, changes of size). So with f16 only those multiply f16 that read what a norm bounds, which is most of its arithmetic. Where
 * the target multiplies matrices of bf16, all of them multiply that.
 */
export function operandsOf(
  component: Component,
  operands: CompileOptions['operands'],
  { matrix }: Pick<Target, 'matrix'>,
): NonNullable<CompileOptions['operands']> {
  if (operands !== 'f16' || component !== 'vae') return operands ?? 'stored';
  return matrix === 'mma' || matrix === 'wgmma' ? 'bf16' : 'f16_where_bounded';
}
