import { Flux2cError } from '../../ir/diagnostics.js';
import type { Statement, SubgroupProduct } from '../../ir/kernel/thread.js';
import { printExpression } from './wgsl-expressions.js';
import type { WgslScope } from './wgsl-expressions.js';

type SubgroupProductStatement = Extract<
  Statement,
  { kind: 'declare_sums' | 'load_factor' | 'multiply_factors' | 'store_sums' }
>;

/**
 * A statement in the words of Dawn's extension `chromium_experimental_subgroup_matrix`. Places and pitches count elements of the array,
 * as the statement's own do: u32 words of factors, vec4 of sums. Throws F2C230 where the kernel says no size of products.
 */
export function subgroupProductText(
  statement: SubgroupProductStatement,
  scope: WgslScope & { readonly subgroupProduct: SubgroupProduct | undefined },
): string {
  const { names, subgroupProduct: product } = scope;
  if (product === undefined) throw new Flux2cError('F2C230', `'${statement.kind}' needs the size of a product`);
  switch (statement.kind) {
    case 'declare_sums':
      // Said, though WGSL makes a variable zero each time: in a loop Dawn does so for matrices only before the first round.
      return `var ${names.legal(statement.name)} = ${matrixType('result', product)}();`;
    case 'load_factor': {
      const { name, side, array, index, pitch, byDepth } = statement;
      // A right factor by depth has its columns in memory one after the other.
      const order = side === 'right' && byDepth ? 'col_major' : 'row_major';
      const place = `&${names.legal(array)}, u32(${printExpression(index, scope)})`;
      const type = matrixType(side, product);
      return `let ${names.legal(name)} = subgroupMatrixLoad<${type}, ${order}>(${place}, ${pitch}u);`;
    }
    case 'multiply_factors': {
      const [sums, left, right] = [statement.sums, statement.left, statement.right].map((name) => names.legal(name));
      return `${sums} = subgroupMatrixMultiplyAccumulate(${left}, ${right}, ${sums});`;
    }
    case 'store_sums': {
      const { sums, array, index, pitch } = statement;
      const place = `&${names.legal(array)}, u32(${printExpression(index, scope)})`;
      return `subgroupMatrixStore<row_major>(${place}, ${names.legal(sums)}, ${pitch}u);`;
    }
  }
}

/** Columns stand before rows. */
function matrixType(part: 'left' | 'right' | 'result', { rows, columns, depth }: SubgroupProduct): string {
  switch (part) {
    case 'left':
      return `subgroup_matrix_left<f16, ${depth}, ${rows}>`;
    case 'right':
      return `subgroup_matrix_right<f16, ${columns}, ${depth}>`;
    case 'result':
      return `subgroup_matrix_result<f32, ${columns}, ${rows}>`;
  }
}
