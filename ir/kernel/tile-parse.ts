import { fieldNamesOf } from '../decode-element.js';
import { type Encoding, findEncoding } from '../encoding.js';
import { Dim } from '../dim.js';
import { TextScanner } from './text-scanner.js';
import { parseInfix } from './infix.js';
import type { BinaryOperator, BufferParameter, StorageType } from './thread.js';
import type {
  Axis,
  IndexCondition,
  IndexTerm,
  TileBuffer,
  TileConversion,
  TileExpression,
  TileKernel,
  TileStatement,
  TileUnaryOperator,
} from './tile.js';

const storages: readonly StorageType[] = ['f32', 'f16', 'bf16', 'f8e4m3', 'i8', 'i32', 'u32', 'u8', 'bool'];
const accesses: readonly BufferParameter['access'][] = ['read', 'write', 'read_write'];
const conversions: readonly TileConversion[] = ['f32', 'f16', 'bf16', 'f8e4m3', 'i8', 'i32', 'u32', 'bool'];
const unaryCalls: readonly TileUnaryOperator[] = [
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
  'sigmoid',
  'silu',
  'gelu',
  'erf',
];
const binaryCalls: readonly BinaryOperator[] = ['min', 'max', 'pow'];

/** Reads what `printTileKernel` writes. Throws F2C211 with line and column. */
export function parseTileKernel(text: string): TileKernel {
  return new TileParser(text).kernel();
}

class TileParser {
  private readonly scanner: TextScanner;

  constructor(text: string) {
    this.scanner = new TextScanner(text, 'F2C211');
  }

  kernel(): TileKernel {
    const { scanner } = this;
    scanner.expect('kernel');
    const name = scanner.label();
    const parameters = scanner.accept('params') ? scanner.list('(', ')', () => scanner.name('a parameter')) : [];
    const buffers: TileBuffer[] = [];
    while (scanner.accept('buffer')) buffers.push(this.buffer());
    const axes: Axis[] = [];
    while (scanner.accept('axis')) axes.push(this.axis());
    const terms: IndexTerm[] = [];
    while (scanner.accept('term')) terms.push(this.term());
    const body = this.block();
    scanner.expectEnd();
    return { phase: 'tile', name, buffers, parameters, axes, terms, body };
  }

  private buffer(): TileBuffer {
    const { scanner } = this;
    const name = scanner.name('a buffer');
    scanner.expect(':');
    const access = scanner.oneOf(accesses, 'an access');
    const storage = scanner.oneOf(storages, 'a storage type');
    scanner.expect('align');
    return { name, storage, access, alignment: scanner.integer('elements') };
  }

  private axis(): Axis {
    const { scanner } = this;
    const name = scanner.name('an axis');
    scanner.expect('=');
    const place = scanner.oneOf(['grid', 'loop', 'whole'] as const, 'a kind of axis');
    const kind = place === 'grid' ? (`grid_${scanner.oneOf(['x', 'y', 'z'] as const, 'a grid axis')}` as const) : place;
    scanner.expect(',');
    scanner.expect('extent');
    const extent = this.polynomial();
    scanner.expect(',');
    scanner.expect('tile');
    return { name, kind, extent, tile: scanner.integer('a tile size') };
  }

  private term(): IndexTerm {
    const { scanner } = this;
    const name = scanner.name('a term');
    scanner.expect('=');
    const kind = scanner.oneOf(['floor', 'modulo', 'exclusive_or', 'loaded'] as const, 'a kind of term');
    scanner.expect('(');
    let term: IndexTerm;
    if (kind === 'loaded') {
      const buffer = scanner.name('a buffer');
      scanner.expect('[');
      const at = this.polynomial();
      scanner.expect(']');
      scanner.expect(',');
      term = { name, kind, buffer, at, limit: this.polynomial() };
    } else {
      const of = this.polynomial();
      scanner.expect(',');
      if (kind === 'exclusive_or') term = { name, kind, of, mask: scanner.integer('a mask') };
      else term = { name, kind, of, by: this.polynomial() };
    }
    scanner.expect(')');
    return term;
  }

  private polynomial(): Dim {
    const { scanner } = this;
    let sum = Dim.of(0);
    let sign = scanner.accept('-') ? -1 : 1;
    for (;;) {
      let product = Dim.of(sign);
      do {
        product = product.mul(
          scanner.seesNumber ? scanner.integer('a coefficient') : Dim.symbol(scanner.name('an index')),
        );
      } while (scanner.accept('*'));
      sum = sum.add(product);
      if (scanner.accept('+')) sign = 1;
      else if (scanner.accept('-')) sign = -1;
      else return sum;
    }
  }

  private conditions(): IndexCondition[] {
    const { scanner } = this;
    const conditions: IndexCondition[] = [];
    do {
      const left = this.polynomial();
      const sign = scanner.oneOf(['<', '>='] as const, 'a comparison');
      conditions.push({ kind: sign === '<' ? 'less' : 'not_less', left, right: this.polynomial() });
    } while (scanner.accept(','));
    return conditions;
  }

  /** Behind the opening bracket, through the closing one. */
  private address(): { readonly index: Dim; readonly conditions: IndexCondition[] } {
    const index = this.polynomial();
    const conditions = this.scanner.accept('if') ? this.conditions() : [];
    this.scanner.expect(']');
    return { index, conditions };
  }

  private block(): TileStatement[] {
    const body: TileStatement[] = [];
    this.scanner.expect('{');
    while (!this.scanner.accept('}')) body.push(this.statement());
    return body;
  }

  private statement(): TileStatement {
    const { scanner } = this;
    if (scanner.accept('tile')) {
      const name = scanner.name('a tile');
      const axes = this.axisList();
      scanner.expect('=');
      return { kind: 'tile', name, axes, value: this.expression() };
    }
    if (scanner.accept('contract')) {
      const [name, over] = this.target();
      const inBytes = scanner.accept('in');
      if (inBytes) scanner.expect('bytes');
      scanner.expect(':');
      const product = this.expression();
      if (product.kind !== 'binary' || product.operator !== 'mul') return scanner.fail('a product before this');
      return { kind: 'contract', name, over, ...(inBytes && { inBytes }), a: product.left, b: product.right };
    }
    if (scanner.accept('reduce')) {
      const operator = scanner.oneOf(['add', 'max'] as const, 'an operator');
      const [name, over] = this.target();
      const padded = scanner.accept('padded');
      scanner.expect(':');
      return { kind: 'reduce', name, over, operator, ...(padded && { padded }), value: this.expression() };
    }
    if (scanner.accept('for')) {
      const axis = scanner.name('an axis');
      const conditions = scanner.accept('if') ? this.conditions() : undefined;
      return { kind: 'for', axis, ...(conditions && { conditions }), body: this.block() };
    }
    if (scanner.accept('store')) {
      const buffer = scanner.name('a buffer');
      scanner.expect('[');
      const { index, conditions } = this.address();
      scanner.expect('for');
      const axes = this.axisList();
      scanner.expect('=');
      return { kind: 'store', buffer, axes, index, conditions, value: this.expression() };
    }
    const name = scanner.name('a statement');
    scanner.expect('=');
    return { kind: 'assign', name, value: this.expression() };
  }

  private axisList(): string[] {
    return this.scanner.list('[', ']', () => this.scanner.name('an axis'));
  }

  private target(): readonly [name: string, over: string] {
    const { scanner } = this;
    const name = scanner.name('a tile');
    scanner.expect('over');
    return [name, scanner.name('an axis')];
  }

  private expression(): TileExpression {
    const combine = (operator: BinaryOperator, left: TileExpression, right: TileExpression): TileExpression => ({
      kind: 'binary',
      operator,
      left,
      right,
    });
    return parseInfix(this.scanner, () => this.prefix(), combine);
  }

  private prefix(): TileExpression {
    const { scanner } = this;
    if (scanner.accept('!')) return { kind: 'unary', operator: 'not', operand: this.primary() };
    if (!scanner.accept('-')) return this.primary();
    if (scanner.seesNumber || scanner.sees('inf')) return this.number(-1);
    return { kind: 'unary', operator: 'neg', operand: this.primary() };
  }

  private number(sign: 1 | -1): TileExpression {
    const { scanner } = this;
    if (scanner.accept('inf')) return { kind: 'number', value: sign * Infinity };
    if (scanner.accept('nan')) return { kind: 'number', value: NaN };
    return { kind: 'number', value: sign * Number(scanner.numberText('a number')) };
  }

  private primary(): TileExpression {
    const { scanner } = this;
    if (scanner.accept('(')) {
      const inner = this.expression();
      scanner.expect(')');
      return inner;
    }
    if (scanner.seesNumber || scanner.sees('inf') || scanner.sees('nan')) return this.number(1);
    const name = scanner.name('an expression');
    if (scanner.accept('[')) return { kind: 'load', buffer: name, ...this.address() };
    if (!scanner.accept('(')) return { kind: 'tile', name };
    if (name === 'index') {
      const index = this.polynomial();
      scanner.expect(')');
      return { kind: 'index', index };
    }
    if (name === 'when') {
      const conditions = scanner.sees(':') ? [] : this.conditions();
      scanner.expect(':');
      const [yes, no] = this.operands(2) as [TileExpression, TileExpression];
      return { kind: 'when', conditions, yes, no };
    }
    if (name === 'exchange') {
      const axis = scanner.name('an axis');
      scanner.expect(',');
      const mask = scanner.integer('a mask');
      scanner.expect(',');
      return { kind: 'exchange', axis, mask, operand: this.operands(1)[0] as TileExpression };
    }
    const encoding = name.startsWith('decode_') ? encodingNamed(name.slice('decode_'.length)) : undefined;
    if (encoding !== undefined) return this.decode(encoding);
    return this.call(name);
  }

  /** Behind the opening parenthesis: the column, then each field. */
  private decode(encoding: Encoding): TileExpression {
    const { scanner } = this;
    const column = this.polynomial();
    scanner.expect(':');
    return { kind: 'decode', encoding: encoding.text, column, fields: this.operands(fieldNamesOf(encoding).length) };
  }

  private call(name: string): TileExpression {
    const unary = unaryCalls.find((known) => known === name);
    if (unary !== undefined) return { kind: 'unary', operator: unary, operand: this.operands(1)[0] as TileExpression };
    const binary = binaryCalls.find((known) => known === name);
    if (binary !== undefined) {
      const [left, right] = this.operands(2) as [TileExpression, TileExpression];
      return { kind: 'binary', operator: binary, left, right };
    }
    if (name === 'select') {
      const [condition, yes, no] = this.operands(3) as [TileExpression, TileExpression, TileExpression];
      return { kind: 'select', condition, yes, no };
    }
    const to = conversions.find((scalar) => name === `to_${scalar}`);
    if (to !== undefined) return { kind: 'convert', to, operand: this.operands(1)[0] as TileExpression };
    return this.scanner.fail('operands of a function of the kernel language', `${name}(`);
  }

  /** Behind the opening parenthesis, through the closing one. */
  private operands(count: number): TileExpression[] {
    const operands: TileExpression[] = [];
    for (let at = 0; at < count; at++) {
      if (at > 0) this.scanner.expect(',');
      operands.push(this.expression());
    }
    this.scanner.expect(')');
    return operands;
  }
}

/** `int4_64` is `int4:64`: names of functions have no colon. */
function encodingNamed(name: string): Encoding | undefined {
  return findEncoding(name) ?? findEncoding(name.replace(/_(?=[0-9]+$)/, ':'));
}
