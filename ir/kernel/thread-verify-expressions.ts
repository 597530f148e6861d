import type { DiagnosticCode } from '../diagnostics.js';
import { unreachable } from '../diagnostics.js';
import { i32, loadedType, sameType, typeName, typeOf } from './expressions.js';
import type { BinaryOperator, Expression, RegisterType, ScalarType, ThreadKernel, UnaryOperator } from './thread.js';
import { printThreadExpression } from './thread-print.js';

/** Throws the error of a verifier. */
export type Fail = (code: DiagnosticCode, message: string, detail?: { expected?: string; found?: string }) => never;

interface DefinedRegister {
  readonly kind: 'register';
  readonly type: RegisterType;
  readonly assignable: boolean;
}

/** What a name stands for in a body: a register, sums of a subgroup or a factor of this side. */
export type Definition = DefinedRegister | { readonly kind: 'sums' | 'left' | 'right' };

/** Types of expressions against what is in scope. */
export class ExpressionCheck {
  /** Innermost block last; kept by the caller. */
  readonly scopes: Map<string, Definition>[] = [];

  constructor(
    private readonly kernel: ThreadKernel,
    private readonly limits: { readonly packedDots?: boolean },
    private readonly fail: Fail,
  ) {}

  definitionOf(name: string): Definition | undefined {
    for (let at = this.scopes.length - 1; at >= 0; at--) {
      const definition = this.scopes[at]?.get(name);
      if (definition !== undefined) return definition;
    }
    return undefined;
  }

  /** A register in scope; fails (F2C222) where the name stands for something else. */
  find(name: string): DefinedRegister | undefined {
    const found = this.definitionOf(name);
    if (found === undefined || found.kind === 'register') return found;
    return this.fail('F2C222', `'${name}' is no register`, {
      found: found.kind === 'sums' ? 'sums of a subgroup' : `a ${found.kind} factor`,
    });
  }

  /** Checks the expression and that it has this type. */
  expectType(expression: Expression, type: RegisterType, what: string): void {
    this.check(expression);
    this.compare(typeOf(expression), type, what);
  }

  private compare(found: RegisterType, expected: RegisterType, what: string): void {
    if (sameType(found, expected)) return;
    const [code, thing] =
      found.scalar === expected.scalar ? (['F2C223', 'lanes'] as const) : (['F2C222', 'type'] as const);
    this.fail(code, `${what} has the wrong ${thing}`, { expected: typeName(expected), found: typeName(found) });
  }

  private expectScalar(expression: Expression, allowed: readonly ScalarType[]): void {
    const { scalar } = typeOf(expression);
    if (allowed.includes(scalar)) return;
    this.fail('F2C222', `an operand has the wrong type: ${printThreadExpression(expression)}`, {
      expected: allowed.join(', '),
      found: scalar,
    });
  }

  private expectLanes(expression: Expression, allowed: readonly number[]): void {
    const { lanes } = typeOf(expression);
    if (allowed.includes(lanes)) return;
    this.fail('F2C223', `an operand has the wrong lanes: ${printThreadExpression(expression)}`, {
      expected: allowed.join(' or '),
      found: `${lanes}`,
    });
  }

  private check(expression: Expression): void {
    switch (expression.kind) {
      case 'constant':
        return this.checkConstant(expression.value, expression.type);
      case 'register': {
        const register = this.find(expression.name);
        if (register === undefined) return this.fail('F2C220', `'${expression.name}' is used but not defined here`);
        return this.compare(expression.type, register.type, `the use of '${expression.name}'`);
      }
      case 'parameter':
        if (this.kernel.parameters.includes(expression.name)) return;
        return this.fail('F2C226', `there is no parameter '${expression.name}'`);
      case 'builtin': {
        if (expression.name === 'subgroup_index') return this.expectSubgroups(1);
        const walks = this.kernel.walksTiles === true;
        if (!expression.name.startsWith(walks ? 'workgroup_' : 'group_')) return;
        return this.fail(
          'F2C233',
          `there is no '${expression.name}' in a kernel that ${walks ? 'walks' : 'does not walk'} over tiles`,
        );
      }
      case 'unary':
        this.check(expression.operand);
        return this.expectScalar(expression.operand, unaryScalars(expression.operator));
      case 'binary':
        this.check(expression.left);
        this.expectType(expression.right, typeOf(expression.left), `the right operand of '${expression.operator}'`);
        return this.expectScalar(expression.left, binaryScalars(expression.operator));
      case 'fma':
        this.check(expression.a);
        this.expectScalar(expression.a, floats);
        this.expectType(expression.b, typeOf(expression.a), `the second operand of 'fma'`);
        return this.expectType(expression.c, typeOf(expression.a), `the third operand of 'fma'`);
      case 'select': {
        this.check(expression.yes);
        const type = typeOf(expression.yes);
        this.expectType(expression.no, type, `the other value of 'select'`);
        this.check(expression.condition);
        this.expectScalar(expression.condition, ['bool']);
        return this.expectLanes(expression.condition, [1, type.lanes]);
      }
      case 'convert':
        return this.check(expression.operand);
      case 'bitcast':
        this.check(expression.operand);
        if (!words.includes(expression.to)) this.fail('F2C222', `bits cannot become ${expression.to}`);
        return this.expectScalar(expression.operand, words);
      case 'load':
        return this.checkLoad(expression);
      case 'load_shared': {
        const array = this.kernel.shared.find(({ name }) => name === expression.array);
        if (array === undefined) return this.fail('F2C226', `there is no shared array '${expression.array}'`);
        this.compare(expression.type, array.type, `a load from '${expression.array}'`);
        return this.expectType(expression.index, i32, `the index of '${expression.array}'`);
      }
      case 'splat':
        this.check(expression.operand);
        return this.expectLanes(expression.operand, [1]);
      case 'vector':
        return this.checkVector(expression.parts);
      case 'lane':
      case 'shuffle':
        this.check(expression.operand);
        return this.checkLanes(expression);
      case 'lookup':
      case 'subgroup_lookup':
        this.check(expression.operand);
        if (expression.values.length !== 16 || !expression.values.every((value) => Math.fround(value) === value)) {
          this.fail('F2C230', `'${expression.kind}' needs 16 numbers of f32`, { found: `${expression.values.length}` });
        }
        this.expectScalar(expression.operand, ['u32']);
        return expression.kind === 'subgroup_lookup' ? this.expectSubgroups(8) : undefined;
      case 'dot':
        this.check(expression.a);
        this.expectScalar(expression.a, ['f32']);
        this.expectLanes(expression.a, [2, 4]);
        return this.expectType(expression.b, typeOf(expression.a), `the second operand of 'dot'`);
      case 'dot_bytes':
        this.check(expression.a);
        this.expectScalar(expression.a, ['u32']);
        this.expectLanes(expression.a, [1, 4]);
        if (this.limits.packedDots !== true) this.fail('F2C231', 'the target has no products of packed bytes');
        return this.expectType(expression.b, typeOf(expression.a), `the second operand of 'dot_bytes'`);
      case 'pack':
        return this.expectType(
          expression.operand,
          { scalar: 'f32', lanes: 2 },
          `the operand of 'pack_${expression.to}'`,
        );
      case 'load_matrix':
        this.expectMatrixArray(expression.array);
        this.expectType(expression.index, i32, `the index of '${expression.array}'`);
        return this.expectSubgroupsOf32('load_matrix');
      case 'subgroup_broadcast':
      case 'subgroup_reduce':
      case 'subgroup_exchange':
        this.check(expression.operand);
        this.expectScalar(expression.operand, ['f32', 'f16', 'i32', 'u32']);
        return this.checkSubgroup(expression);
      default:
        unreachable(expression, 'expression');
    }
  }

  private checkConstant(value: number, type: RegisterType): void {
    const fits =
      type.scalar === 'f32' || type.scalar === 'f16'
        ? true
        : Number.isInteger(value) &&
          (type.scalar === 'i32'
            ? value === (value | 0) && !Object.is(value, -0)
            : type.scalar === 'u32'
              ? value === value >>> 0
              : value === 0 || value === 1);
    if (!fits) this.fail('F2C230', `${value} is no ${typeName(type)}`);
  }

  private checkLoad(expression: Extract<Expression, { kind: 'load' }>): void {
    const buffer = this.kernel.buffers.find(({ name }) => name === expression.buffer);
    if (buffer === undefined) return this.fail('F2C226', `there is no buffer '${expression.buffer}'`);
    if (buffer.access === 'write') this.fail('F2C229', `'${buffer.name}' is loaded from but declared as write`);
    this.compare(expression.type, loadedType(buffer), `a load from '${buffer.name}'`);
    this.expectType(expression.index, i32, `the index of '${buffer.name}'`);
  }

  private checkVector(parts: readonly Expression[]): void {
    const first = parts[0];
    if (first === undefined) return this.fail('F2C223', `'vector' has no parts`);
    let lanes = 0;
    for (const part of parts) {
      this.check(part);
      this.expectScalar(part, [typeOf(first).scalar]);
      lanes += typeOf(part).lanes;
    }
    if (lanes !== 2 && lanes !== 4) {
      this.fail('F2C223', `the parts of 'vector' make no vector`, { expected: '2 or 4 lanes', found: `${lanes}` });
    }
  }

  private checkLanes(expression: Extract<Expression, { kind: 'lane' | 'shuffle' }>): void {
    const available = typeOf(expression.operand).lanes;
    const lanes = expression.kind === 'lane' ? [expression.lane] : expression.lanes;
    if (expression.kind === 'shuffle' && lanes.length !== 2 && lanes.length !== 4) {
      this.fail('F2C223', 'a shuffle makes no vector', { expected: '2 or 4 lanes', found: `${lanes.length}` });
    }
    this.expectLanes(expression.operand, [2, 4]);
    for (const lane of lanes) {
      if (Number.isInteger(lane) && lane >= 0 && lane < available) continue;
      this.fail('F2C230', `lane ${lane} is not there`, { expected: `0 to ${available - 1}` });
    }
  }

  /** Rows of matrices are 16 bytes. */
  expectMatrixArray(name: string): void {
    this.expectSharedArray(name, { scalar: 'u32', lanes: 4 });
  }

  expectSharedArray(name: string, type: RegisterType): void {
    const array = this.kernel.shared.find((candidate) => candidate.name === name);
    if (array === undefined) return this.fail('F2C226', `there is no shared array '${name}'`);
    this.compare(array.type, type, `the array '${name}'`);
  }

  /** The lane maps of matrix operations are those of 32 invocations. */
  expectSubgroupsOf32(what: string): void {
    const { subgroupSize, workgroupSize } = this.kernel;
    if (subgroupSize === 32 && workgroupSize % 32 === 0) return;
    this.fail('F2C230', `'${what}' needs whole subgroups of 32`, {
      expected: 'a subgroup size of 32 that divides the workgroup size',
      found: `${subgroupSize ?? 'none'} in ${workgroupSize}`,
    });
  }

  private checkSubgroup(
    expression: Extract<Expression, { kind: 'subgroup_broadcast' | 'subgroup_reduce' | 'subgroup_exchange' }>,
  ): void {
    this.expectSubgroups(1);
    const { subgroupSize = 1 } = this.kernel;
    if (expression.kind === 'subgroup_reduce') return;
    const source = expression.kind === 'subgroup_broadcast' ? expression.source : expression.mask;
    if (Number.isInteger(source) && source >= 0 && source < subgroupSize) return;
    this.fail('F2C230', `lane ${source} of the subgroup is not there`, { expected: `0 to ${subgroupSize - 1}` });
  }

  /** Whole subgroups of at least so many. */
  expectSubgroups(least: number): void {
    const { subgroupSize, workgroupSize } = this.kernel;
    if (subgroupSize !== undefined && subgroupSize >= least && workgroupSize % subgroupSize === 0) return;
    this.fail('F2C230', 'subgroup operations need whole subgroups', {
      expected: `a subgroup size${least > 1 ? ` of at least ${least}` : ''} that divides the workgroup size`,
      found: `${subgroupSize ?? 'none'} in ${workgroupSize}`,
    });
  }
}

const floats: readonly ScalarType[] = ['f32', 'f16'];
const numbers: readonly ScalarType[] = ['f32', 'f16', 'i32', 'u32'];
const words: readonly ScalarType[] = ['f32', 'i32', 'u32'];

function unaryScalars(operator: UnaryOperator): readonly ScalarType[] {
  if (operator === 'not') return ['bool', 'i32', 'u32'];
  return operator === 'neg' || operator === 'abs' ? ['f32', 'f16', 'i32'] : floats;
}

function binaryScalars(operator: BinaryOperator): readonly ScalarType[] {
  if (operator === 'and' || operator === 'or') return ['bool', 'i32', 'u32'];
  if (operator === 'xor' || operator === 'shift_left' || operator === 'shift_right') return ['i32', 'u32'];
  if (operator === 'pow') return floats;
  return operator === 'equal' ? [...numbers, 'bool'] : numbers;
}
