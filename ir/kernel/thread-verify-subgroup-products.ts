import { i32, u32, vectorOf } from './expressions.js';
import type { RegisterType, Statement, ThreadKernel } from './thread.js';
import { printProduct } from './thread-print.js';
import type { ThreadLimits } from './thread-verify.js';
import type { Definition, ExpressionCheck, Fail } from './thread-verify-expressions.js';

type SubgroupProductStatement = Extract<
  Statement,
  { kind: 'declare_sums' | 'load_factor' | 'multiply_factors' | 'store_sums' }
>;

/** What a factor is made of: two f16 numbers each. */
const factorElement = u32;
/** What sums are stored in. */
const sumsElement = vectorOf('f32', 4);

const kindNames: Readonly<Record<Definition['kind'], string>> = {
  register: 'a register',
  sums: 'sums of a subgroup',
  left: 'a left factor',
  right: 'a right factor',
};

/** Products of factors whose layout in registers only the target knows. */
export class SubgroupProductCheck {
  /** `define`: gives a name to sums or a factor in the block that is being checked. */
  constructor(
    private readonly kernel: ThreadKernel,
    private readonly expressions: ExpressionCheck,
    private readonly limits: Pick<ThreadLimits, 'matrix' | 'subgroupProduct'>,
    private readonly define: (name: string, definition: Definition) => void,
    private readonly fail: Fail,
  ) {}

  /** What the kernel's head says of the products of its body. */
  declaration(): void {
    const { subgroupProduct: product } = this.kernel;
    if (product === undefined) return;
    const { rows, columns, depth } = product;
    const arePositive = [rows, columns, depth].every((length) => Number.isInteger(length) && length > 0);
    // Rows of factors are whole words, rows of sums whole vectors.
    if (!arePositive || depth % 2 !== 0 || columns % sumsElement.lanes !== 0) {
      this.fail('F2C230', 'a product of a subgroup cannot be', {
        expected: 'rows, an even depth and a number of columns that 4 divides',
        found: printProduct(product),
      });
    }
    this.expectAvailable();
    const { subgroupProduct: available } = this.limits;
    const isAvailable =
      available !== undefined && available.rows === rows && available.columns === columns && available.depth === depth;
    if (isAvailable) return;
    this.fail('F2C231', 'subgroups of the target multiply no matrices of this size', {
      expected: available === undefined ? 'none' : printProduct(available),
      found: printProduct(product),
    });
  }

  statement(statement: SubgroupProductStatement): void {
    this.expectAvailable();
    const { subgroupProduct: product } = this.kernel;
    if (product === undefined) {
      return this.fail('F2C230', `'${statement.kind}' needs the size of a product in the kernel's head`);
    }
    this.expressions.expectSubgroups(1);
    switch (statement.kind) {
      case 'declare_sums':
        return this.define(statement.name, { kind: 'sums' });
      case 'load_factor': {
        const { name, side, array, index, pitch, byDepth } = statement;
        if (side === 'left' && !byDepth) this.fail('F2C230', `the left factor '${name}' does not lie by depth`);
        this.checkPlace(array, factorElement, index, pitch, (byDepth ? product.depth : product.columns) / 2);
        return this.define(name, { kind: side });
      }
      case 'multiply_factors':
        this.expectKind(statement.sums, 'sums');
        this.expectKind(statement.left, 'left');
        return this.expectKind(statement.right, 'right');
      case 'store_sums': {
        const { sums, array, index, pitch } = statement;
        this.expectKind(sums, 'sums');
        return this.checkPlace(array, sumsElement, index, pitch, product.columns / sumsElement.lanes);
      }
    }
  }

  private expectAvailable(): void {
    if (this.limits.matrix !== 'subgroup') {
      this.fail('F2C231', "subgroups of the target multiply no matrices in the driver's layout");
    }
  }

  private expectKind(name: string, kind: Definition['kind']): void {
    const found = this.expressions.definitionOf(name);
    if (found === undefined) return this.fail('F2C220', `'${name}' is used but not defined here`);
    if (found.kind === kind) return;
    this.fail('F2C222', `'${name}' does not fit where it stands in a product`, {
      expected: kindNames[kind],
      found: kindNames[found.kind],
    });
  }

  /** `rowLength`: elements of a row, which the next must not begin within. */
  private checkPlace(
    array: string,
    type: RegisterType,
    index: Extract<Statement, { kind: 'store_sums' }>['index'],
    pitch: number,
    rowLength: number,
  ): void {
    this.expressions.expectSharedArray(array, type);
    this.expressions.expectType(index, i32, `the index of '${array}'`);
    if (Number.isInteger(pitch) && pitch >= rowLength) return;
    this.fail('F2C230', `rows of a matrix in '${array}' cannot be so far apart`, {
      expected: `at least ${rowLength} elements`,
      found: `${pitch}`,
    });
  }
}
