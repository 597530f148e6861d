import type { Dim, DimBinding } from '../dim.js';
import { Flux2cError, unreachable } from '../diagnostics.js';
import { decodeElement } from '../decode-element.js';
import { parseEncoding } from '../encoding.js';
import { bf16ToF32, f32ToBf16, f32ToF8e4m3, f8e4m3ToF32, numberToI8 } from '../dtype.js';
import { erf } from '../graph/ops/error-function.js';
import { binaryFunction, convertFunction, unaryFunction } from './thread-interpret-operators.js';
import type { ScalarType } from './thread.js';
import type { Axis, IndexCondition, IndexTerm, TileConversion, TileExpression, TileKernel, TileUnaryOperator } from './tile.js'; // prettier-ignore

/** Elements of a buffer as numbers. */
export type ElementArray = Float64Array | Float32Array | Int32Array | Uint32Array | Int8Array | Uint8Array;

/** The elements of a tile at the current workgroup and chunk, row-major over its axes' tiles. */
export interface TileValues {
  readonly axes: readonly string[];
  /** Of the axes in the kernel. */
  readonly places: readonly number[];
  readonly sizes: readonly number[];
  readonly elements: Float64Array;
}

type Evaluate = () => number;

/** Where an element of a buffer is, at the current coordinates. */
export interface BufferElement {
  readonly read: Evaluate;
  readonly write: (value: number) => void;
}

/** Turns expressions and index polynomials into closures over the current coordinates. */
export class TileEvaluator {
  /** By the axis' place in the kernel. */
  private readonly coordinates: Float64Array;
  /** First coordinates of the tiles that axes are at. */
  private readonly bases: Float64Array;
  private readonly places: ReadonlyMap<string, number>;
  private readonly terms: ReadonlyMap<string, IndexTerm>;
  private readonly tiles = new Map<string, TileValues>();
  private readonly compiled = new Map<TileExpression, Evaluate>();
  private readonly compiledTerms = new Map<string, Evaluate>();
  /** Counts the elements computed so far, so that a shared subexpression is computed once for each. */
  private stamp = 0;

  constructor(
    private readonly kernel: TileKernel,
    private readonly buffers: Readonly<Record<string, ElementArray>>,
    private readonly parameters: DimBinding,
  ) {
    this.terms = new Map(kernel.terms.map((term) => [term.name, term]));
    this.places = new Map(kernel.axes.map(({ name }, place) => [name, place]));
    this.coordinates = new Float64Array(kernel.axes.length);
    this.bases = new Float64Array(kernel.axes.length);
  }

  move(axis: string, coordinate: number): void {
    this.coordinates[this.placeOf(axis)] = coordinate;
  }

  /** Enters the tile of an axis that starts at `base`. */
  enter(axis: string, base: number): void {
    this.bases[this.placeOf(axis)] = base;
    this.move(axis, base);
  }

  private placeOf(axis: string): number {
    const place = this.places.get(axis);
    if (place === undefined) throw new Flux2cError('F2C250', `the kernel has no axis '${axis}'`);
    return place;
  }

  /** Coordinates have moved: nothing computed before holds. */
  beginElement(): void {
    this.stamp++;
  }

  declare(name: string, axes: readonly Axis[]): TileValues {
    const sizes = axes.map(({ tile }) => tile);
    const length = sizes.reduce((product, size) => product * size, 1);
    const places = axes.map((axis) => this.placeOf(axis.name));
    const tile = { axes: axes.map((axis) => axis.name), places, sizes, elements: new Float64Array(length) };
    this.tiles.set(name, tile);
    return tile;
  }

  tile(name: string): TileValues {
    const tile = this.tiles.get(name);
    if (tile === undefined) throw new Flux2cError('F2C250', `the kernel has no tile '${name}' here`);
    return tile;
  }

  read(tile: TileValues): number {
    return tile.elements[this.placeIn(tile)] as number;
  }

  write(tile: TileValues, value: number): void {
    tile.elements[this.placeIn(tile)] = value;
  }

  private placeIn({ places, sizes }: TileValues): number {
    let inside = 0;
    for (let at = 0; at < places.length; at++) {
      const place = places[at] as number;
      const coordinate = (this.coordinates[place] as number) - (this.bases[place] as number);
      inside = inside * (sizes[at] as number) + coordinate;
    }
    return inside;
  }

  polynomial(index: Dim): Evaluate {
    const { constant } = index;
    if (constant !== undefined) return () => constant;
    const monomials = index.monomials().map(({ symbols, coefficient }) => ({
      coefficient,
      factors: symbols.map((symbol) => this.symbol(symbol)),
    }));
    return () => {
      let sum = 0;
      for (const { coefficient, factors } of monomials) {
        let product = coefficient;
        for (const factor of factors) product *= factor();
        sum += product;
      }
      return sum;
    };
  }

  private symbol(name: string): Evaluate {
    const place = this.places.get(name);
    if (place !== undefined) return () => this.coordinates[place] as number;
    const known = this.compiledTerms.get(name);
    if (known !== undefined) return known;
    const term = this.terms.get(name);
    if (term !== undefined) {
      const evaluate = this.term(term);
      this.compiledTerms.set(name, evaluate);
      return evaluate;
    }
    const value = this.parameters[name];
    if (value === undefined) {
      throw new Flux2cError('F2C102', `the size '${name}' is not known`, { where: [`kernel @${this.kernel.name}`] });
    }
    return () => value;
  }

  private term(term: IndexTerm): Evaluate {
    switch (term.kind) {
      case 'floor': {
        const [of, by] = [this.polynomial(term.of), this.polynomial(term.by)];
        return () => Math.floor(of() / by());
      }
      case 'modulo': {
        const [of, by] = [this.polynomial(term.of), this.polynomial(term.by)];
        return () => of() % by();
      }
      case 'exclusive_or': {
        const of = this.polynomial(term.of);
        return () => of() ^ term.mask;
      }
      case 'loaded': {
        const { read } = this.element(term.buffer, term.at);
        const limit = this.polynomial(term.limit);
        return () => Math.max(0, Math.min(limit() - 1, read()));
      }
      default:
        return unreachable(term, 'index term');
    }
  }

  conditions(list: readonly IndexCondition[]): () => boolean {
    const tests = list.map(({ kind, left, right }) => {
      const [a, b] = [this.polynomial(left), this.polynomial(right)];
      return kind === 'less' ? () => a() < b() : () => a() >= b();
    });
    return () => {
      for (const test of tests) if (!test()) return false;
      return true;
    };
  }

  element(buffer: string, index: Dim): BufferElement {
    const elements = this.buffers[buffer];
    if (elements === undefined) throw new Flux2cError('F2C250', `the kernel has no buffer '${buffer}'`);
    const at = this.polynomial(index);
    const base = this.parameters[`${buffer}_base`] ?? 0;
    const place = (verb: string): number => {
      const found = at() + base;
      if (found >= 0 && found < elements.length) return found;
      const coordinates = [...this.places].map(([axis, place]) => `${axis} = ${this.coordinates[place]}`).join(', ');
      throw new Flux2cError('F2C271', `an element outside of a buffer is ${verb}`, {
        where: [`kernel @${this.kernel.name}`, `buffer ${buffer}`],
        expected: `an index below ${elements.length}`,
        found: `${found} at ${coordinates}`,
      });
    };
    return {
      read: () => elements[place('read')] as number,
      write: (value) => {
        elements[place('written')] = value;
      },
    };
  }

  expression(expression: TileExpression): Evaluate {
    const known = this.compiled.get(expression);
    if (known !== undefined) return known;
    const compute = this.compile(expression);
    let computedFor = -1;
    let value = 0;
    const evaluate = (): number => {
      if (computedFor !== this.stamp) {
        value = compute();
        computedFor = this.stamp;
      }
      return value;
    };
    this.compiled.set(expression, evaluate);
    return evaluate;
  }

  private compile(expression: TileExpression): Evaluate {
    switch (expression.kind) {
      case 'number':
        return () => expression.value;
      case 'tile': {
        const tile = this.tile(expression.name);
        return () => this.read(tile);
      }
      case 'index':
        return this.polynomial(expression.index);
      case 'load': {
        const holds = this.conditions(expression.conditions);
        const { read } = this.element(expression.buffer, expression.index);
        return () => (holds() ? read() : 0);
      }
      case 'unary': {
        const operand = this.expression(expression.operand);
        const compute = tileUnaryFunction(expression.operator);
        return () => compute(operand());
      }
      case 'binary': {
        const left = this.expression(expression.left);
        const right = this.expression(expression.right);
        const compute = binaryFunction(expression.operator, 'f32');
        return () => compute(left(), right());
      }
      case 'select': {
        const condition = this.expression(expression.condition);
        const [yes, no] = [this.expression(expression.yes), this.expression(expression.no)];
        return () => (condition() !== 0 ? yes() : no());
      }
      case 'when': {
        const holds = this.conditions(expression.conditions);
        const [yes, no] = [this.expression(expression.yes), this.expression(expression.no)];
        return () => (holds() ? yes() : no());
      }
      case 'convert': {
        const operand = this.expression(expression.operand);
        const { to } = expression;
        const compute = conversions.get(to) ?? convertFunction('f32', to as ScalarType);
        return () => compute(operand());
      }
      case 'exchange': {
        const operand = this.expression(expression.operand);
        const place = this.placeOf(expression.axis);
        const turn = (): void => {
          this.coordinates[place] = (this.coordinates[place] as number) ^ expression.mask;
          this.beginElement();
        };
        return () => {
          turn();
          const value = operand();
          turn();
          return value;
        };
      }
      case 'decode': {
        const encoding = parseEncoding(expression.encoding);
        const column = this.polynomial(expression.column);
        const fields = expression.fields.map((field) => this.expression(field));
        return () => decodeElement(encoding, column(), fields.map((field) => field())); // prettier-ignore
      }
      default:
        return unreachable(expression, 'tile expression');
    }
  }
}

function tileUnaryFunction(operator: TileUnaryOperator): (value: number) => number {
  switch (operator) {
    case 'sigmoid':
      return (x) => 1 / (1 + Math.exp(-x));
    case 'silu':
      return (x) => x / (1 + Math.exp(-x));
    case 'gelu':
      return (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x)));
    case 'erf':
      return erf;
    case 'not':
      return (x) => (x === 0 ? 1 : 0);
    default:
      return unaryFunction(operator, 'f32');
  }
}

/** Conversions to what is no type of register. */
const conversions: ReadonlyMap<TileConversion, (value: number) => number> = new Map([
  ['bf16', (value: number) => bf16ToF32(f32ToBf16(value))],
  ['f8e4m3', (value: number) => f8e4m3ToF32(f32ToF8e4m3(value))],
  ['i8', numberToI8],
]);
