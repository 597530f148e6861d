import { Flux2cError } from '../diagnostics.js';
import { bool, f32, i32, loadedType } from './expressions.js';
import { TextScanner } from './text-scanner.js';
import type {
  BinaryOperator,
  BufferParameter,
  Builtin,
  Expression,
  HalfType,
  RegisterType,
  ScalarType,
  SharedArray,
  SharedMatrix,
  Statement,
  StorageType,
  ThreadKernel,
  UnaryOperator,
} from './thread.js';
import { infixOperators } from './thread-print.js';

const storages: readonly StorageType[] = ['f32', 'f16', 'bf16', 'f8e4m3', 'i32', 'u32', 'u8', 'bool'];
const builtins: readonly Builtin[] = ['workgroup_x', 'workgroup_y', 'workgroup_z', 'local_index', 'subgroup_lane'];
const scalars: readonly ScalarType[] = ['f32', 'f16', 'i32', 'u32', 'bool'];
const halves: readonly HalfType[] = ['bf16', 'f16'];
const unaryCalls: readonly UnaryOperator[] = ['abs', 'exp', 'log', 'sqrt', 'rsqrt', 'sin', 'cos', 'tanh', 'floor'];
const binaryCalls: readonly BinaryOperator[] = ['min', 'max', 'pow'];

/** Reads what `printThreadKernel` writes. Throws F2C210 with line and column, F2C220 for a name without a definition. */
export function parseThreadKernel(text: string): ThreadKernel {
  return new ThreadParser(text).kernel();
}

class ThreadParser {
  private readonly scanner: TextScanner;
  private readonly buffers = new Map<string, BufferParameter>();
  private readonly shared = new Map<string, SharedArray>();
  private parameters: readonly string[] = [];
  /** Innermost block last. */
  private readonly scopes: Map<string, RegisterType>[] = [new Map()];

  constructor(text: string) {
    this.scanner = new TextScanner(text, 'F2C210');
  }

  kernel(): ThreadKernel {
    const { scanner } = this;
    scanner.expect('kernel');
    const name = scanner.label();
    scanner.expect('workgroup');
    const workgroupSize = this.inParentheses('invocations of a workgroup');
    const subgroupSize = scanner.accept('subgroup') ? this.inParentheses('invocations of a subgroup') : undefined;
    if (scanner.accept('params')) this.parameters = scanner.list('(', ')', () => scanner.name('a parameter'));
    while (scanner.accept('buffer')) this.bufferLine();
    while (scanner.accept('shared')) this.sharedLine();
    const body = this.block();
    scanner.expectEnd();
    return {
      phase: 'thread',
      name,
      buffers: [...this.buffers.values()],
      parameters: this.parameters,
      workgroupSize,
      shared: [...this.shared.values()],
      ...(subgroupSize === undefined ? {} : { subgroupSize }),
      body,
    };
  }

  private inParentheses(what: string): number {
    this.scanner.expect('(');
    const value = this.scanner.integer(what);
    this.scanner.expect(')');
    return value;
  }

  private bufferLine(): void {
    const { scanner } = this;
    const name = scanner.name('a buffer');
    scanner.expect(':');
    const access = scanner.oneOf(['read', 'write', 'read_write'] as const, 'an access');
    const storage = scanner.oneOf(storages, 'a storage type');
    const lanes = Number(scanner.oneOf(['x1', 'x2', 'x4'] as const, 'lanes').slice(1)) as 1 | 2 | 4;
    this.buffers.set(name, { name, storage, lanes, access });
  }

  private sharedLine(): void {
    const { scanner } = this;
    const name = scanner.name('a shared array');
    scanner.expect(':');
    const type = this.type();
    scanner.expect('[');
    const length = scanner.integer('elements');
    scanner.expect(']');
    this.shared.set(name, { name, type, length });
  }

  private type(): RegisterType {
    const types = scalars.flatMap((scalar) => [scalar, `${scalar}x2`, `${scalar}x4`]);
    const [scalar, lanes] = this.scanner.oneOf(types, 'a type').split('x');
    return { scalar: scalar as ScalarType, lanes: Number(lanes ?? '1') as 1 | 2 | 4 };
  }

  private block(defined: readonly (readonly [string, RegisterType])[] = []): Statement[] {
    const { scanner } = this;
    scanner.expect('{');
    this.scopes.push(new Map(defined));
    const body: Statement[] = [];
    while (!scanner.accept('}')) body.push(this.statement());
    this.scopes.pop();
    return body;
  }

  private statement(): Statement {
    const { scanner } = this;
    const kind = scanner.sees('let') ? 'let' : scanner.sees('var') ? 'var' : undefined;
    if (kind !== undefined) {
      scanner.expect(kind);
      const name = scanner.name('a register');
      scanner.expect(':');
      const type = this.type();
      scanner.expect('=');
      const value = this.expression();
      this.scopes[this.scopes.length - 1]?.set(name, type);
      return { kind, name, type, value };
    }
    if (scanner.accept('barrier')) return { kind: 'barrier' };
    const matrix = this.matrixStatement();
    if (matrix !== undefined) return matrix;
    if (scanner.accept('for')) {
      const variable = scanner.name('a loop variable');
      scanner.expect('=');
      const start = this.expression();
      scanner.expect('to');
      const end = this.expression();
      scanner.expect('step');
      const step = scanner.integer('a step');
      return { kind: 'for', variable, start, end, step, body: this.block([[variable, i32]]) };
    }
    if (scanner.accept('if')) {
      const condition = this.expression();
      const then = this.block();
      if (!scanner.accept('else')) return { kind: 'if', condition, then };
      return { kind: 'if', condition, then, otherwise: this.block() };
    }
    const name = scanner.name('a statement');
    if (!scanner.accept('[')) {
      scanner.expect('=');
      return { kind: 'assign', name, value: this.expression() };
    }
    const index = this.expression();
    scanner.expect(']');
    scanner.expect('=');
    const value = this.expression();
    if (this.shared.has(name)) return { kind: 'store_shared', array: name, index, value };
    return { kind: 'store', buffer: name, index, value };
  }

  private matrixStatement(): Statement | undefined {
    const { scanner } = this;
    if (scanner.accept('commit_copies')) return { kind: 'commit_copies' };
    if (scanner.accept('wait_copies')) return { kind: 'wait_copies', pending: this.inParentheses('groups of copies') };
    if (scanner.accept('copy_async')) {
      const array = scanner.name('a shared array');
      const index = this.inBrackets();
      scanner.expect('=');
      const buffer = scanner.name('a buffer');
      const from = this.inBrackets();
      scanner.expect('if');
      return { kind: 'copy_async', array, index, buffer, from, valid: this.expression() };
    }
    for (const kind of ['share_writes', 'begin_products', 'commit_products'] as const) {
      if (scanner.accept(kind)) return { kind };
    }
    if (scanner.accept('wait_products'))
      return { kind: 'wait_products', pending: this.inParentheses('groups of products') };
    const shared = halves.find((type) => scanner.accept(`multiply_shared_${type}`));
    if (shared !== undefined) return this.sharedProduct(shared);
    const operands = halves.find((type) => scanner.accept(`multiply_${type}`));
    if (operands === undefined) return undefined;
    const first = scanner.name('an accumulator');
    scanner.expect(',');
    const second = scanner.name('an accumulator');
    scanner.expect('+');
    scanner.expect('=');
    const a = this.expression();
    scanner.expect('by');
    return { kind: 'multiply_matrices', accumulators: [first, second], operands, a, b: this.expression() };
  }

  private sharedProduct(operands: HalfType): Statement {
    const { scanner } = this;
    const columns = Number(scanner.name('columns').slice(1));
    const accumulators = [scanner.name('an accumulator')];
    while (scanner.accept(',')) accumulators.push(scanner.name('an accumulator'));
    scanner.expect('+');
    scanner.expect('=');
    const a = scanner.sees('matrix') ? this.sharedMatrix() : this.expression();
    scanner.expect('by');
    return { kind: 'multiply_shared', accumulators, operands, a, b: this.sharedMatrix(), columns };
  }

  private sharedMatrix(): SharedMatrix {
    const { scanner } = this;
    scanner.expect('matrix');
    scanner.expect('(');
    const array = scanner.name('a shared array');
    scanner.expect(',');
    const index = this.expression();
    scanner.expect(',');
    const byDepth = scanner.oneOf(['rows', 'columns'] as const, 'rows or columns') === 'rows';
    scanner.expect(',');
    const blockLength = scanner.integer('elements of a block');
    scanner.expect(')');
    return { kind: 'shared_matrix', array, index, byDepth, blockLength };
  }

  private inBrackets(): Expression {
    this.scanner.expect('[');
    const inner = this.expression();
    this.scanner.expect(']');
    return inner;
  }

  private expression(level = 1): Expression {
    let left = level > 7 ? this.prefix() : this.expression(level + 1);
    if (level > 7) return left;
    for (;;) {
      const infix = infixOperators.find(([sign, , own]) => own === level && this.scanner.sees(sign));
      if (infix === undefined) return left;
      this.scanner.expect(infix[0]);
      left = { kind: 'binary', operator: infix[1], left, right: this.expression(level + 1) };
    }
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
      for (const to of halves) if (name === `pack_${to}`) return { kind: 'pack', to, operand: a };
      for (const to of scalars) {
        if (name === `to_${to}`) return { kind: 'convert', to, operand: a };
        if (name === `bits_as_${to}`) return { kind: 'bitcast', to, operand: a };
      }
    }
    if (a !== undefined && b !== undefined && count === 2) {
      const operator = binaryCalls.find((known) => known === name);
      if (operator !== undefined) return { kind: 'binary', operator, left: a, right: b };
      if (name === 'dot') return { kind: 'dot', a, b };
    }
    if (a !== undefined && b !== undefined && c !== undefined && count === 3) {
      if (name === 'fma') return { kind: 'fma', a, b, c };
      if (name === 'select') return { kind: 'select', condition: a, yes: b, no: c };
    }
    return scanner.fail('a function of the kernel language', `${name} of ${count} operands`);
  }
}
