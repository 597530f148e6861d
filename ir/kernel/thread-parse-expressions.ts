import { Flux2cError } from '../diagnostics.js';
import { bool, f32, i32, loadedType } from './expressions.js';
import { halfTypes } from './matrix-types.js';
import type { TextScanner } from './text-scanner.js';
import type {
  BinaryOperator,
  BufferParameter,
  Builtin,
  Expression,
  RegisterType,
  ScalarType,
  SharedArray,
  UnaryOperator,
} from './thread.js';
import { parseInfix } from './infix.js';

const builtins: readonly Builtin[] = [
  'workgroup_x',
  'workgroup_y',
  'workgroup_z',
  'local_index',
  'subgroup_lane',
  'subgroup_index',
  'group_index',
  'group_count',
];
const scalars: readonly ScalarType[] = ['f32', 'f16', 'i32', 'u32', 'bool'];
const unaryCalls: readonly UnaryOperator[] = [
  'abs',
  'exp',
  'exp2',
  'log',
  'sqrt',
  'rsqrt',
  'reciprocal',
  'sin',
  'cos',
  'tanh',
  'floor',
];
const binaryCalls: readonly BinaryOperator[] = ['min', 'max', 'pow'];

/** Reads expressions; the names they use have the types that were declared so far. */
export class ExpressionParser {
  readonly buffers = new Map<string, BufferParameter>();
  readonly shared = new Map<string, SharedArray>();
  parameters: readonly string[] = [];
  /** Innermost block last; kept by the caller. */
  readonly scopes: Map<string, RegisterType>[] = [new Map()];

  constructor(private readonly scanner: TextScanner) {}

  type(): RegisterType {
    const types = scalars.flatMap((scalar) => [scalar, `${scalar}x2`, `${scalar}x4`]);
    const [scalar, lanes] = this.scanner.oneOf(types, 'a type').split('x');
    return { scalar: scalar as ScalarType, lanes: Number(lanes ?? '1') as 1 | 2 | 4 };
  }

  inBrackets(): Expression {
    this.scanner.expect('[');
    const inner = this.expression();
    this.scanner.expect(']');
    return inner;
  }

  expression(): Expression {
    const combine = (operator: BinaryOperator, left: Expression, right: Expression): Expression => ({
      kind: 'binary',
      operator,
      left,
      right,
    });
    return parseInfix(this.scanner, () => this.prefix(), combine);
  }

  private prefix(): Expression {
    const { scanner } = this;
    if (scanner.accept('!')) return { kind: 'unary', operator: 'not', operand: this.postfix() };
    if (!scanner.accept('-')) return this.postfix();
    if (scanner.seesNumber || scanner.sees('inf')) return this.constant(-1);
    return { kind: 'unary', operator: 'neg', operand: this.postfix() };
  }

  private constant(sign: 1 | -1): Expression {
    const { scanner } = this;
    const written = scanner.accept('inf') ? 'inf' : scanner.accept('nan') ? 'nan' : scanner.numberText('a number');
    const value = sign * (written === 'inf' ? Infinity : Number(written));
    if (scanner.accept(':')) return { kind: 'constant', type: this.type(), value };
    return { kind: 'constant', type: /^\d+$/.test(written) ? i32 : f32, value };
  }

  private postfix(): Expression {
    const { scanner } = this;
    let operand = this.primary();
    while (scanner.accept('.')) {
      const lanes = [...scanner.name('lanes')].map((letter) => 'xyzw'.indexOf(letter));
      if (lanes.includes(-1)) scanner.fail('lanes made of x, y, z and w');
      operand =
        lanes.length === 1 ? { kind: 'lane', operand, lane: lanes[0] as number } : { kind: 'shuffle', operand, lanes };
    }
    return operand;
  }

  private primary(): Expression {
    const { scanner } = this;
    if (scanner.accept('(')) {
      const inner = this.expression();
      scanner.expect(')');
      return inner;
    }
    if (scanner.seesNumber || scanner.sees('inf') || scanner.sees('nan')) return this.constant(1);
    if (scanner.accept('true')) return { kind: 'constant', type: bool, value: 1 };
    if (scanner.accept('false')) return { kind: 'constant', type: bool, value: 0 };
    const name = scanner.name('an expression');
    if (scanner.sees('(')) return this.call(name);
    if (scanner.accept('[')) {
      const index = this.expression();
      scanner.expect(']');
      return this.access(name, index);
    }
    return this.named(name);
  }

  private access(name: string, index: Expression): Expression {
    const array = this.shared.get(name);
    if (array !== undefined) return { kind: 'load_shared', array: name, index, type: array.type };
    const buffer = this.buffers.get(name);
    if (buffer === undefined) return this.undefinedName(name);
    return { kind: 'load', buffer: name, index, type: loadedType(buffer) };
  }

  private named(name: string): Expression {
    for (let at = this.scopes.length - 1; at >= 0; at--) {
      const type = this.scopes[at]?.get(name);
      if (type !== undefined) return { kind: 'register', name, type };
    }
    if (this.parameters.includes(name)) return { kind: 'parameter', name };
    const builtin = builtins.find((known) => known === name);
    return builtin === undefined ? this.undefinedName(name) : { kind: 'builtin', name: builtin };
  }

  private undefinedName(name: string): never {
    throw new Flux2cError('F2C220', `'${name}' is not defined where the kernel uses it`);
  }

  private call(name: string): Expression {
    const { scanner } = this;
    if (name === 'subgroup_broadcast' || name === 'subgroup_exchange') {
      scanner.expect('(');
      const operand = this.expression();
      scanner.expect(',');
      const number = scanner.integer('a lane of the subgroup');
      scanner.expect(')');
      return name === 'subgroup_broadcast'
        ? { kind: name, operand, source: number }
        : { kind: name, operand, mask: number };
    }
    if (name === 'load_matrix' || name === 'load_matrix_transposed') {
      scanner.expect('(');
      const array = scanner.name('a shared array');
      scanner.expect(',');
      const index = this.expression();
      scanner.expect(')');
      return { kind: 'load_matrix', array, index, transposed: name !== 'load_matrix' };
    }
    if (name === 'lookup' || name === 'subgroup_lookup') {
      scanner.expect('(');
      const operand = this.expression();
      scanner.expect(',');
      const values = scanner.list(
        '[',
        ']',
        () => (scanner.accept('-') ? -1 : 1) * Number(scanner.numberText('a number')),
      );
      scanner.expect(')');
      return { kind: name, values, operand };
    }
    const parts = scanner.list('(', ')', () => this.expression());
    if (name === 'vector') return { kind: 'vector', parts };
    const [a, b, c] = parts;
    const count = parts.length;
    if (a !== undefined && count === 1) {
      const operator = unaryCalls.find((known) => known === name);
      if (operator !== undefined) return { kind: 'unary', operator, operand: a };
      if (name === 'splat2' || name === 'splat4')
        return { kind: 'splat', lanes: name === 'splat2' ? 2 : 4, operand: a };
      if (name === 'subgroup_add' || name === 'subgroup_max') {
        return { kind: 'subgroup_reduce', operator: name === 'subgroup_add' ? 'add' : 'max', operand: a };
      }
      for (const to of halfTypes) if (name === `pack_${to}`) return { kind: 'pack', to, operand: a };
      for (const to of scalars) {
        if (name === `to_${to}`) return { kind: 'convert', to, operand: a };
        if (name === `bits_as_${to}`) return { kind: 'bitcast', to, operand: a };
      }
    }
    if (a !== undefined && b !== undefined && count === 2) {
      const operator = binaryCalls.find((known) => known === name);
      if (operator !== undefined) return { kind: 'binary', operator, left: a, right: b };
      if (name === 'dot' || name === 'dot_bytes') return { kind: name, a, b };
    }
    if (a !== undefined && b !== undefined && c !== undefined && count === 3) {
      if (name === 'fma') return { kind: 'fma', a, b, c };
      if (name === 'select') return { kind: 'select', condition: a, yes: b, no: c };
    }
    return scanner.fail('a function of the kernel language', `${name} of ${count} operands`);
  }
}
