import { f16ToF32 } from '../dtype.js';
import type { Statement, SubgroupProduct } from './thread.js';
import type { InterpretScope } from './thread-interpret-expressions.js';
import { checkWhole, compileExpression, known } from './thread-interpret-expressions.js';

type StatementOf<Kind extends Statement['kind']> = Extract<Statement, { kind: Kind }>;
type SubgroupProductStatement = StatementOf<'declare_sums' | 'load_factor' | 'multiply_factors' | 'store_sums'>;

/** f32 numbers of an element that sums are stored in. */
const vectorLength = 4;

/**
 * Sums and factors of whole subgroups, as f32 numbers: rows × columns of sums; of factors, whichever way they lay in memory, each row of a
 * left one and each column of a right one along the depth. One subgroup's stand behind those of the subgroup before.
 *
 * A product is summed in f64 and rounded to f32 when it is added to the sums, a step closer to the exact sum than what devices do. Throws
 * F2C220 for names that stand for nothing, F2C242, F2C244 and F2C248 for what workgroup memory does not allow, F2C247 for a part of a
 * subgroup.
 */
export function compileSubgroupProduct(statement: SubgroupProductStatement, scope: InterpretScope): () => void {
  const product = known(scope.subgroupProduct, 'product');
  switch (statement.kind) {
    case 'declare_sums':
      return compileSums(statement, product, scope);
    case 'load_factor':
      return compileFactor(statement, product, scope);
    case 'multiply_factors':
      return compileMultiply(statement, product, scope);
    case 'store_sums':
      return compileStore(statement, product, scope);
  }
}

/** Calls `visit` for each subgroup that takes part, with its number and its first invocation. */
function forEachSubgroup(
  { invocations, subgroupSize }: InterpretScope,
  visit: (subgroup: number, first: number) => void,
): void {
  for (let first = 0, subgroup = 0; first < invocations.count; first += subgroupSize, subgroup++) {
    const size = Math.min(subgroupSize, invocations.count - first);
    if (checkWhole(invocations, first, size)) visit(subgroup, first);
  }
}

function defineMatrix(name: string, numbers: number, scope: InterpretScope): Float32Array {
  const subgroups = Math.ceil(scope.invocations.count / scope.subgroupSize);
  const matrix = new Float32Array(subgroups * numbers);
  scope.matrices.set(name, matrix);
  return matrix;
}

function compileSums(
  { name }: StatementOf<'declare_sums'>,
  { rows, columns }: SubgroupProduct,
  scope: InterpretScope,
): () => void {
  const numbers = rows * columns;
  const sums = defineMatrix(name, numbers, scope);
  return () => forEachSubgroup(scope, (subgroup) => sums.fill(0, subgroup * numbers, (subgroup + 1) * numbers));
}

function compileFactor(
  { name, side, array: arrayName, index, pitch, byDepth }: StatementOf<'load_factor'>,
  { rows, columns, depth }: SubgroupProduct,
  scope: InterpretScope,
): () => void {
  const outerLength = side === 'left' ? rows : columns;
  const at = compileExpression(index, scope);
  const array = known(scope.shared.get(arrayName), arrayName);
  const factor = defineMatrix(name, outerLength * depth, scope);
  return () => {
    at.run();
    forEachSubgroup(scope, (subgroup, first) => {
      let target = subgroup * outerLength * depth;
      for (let outer = 0; outer < outerLength; outer++) {
        for (let k = 0; k < depth; k++) {
          const [row, along] = byDepth ? [outer, k] : [k, outer];
          const word = array.peek((at.values[first] as number) + row * pitch + (along >> 1), 0, first);
          factor[target++] = f16ToF32((along & 1) === 0 ? word & 0xffff : word >>> 16);
        }
      }
    });
  };
}

function compileMultiply(
  statement: StatementOf<'multiply_factors'>,
  { rows, columns, depth }: SubgroupProduct,
  scope: InterpretScope,
): () => void {
  const [sums, left, right] = [statement.sums, statement.left, statement.right].map((name) =>
    known(scope.matrices.get(name), name),
  ) as [Float32Array, Float32Array, Float32Array];
  return () =>
    forEachSubgroup(scope, (subgroup) => {
      const [a, b] = [subgroup * rows * depth, subgroup * columns * depth];
      let target = subgroup * rows * columns;
      for (let row = 0; row < rows; row++) {
        for (let column = 0; column < columns; column++, target++) {
          let sum = 0;
          for (let k = 0; k < depth; k++) {
            sum += (left[a + row * depth + k] as number) * (right[b + column * depth + k] as number);
          }
          sums[target] = (sums[target] as number) + sum;
        }
      }
    });
}

function compileStore(
  { sums: name, array: arrayName, index, pitch }: StatementOf<'store_sums'>,
  { rows, columns }: SubgroupProduct,
  scope: InterpretScope,
): () => void {
  const sums = known(scope.matrices.get(name), name);
  const at = compileExpression(index, scope);
  const array = known(scope.shared.get(arrayName), arrayName);
  const vectors = columns / vectorLength;
  return () => {
    at.run();
    forEachSubgroup(scope, (subgroup, first) => {
      let from = subgroup * rows * columns;
      for (let row = 0; row < rows; row++) {
        const start = (at.values[first] as number) + row * pitch;
        for (let vector = 0; vector < vectors; vector++, from += vectorLength) {
          array.storeTogether(start + vector, first, sums.subarray(from, from + vectorLength));
        }
      }
    });
  };
}
