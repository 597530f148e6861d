import { i32, sameType, typeName } from './expressions.js';
import { numbersOfWord } from './matrix-types.js';
import type { MatrixType, Statement, ThreadKernel } from './thread.js';
import type { ThreadLimits } from './thread-verify.js';
import type { ExpressionCheck, Fail } from './thread-verify-expressions.js';

type ProductStatement = Extract<
  Statement,
  {
    kind:
      'multiply_matrices' | 'multiply_shared' | 'share_writes' | 'begin_products' | 'commit_products' | 'wait_products';
  }
>;

/** Products of matrices, and what stands around those of workgroup memory. */
export class ProductCheck {
  constructor(
    private readonly kernel: ThreadKernel,
    private readonly expressions: ExpressionCheck,
    private readonly limits: Pick<ThreadLimits, 'matrix' | 'fp8'>,
    private readonly fail: Fail,
  ) {}

  statement(statement: ProductStatement): void {
    if (statement.kind === 'multiply_matrices') return this.checkProduct(statement);
    if (this.limits.matrix !== 'wgmma') this.fail('F2C231', 'the target multiplies no matrices of workgroup memory');
    if (statement.kind === 'multiply_shared') this.checkSharedProduct(statement);
  }

  private checkProduct(statement: Extract<Statement, { kind: 'multiply_matrices' }>): void {
    const { expressions } = this;
    if (this.limits.matrix === undefined || this.limits.matrix === 'subgroup') {
      this.fail('F2C231', 'the target multiplies no matrices of fragments');
    }
    this.expectOperands(statement.operands);
    expressions.expectSubgroupsOf32(`multiply_${statement.operands}`);
    this.checkAccumulators(statement.accumulators);
    expressions.expectType(statement.a, { scalar: 'u32', lanes: 4 }, 'the left matrix');
    expressions.expectType(statement.b, { scalar: 'u32', lanes: 2 }, 'the right matrix');
  }

  private checkSharedProduct(statement: Extract<Statement, { kind: 'multiply_shared' }>): void {
    const { expressions } = this;
    const { a, b, columns, accumulators, operands } = statement;
    this.expectOperands(operands);
    expressions.expectSubgroupsOf32(`multiply_shared_${operands}`);
    if (this.kernel.workgroupSize % 128 !== 0 || columns % 8 !== 0 || columns < 8 || columns > 256) {
      this.fail('F2C230', 'a product needs groups of 128 invocations and 8 to 256 columns, a multiple of 8', {
        found: `${columns} columns by ${this.kernel.workgroupSize} invocations`,
      });
    }
    if (accumulators.length !== columns / 4) {
      this.fail('F2C230', 'a product has the wrong number of accumulators', {
        expected: `${columns / 4}`,
        found: `${accumulators.length}`,
      });
    }
    this.checkAccumulators(accumulators);
    const isOf8Bits = numbersOfWord[operands] === 4;
    for (const side of [a, b]) {
      if (side.kind !== 'shared_matrix') {
        if (isOf8Bits) this.failOf8Bits('a left matrix in registers');
        expressions.expectType(side, { scalar: 'u32', lanes: 4 }, 'the left matrix');
        continue;
      }
      if (isOf8Bits && !side.byDepth) this.failOf8Bits(`columns of '${side.array}'`);
      expressions.expectMatrixArray(side.array);
      expressions.expectType(side.index, i32, `the index of '${side.array}'`);
    }
  }

  private expectOperands(operands: MatrixType): void {
    if (numbersOfWord[operands] === 4 && this.limits.fp8 !== true) {
      this.fail('F2C231', 'the target multiplies no matrices of 8-bit floats', { found: operands });
    }
  }

  private failOf8Bits(found: string): never {
    return this.fail('F2C231', 'no target multiplies 8-bit floats that lie so', {
      expected: 'two matrices in workgroup memory whose rows run along the contracted axis',
      found,
    });
  }

  private checkAccumulators(names: readonly string[]): void {
    const { expressions } = this;
    for (const name of names) {
      const register = expressions.find(name);
      if (register === undefined) return this.fail('F2C220', `'${name}' is assigned but not defined here`);
      if (!register.assignable) this.fail('F2C221', `'${name}' is assigned but is no 'var'`);
      if (!sameType(register.type, { scalar: 'f32', lanes: 2 })) {
        this.fail('F2C223', `the accumulator '${name}' has the wrong type`, {
          expected: 'f32x2',
          found: typeName(register.type),
        });
      }
    }
  }
}
