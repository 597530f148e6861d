import { fieldNamesOf } from '../decode-element.js';
import { findEncoding } from '../encoding.js';
import type { Dim } from '../dim.js';
import type { DiagnosticCode } from '../diagnostics.js';
import { Flux2cError, unreachable } from '../diagnostics.js';
import { bytesOfVector, mostProductsOfBytes } from './bytes.js';
import type { Axis, IndexCondition, IndexTerm, TileDecode, TileExpression, TileKernel, TileStatement } from './tile.js';

/**
 * Throws for the first thing that is wrong with a tile kernel:
 *
 * - F2C250 an unknown buffer, axis, tile, term or size
 * - F2C251 a name twice, or one that cannot be a name
 * - F2C252 a load from a written buffer or a store to a read one
 * - F2C253 an axis where it has no coordinate: a loop axis outside of `for`, `contract` and `reduce`, or a tile read or assigned
 *   where its axes are not all walked
 * - F2C254 an axis of the wrong kind: `for` over a grid axis, a reduction over an axis of its own tile
 * - F2C255 a number that cannot be: a tile below 1, a whole axis that its tile does not hold, a mask that is no integer; products of bytes
 *   of something else than bytes, or of more than 32 bits hold
 * - F2C256 two axes on one grid dimension
 * - F2C257 a statement that leaves out a grid axis with several coordinates a workgroup although its value depends on it
 */
export function verifyTileKernel(kernel: TileKernel): void {
  new TileCheck(kernel).run();
}

/** Axes of a statement that have a coordinate for each element, and those that stand still at their tile's first. */
type Walked = ReadonlySet<string>;

class TileCheck {
  private readonly axes = new Map<string, Axis>();
  private readonly terms = new Map<string, IndexTerm>();
  private readonly names = new Set<string>();
  private readonly tiles = new Map<string, readonly string[]>();
  /** Loop axes that a `for` walks here. */
  private readonly open = new Set<string>();
  /** Expressions of the current statement: subexpressions that are one object are visited once. */
  private readonly checked = new Set<TileExpression>();

  constructor(private readonly kernel: TileKernel) {}

  run(): void {
    const { kernel } = this;
    if (!/^[A-Za-z0-9_.]*$/.test(kernel.name)) this.fail('F2C251', `'${kernel.name}' is no name for a kernel`);
    for (const { name, alignment } of kernel.buffers) {
      this.declare(name);
      this.checkPositive(alignment, `the alignment of '${name}'`);
    }
    for (const name of kernel.parameters) this.declare(name);
    for (const axis of kernel.axes) this.checkAxis(axis);
    for (const term of kernel.terms) this.checkTerm(term);
    this.block(kernel.body);
  }

  private checkAxis(axis: Axis): void {
    this.declare(axis.name);
    this.checkPositive(axis.tile, `the tile of axis '${axis.name}'`);
    this.checkSizes(axis.extent, `the extent of axis '${axis.name}'`);
    if (axis.kind === 'whole' && axis.extent.constant !== axis.tile) {
      this.fail('F2C255', `the tile of axis '${axis.name}' does not hold all of it`, {
        expected: axis.extent.text,
        found: `${axis.tile}`,
      });
    }
    for (const other of this.axes.values()) {
      if (axis.kind !== 'loop' && axis.kind !== 'whole' && other.kind === axis.kind) {
        this.fail('F2C256', `axes '${other.name}' and '${axis.name}' share a grid dimension`);
      }
    }
    this.axes.set(axis.name, axis);
  }

  private checkTerm(term: IndexTerm): void {
    const what = `term '${term.name}'`;
    switch (term.kind) {
      case 'floor':
      case 'modulo':
        this.checkKnown(term.of, what);
        this.checkSizes(term.by, what);
        break;
      case 'exclusive_or':
        this.checkKnown(term.of, what);
        if (!Number.isInteger(term.mask)) this.fail('F2C255', `the mask of ${what} is no integer`);
        break;
      case 'loaded':
        this.checkKnown(term.at, what);
        this.checkSizes(term.limit, what);
        this.checkReadable(term.buffer);
        break;
      default:
        unreachable(term, 'index term');
    }
    this.declare(term.name);
    this.terms.set(term.name, term);
  }

  private block(body: readonly TileStatement[]): void {
    const declared: string[] = [];
    for (const statement of body) {
      this.statement(statement);
      if (statement.kind === 'tile') declared.push(statement.name);
    }
    for (const name of declared) this.tiles.delete(name);
  }

  private statement(statement: TileStatement): void {
    this.checked.clear();
    switch (statement.kind) {
      case 'tile': {
        const walked = this.walk(statement.axes);
        this.expression(statement.value, walked);
        this.declare(statement.name);
        this.tiles.set(statement.name, statement.axes);
        return;
      }
      case 'assign':
        return this.expression(statement.value, this.walk(this.tileAxes(statement.name)));
      case 'contract':
      case 'reduce': {
        const axes = this.tileAxes(statement.name);
        if (axes.includes(statement.over) || this.axis(statement.over).kind.startsWith('grid')) {
          this.fail('F2C254', `'${statement.name}' cannot be reduced over axis '${statement.over}'`, {
            expected: 'a loop or whole axis that the tile does not have',
          });
        }
        const walked = new Set(this.walk(axes)).add(statement.over);
        const values = statement.kind === 'reduce' ? [statement.value] : [statement.a, statement.b];
        for (const value of values) this.expression(value, walked);
        if (statement.kind === 'contract' && statement.inBytes === true) this.bytes(statement);
        return;
      }
      case 'for':
        if (this.axis(statement.axis).kind !== 'loop' || this.open.has(statement.axis)) {
          this.fail('F2C254', `'for' cannot walk axis '${statement.axis}'`, { expected: 'a loop axis, once' });
        }
        this.conditions(statement.conditions ?? [], new Set());
        this.open.add(statement.axis);
        this.block(statement.body);
        this.open.delete(statement.axis);
        return;
      case 'store': {
        const buffer = this.kernel.buffers.find(({ name }) => name === statement.buffer);
        if (buffer === undefined) return this.fail('F2C250', `there is no buffer '${statement.buffer}'`);
        if (buffer.access === 'read') this.fail('F2C252', `'${buffer.name}' is stored to but declared as read`);
        const walked = this.walk(statement.axes);
        this.index(statement.index, walked, `the place in '${buffer.name}'`);
        this.conditions(statement.conditions, walked);
        return this.expression(statement.value, walked);
      }
      default:
        unreachable(statement, 'tile statement');
    }
  }

  /** Sums of products of bytes are exact as long as 32 bits hold them. */
  private bytes({ name, over, a, b }: Extract<TileStatement, { kind: 'contract' }>): void {
    for (const factor of [a, b]) {
      const buffer = factor.kind === 'load' ? this.kernel.buffers.find((one) => one.name === factor.buffer) : undefined;
      if (buffer?.storage === 'i8' && buffer.alignment % bytesOfVector === 0) continue;
      this.fail('F2C255', `a factor of '${name}' is no load of bytes`, {
        expected: `a load from an i8 buffer aligned to ${bytesOfVector}`,
        found: buffer === undefined ? factor.kind : `${buffer.storage} aligned to ${buffer.alignment}`,
      });
    }
    const { constant } = this.axis(over).extent;
    if (constant !== undefined && constant % bytesOfVector === 0 && constant <= mostProductsOfBytes) return;
    this.fail('F2C255', `32 bits do not hold '${name}', or it ends within a vector of bytes`, {
      expected: `a multiple of ${bytesOfVector} up to ${mostProductsOfBytes}`,
      found: this.axis(over).extent.text,
    });
  }

  /** Axes of a tile or store: each once, each with a tile here. */
  private walk(axes: readonly string[]): Walked {
    for (const name of axes) {
      const { kind } = this.axis(name);
      if (kind === 'loop' && !this.open.has(name)) this.fail('F2C253', `no 'for' walks axis '${name}' here`);
    }
    if (new Set(axes).size !== axes.length) this.fail('F2C251', `an axis is listed twice: ${axes.join(', ')}`);
    return new Set(axes);
  }

  private expression(expression: TileExpression, walked: Walked): void {
    if (this.checked.has(expression)) return;
    this.checked.add(expression);
    switch (expression.kind) {
      case 'number':
        return;
      case 'tile': {
        const missing = this.tileAxes(expression.name).find((axis) => !walked.has(axis));
        if (missing === undefined) return;
        return this.fail('F2C253', `tile '${expression.name}' is read where axis '${missing}' is not walked`);
      }
      case 'index':
        return this.index(expression.index, walked, 'an index');
      case 'load':
        this.checkReadable(expression.buffer);
        this.index(expression.index, walked, `the place in '${expression.buffer}'`);
        return this.conditions(expression.conditions, walked);
      case 'unary':
      case 'convert':
        return this.expression(expression.operand, walked);
      case 'binary':
        this.expression(expression.left, walked);
        return this.expression(expression.right, walked);
      case 'select':
        this.expression(expression.condition, walked);
        this.expression(expression.yes, walked);
        return this.expression(expression.no, walked);
      case 'when':
        this.conditions(expression.conditions, walked);
        this.expression(expression.yes, walked);
        return this.expression(expression.no, walked);
      case 'exchange':
        this.checkExchange(expression.axis, expression.mask, walked);
        return this.expression(expression.operand, walked);
      case 'decode':
        this.index(expression.column, walked, 'a column of an encoded row');
        return this.fields(expression, walked);
      default:
        unreachable(expression, 'tile expression');
    }
  }

  private fields({ encoding: text, fields }: TileDecode, walked: Walked): void {
    const encoding = findEncoding(text);
    const count = encoding === undefined ? 0 : fieldNamesOf(encoding).length;
    if (count === 0 || fields.length !== count) {
      this.fail('F2C255', 'an encoded row has other fields', {
        expected: encoding === undefined ? 'an encoding' : `${count} for ${text}`,
        found: encoding === undefined ? text : `${fields.length}`,
      });
    }
    for (const field of fields) this.expression(field, walked);
  }

  /** Coordinates and their partners are all inside the extent. */
  private checkExchange(name: string, mask: number, walked: Walked): void {
    this.checkPositive(mask, 'the mask of an exchange');
    if (!walked.has(name)) this.fail('F2C253', `an exchange is along axis '${name}', which is not walked here`);
    const block = 2 ** (Math.floor(Math.log2(mask)) + 1);
    const { extent, tile } = this.axis(name);
    if (extent.isMultipleOf(block) && tile % block === 0) return;
    this.fail('F2C255', `axis '${name}' has no pairs`, {
      expected: `an extent and a tile of ${block} times a number`,
      found: `${extent.text}, ${tile}`,
    });
  }

  private conditions(conditions: readonly IndexCondition[], walked: Walked): void {
    for (const { left, right } of conditions) {
      this.index(left, walked, 'a condition');
      this.index(right, walked, 'a condition');
    }
  }

  /** Every axis in the index is walked, or stands still where its workgroup has one coordinate. */
  private index(index: Dim, walked: Walked, what: string): void {
    this.checkKnown(index, what);
    for (const name of this.axesOf(index)) {
      if (walked.has(name)) continue;
      const { kind, tile } = this.axis(name);
      if (kind === 'loop' || kind === 'whole')
        this.fail('F2C253', `${what} uses axis '${name}', which is not walked here`);
      if (tile > 1) this.fail('F2C257', `${what} depends on axis '${name}', which the statement leaves out`);
    }
  }

  private axesOf(index: Dim): readonly string[] {
    return index.symbols.flatMap((symbol) => {
      const term = this.terms.get(symbol);
      if (term !== undefined) return this.axesOf(term.kind === 'loaded' ? term.at : term.of);
      return this.axes.has(symbol) ? [symbol] : [];
    });
  }

  private checkKnown(index: Dim, what: string): void {
    for (const symbol of index.symbols) {
      if (this.axes.has(symbol) || this.terms.has(symbol) || this.kernel.parameters.includes(symbol)) continue;
      this.fail('F2C250', `${what} uses '${symbol}', which is neither axis, term nor parameter`, { found: index.text });
    }
  }

  private checkSizes(size: Dim, what: string): void {
    for (const symbol of size.symbols) {
      if (this.kernel.parameters.includes(symbol)) continue;
      this.fail('F2C250', `${what} uses '${symbol}', which is no parameter`, { found: size.text });
    }
  }

  private checkReadable(name: string): void {
    const buffer = this.kernel.buffers.find((candidate) => candidate.name === name);
    if (buffer === undefined) return this.fail('F2C250', `there is no buffer '${name}'`);
    if (buffer.access === 'write') this.fail('F2C252', `'${name}' is loaded from but declared as write`);
  }

  private axis(name: string): Axis {
    return this.axes.get(name) ?? this.fail('F2C250', `there is no axis '${name}'`);
  }

  private tileAxes(name: string): readonly string[] {
    return this.tiles.get(name) ?? this.fail('F2C250', `there is no tile '${name}' here`);
  }

  private declare(name: string): void {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) this.fail('F2C251', `'${name}' cannot be a name`);
    if (this.names.has(name)) this.fail('F2C251', `'${name}' is declared twice`);
    this.names.add(name);
  }

  private checkPositive(value: number, what: string): void {
    if (Number.isInteger(value) && value >= 1) return;
    this.fail('F2C255', `${what} is no positive integer`, { found: `${value}` });
  }

  private fail(code: DiagnosticCode, message: string, detail: { expected?: string; found?: string } = {}): never {
    throw new Flux2cError(code, message, { where: [`kernel @${this.kernel.name}`], ...detail });
  }
}
