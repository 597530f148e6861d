import { Dim } from '../dim.js';
import { i32 } from './expressions.js';
import { TextScanner } from './text-scanner.js';
import type {
  BarrierArray,
  BarrierPlace,
  RegisterType,
  Role,
  Statement,
  StorageType,
  TensorMap,
  ThreadKernel,
} from './thread.js';
import { ExpressionParser } from './thread-parse-expressions.js';
import { parseProductStatement, parseSubgroupProduct } from './thread-parse-products.js';

const storages: readonly StorageType[] = ['f32', 'f16', 'bf16', 'f8e4m3', 'i8', 'i32', 'u32', 'u8', 'bool'];

/** Reads what `printThreadKernel` writes. Throws F2C210 with line and column, F2C220 for a name without a definition. */
export function parseThreadKernel(text: string): ThreadKernel {
  return new ThreadParser(text).kernel();
}

class ThreadParser {
  private readonly scanner: TextScanner;
  private readonly expressions: ExpressionParser;

  constructor(text: string) {
    this.scanner = new TextScanner(text, 'F2C210');
    this.expressions = new ExpressionParser(this.scanner);
  }

  kernel(): ThreadKernel {
    const { scanner, expressions } = this;
    scanner.expect('kernel');
    const name = scanner.label();
    scanner.expect('workgroup');
    const workgroupSize = scanner.inParentheses('invocations of a workgroup');
    const subgroupSize = scanner.accept('subgroup') ? scanner.inParentheses('invocations of a subgroup') : undefined;
    const subgroupProduct = scanner.accept('product') ? parseSubgroupProduct(scanner) : undefined;
    const walksTiles = scanner.accept('walks_tiles');
    if (scanner.accept('params')) expressions.parameters = scanner.list('(', ')', () => scanner.name('a parameter'));
    while (scanner.accept('buffer')) this.bufferLine();
    while (scanner.accept('shared')) this.sharedLine();
    const tensorMaps: TensorMap[] = [];
    while (scanner.accept('tensor')) tensorMaps.push(this.tensorLine());
    const barriers: BarrierArray[] = [];
    while (scanner.accept('barriers')) barriers.push(this.barriersLine());
    const body = this.block();
    scanner.expectEnd();
    return {
      phase: 'thread',
      name,
      buffers: [...expressions.buffers.values()],
      parameters: expressions.parameters,
      ...(tensorMaps.length === 0 ? {} : { tensorMaps }),
      ...(barriers.length === 0 ? {} : { barriers }),
      ...(walksTiles ? { walksTiles } : {}),
      workgroupSize,
      shared: [...expressions.shared.values()],
      ...(subgroupSize === undefined ? {} : { subgroupSize }),
      ...(subgroupProduct === undefined ? {} : { subgroupProduct }),
      body,
    };
  }

  private bufferLine(): void {
    const { scanner } = this;
    const name = scanner.name('a buffer');
    scanner.expect(':');
    const access = scanner.oneOf(['read', 'write', 'read_write'] as const, 'an access');
    const storage = scanner.oneOf(storages, 'a storage type');
    const lanes = Number(scanner.oneOf(['x1', 'x2', 'x4'] as const, 'lanes').slice(1)) as 1 | 2 | 4;
    this.expressions.buffers.set(name, { name, storage, lanes, access });
  }

  private sharedLine(): void {
    const { scanner } = this;
    const name = scanner.name('a shared array');
    scanner.expect(':');
    const type = this.expressions.type();
    const length = this.lengthInBrackets('elements');
    this.expressions.shared.set(name, { name, type, length });
  }

  private lengthInBrackets(what: string): number {
    this.scanner.expect('[');
    const length = this.scanner.integer(what);
    this.scanner.expect(']');
    return length;
  }

  private tensorLine(): TensorMap {
    const { scanner } = this;
    const name = scanner.name('a tensor map');
    scanner.expect('of');
    const buffer = scanner.name('a buffer');
    scanner.expect('from');
    const offset = this.polynomial();
    const dimensions = scanner.list('(', ')', () => {
      scanner.expect('extent');
      const extent = this.polynomial();
      scanner.expect('stride');
      const stride = this.polynomial();
      scanner.expect('box');
      return { extent, stride, box: scanner.integer('elements of a copy') };
    });
    return { name, buffer, offset, dimensions };
  }

  /** A dimension as it is printed: `4*h*w-512`. */
  private polynomial(): Dim {
    const { scanner } = this;
    const factor = (): string =>
      scanner.seesNumber ? `${scanner.integer('a whole number')}` : scanner.name('a number or a parameter');
    let text = scanner.accept('-') ? '-' : '';
    for (;;) {
      text += factor();
      const sign = ['*', '+', '-'].find((one) => scanner.accept(one));
      if (sign === undefined) return Dim.of(text);
      text += sign;
    }
  }

  private barriersLine(): BarrierArray {
    const name = this.scanner.name('an array of barriers');
    const length = this.lengthInBrackets('barriers');
    this.scanner.expect('arrivals');
    return { name, length, arrivals: this.scanner.inParentheses('arrivals of a phase') };
  }

  private block(defined: readonly (readonly [string, RegisterType])[] = []): Statement[] {
    const { scanner } = this;
    scanner.expect('{');
    this.expressions.scopes.push(new Map(defined));
    const body: Statement[] = [];
    while (!scanner.accept('}')) body.push(this.statement());
    this.expressions.scopes.pop();
    return body;
  }

  private statement(): Statement {
    const { scanner } = this;
    const kind = scanner.sees('let') ? 'let' : scanner.sees('var') ? 'var' : undefined;
    if (kind !== undefined) {
      scanner.expect(kind);
      const name = scanner.name('a register');
      scanner.expect(':');
      const type = this.expressions.type();
      scanner.expect('=');
      const value = this.expressions.expression();
      this.expressions.scopes[this.expressions.scopes.length - 1]?.set(name, type);
      return { kind, name, type, value };
    }
    if (scanner.accept('barrier')) return { kind: 'barrier' };
    const special = this.copyStatement() ?? parseProductStatement(scanner, this.expressions) ?? this.barrierStatement();
    if (special !== undefined) return special;
    if (scanner.accept('for')) {
      const variable = scanner.name('a loop variable');
      scanner.expect('=');
      const start = this.expressions.expression();
      scanner.expect('to');
      const end = this.expressions.expression();
      scanner.expect('step');
      const step = scanner.integer('a step');
      return { kind: 'for', variable, start, end, step, body: this.block([[variable, i32]]) };
    }
    if (scanner.accept('if')) {
      const condition = this.expressions.expression();
      const then = this.block();
      if (!scanner.accept('else')) return { kind: 'if', condition, then };
      return { kind: 'if', condition, then, otherwise: this.block() };
    }
    const name = scanner.name('a statement');
    if (!scanner.accept('[')) {
      scanner.expect('=');
      return { kind: 'assign', name, value: this.expressions.expression() };
    }
    const index = this.expressions.expression();
    scanner.expect(']');
    scanner.expect('=');
    const value = this.expressions.expression();
    if (this.expressions.shared.has(name)) return { kind: 'store_shared', array: name, index, value };
    return { kind: 'store', buffer: name, index, value };
  }

  private copyStatement(): Statement | undefined {
    const { scanner, expressions } = this;
    if (scanner.accept('commit_copies')) return { kind: 'commit_copies' };
    if (scanner.accept('wait_copies')) {
      return { kind: 'wait_copies', pending: scanner.inParentheses('groups of copies') };
    }
    if (!scanner.accept('copy_async')) return undefined;
    const array = scanner.name('a shared array');
    const index = expressions.inBrackets();
    scanner.expect('=');
    const buffer = scanner.name('a buffer');
    const from = expressions.inBrackets();
    scanner.expect('if');
    return { kind: 'copy_async', array, index, buffer, from, valid: expressions.expression() };
  }

  private barrierStatement(): Statement | undefined {
    const { scanner, expressions } = this;
    if (scanner.accept('roles')) {
      scanner.expect('{');
      const roles: Role[] = [];
      while (!scanner.accept('}')) roles.push(this.role());
      return { kind: 'roles', roles };
    }
    if (scanner.accept('copy_tensor')) {
      const array = scanner.name('a shared array');
      const index = expressions.inBrackets();
      scanner.expect('=');
      const map = scanner.name('a tensor map');
      const at = scanner.list('[', ']', () => expressions.expression());
      scanner.expect('to');
      return { kind: 'copy_tensor', array, index, map, at, barrier: this.barrierPlace() };
    }
    if (scanner.accept('expect_copies')) {
      const barrier = this.barrierPlace();
      scanner.expect('bytes');
      return { kind: 'expect_copies', barrier, bytes: scanner.integer('bytes of copies') };
    }
    if (scanner.accept('arrive')) return { kind: 'arrive', barrier: this.barrierPlace() };
    if (!scanner.accept('wait_barrier')) return undefined;
    const barrier = this.barrierPlace();
    scanner.expect('parity');
    return { kind: 'wait_barrier', barrier, parity: expressions.expression() };
  }

  private role(): Role {
    const { scanner } = this;
    const name = scanner.name('a role');
    scanner.expect('invocations');
    const invocations = scanner.inParentheses('invocations of a role');
    scanner.expect('registers');
    const registers = scanner.inParentheses('registers of an invocation');
    return { name, invocations, registers, body: this.block() };
  }

  private barrierPlace(): BarrierPlace {
    return { array: this.scanner.name('an array of barriers'), index: this.expressions.inBrackets() };
  }
}
