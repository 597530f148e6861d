import { Flux2cError } from '../ir/diagnostics.js';
import { Dim, type DimBinding } from '../ir/dim.js';
import { type DType, isFloat } from '../ir/dtype.js';
import { opKinds } from '../ir/graph/attribute-forms.js';
import type { OpAttributes, OpKind } from '../ir/graph/attributes.js';
import { type BlockBuilder, type FunctionBuilder, ModuleBuilder, type PlainOpKind } from '../ir/graph/builder.js';
import type { Module, TensorType, Value } from '../ir/graph/graph.js';
import type { OpDefinition } from '../ir/graph/op-table.js';
import { interpretFunction } from '../ir/graph/interpret.js';
import { opTable } from '../ir/graph/ops/index.js';
import { roundToDType } from '../ir/graph/ops/rounding.js';
import { countElements, type HostTensor } from '../ir/host-tensor.js';
import { Random } from './random.js';
import { addLoop, addFused } from './random-blocks.js';
import { isGood, isSteady, largestOf } from './random-conditioning.js';
import { type Candidate, candidates } from './random-operations.js';

export type RandomFloat = 'f32' | 'bf16' | 'f16';

export interface RandomGraphOptions {
  /** Kinds to choose from, by default all. What an operation needs as operands may be there besides. */
  readonly ops?: readonly OpKind[];
  /** How many operations are tried, by default 12. A smaller size with the same seed is the beginning of the same graph. */
  readonly size?: number;
  /**
   * Float types of inputs, weights and casts, by default f32 alone with weights of f32 and bf16 beside it. With others,
   * results are rounded to few bits, and programs that compute the same may differ by that.
   */
  readonly dtypes?: readonly RandomFloat[];
}

export interface RandomGraph {
  /** One function, `random`. */
  readonly module: Module;
  readonly sizes: DimBinding;
  readonly inputs: ReadonlyMap<string, HostTensor>;
  /** By name; every weight is the tensor of its own name. */
  readonly weights: ReadonlyMap<string, HostTensor>;
}

/** Larger tensors are not made. */
const maximumElements = 3000;
/** Floats beyond this are scaled down before they are used further. */
const tame = 2;

/**
 * A well-typed graph, the same for the same seed and options, with numbers to run it on. Sizes are small and odd, some
 * dimensions symbolic. Numbers stay within about ±2, and no operation is ill-conditioned: changing its operands by 1e-6
 * changes its results by less than 2e-5, so no division is near 0; floors, comparisons and casts to integers are farther
 * from their steps than 1e-6 and, where an operand has 16 bits, a unit in its last place.
 */
export function randomGraph(seed: number, options: RandomGraphOptions = {}): RandomGraph {
  return new GraphGenerator(seed, options).generate();
}

/** A block being filled: the function's body or that of a loop or fused operation. */
export interface Frame {
  readonly block: BlockBuilder;
  /** What operations here may use. */
  readonly pool: Value[];
  /** Inputs and weights can be added: not in fused bodies. */
  readonly open: boolean;
  /** Symbol and count of the loop around. */
  readonly loop?: { readonly symbol: string; readonly count: number };
}

export class GraphGenerator {
  readonly random: Random;
  readonly dtypes: readonly RandomFloat[];
  frame: Frame;
  readonly sizes: DimBinding;
  /** The numbers of every value, in loops those of the first iteration. */
  readonly tensors = new Map<Value, HostTensor>();
  private readonly module = new ModuleBuilder();
  private readonly body: FunctionBuilder;
  private readonly inputs = new Map<string, HostTensor>();
  private readonly weights = new Map<string, HostTensor>();
  private readonly kinds: readonly OpKind[];
  private readonly used = new Set<Value>();

  constructor(
    private readonly seed: number,
    private readonly options: RandomGraphOptions,
  ) {
    this.random = new Random(seed);
    this.dtypes = options.dtypes ?? ['f32'];
    this.kinds = options.ops ?? opKinds;
    this.sizes = { n: this.random.pick([1, 3, 5]), m: this.random.pick([2, 5, 7]), k: this.random.pick([2, 3]) };
    this.body = this.module.function('random');
    this.frame = { block: this.body, pool: [], open: true };
  }

  generate(): RandomGraph {
    this.frame.pool.push(this.newInput('f32', [Dim.of('n'), Dim.of(this.random.pick([4, 6]))]));
    for (let step = 0; step < (this.options.size ?? 12); step++) this.addOperation(this.random.pick(this.kinds));
    // Its own stream, so that a smaller size does not change the operations before.
    const chooser = new Random(this.seed + 1);
    const unused = this.frame.pool.filter((value) => !this.used.has(value));
    const leaves = unused.length > 0 ? unused : this.frame.pool;
    const results = chooser.shuffle(leaves).slice(0, chooser.integer(1, 4));
    this.body.finish(Object.fromEntries(results.map((value, index) => [`out${index}`, value])));
    const { inputs, weights } = this;
    // Every symbol in use is shown by an input of its own.
    const shown = Object.entries(this.sizes).filter(([symbol]) => inputs.has(`size_${symbol}`));
    return { module: this.module.build(), sizes: Object.fromEntries(shown), inputs, weights };
  }

  /** Tries to add one operation of a kind; false when nothing fits or the numbers would be wild. */
  addOperation(kind: OpKind): boolean {
    if (kind === 'loop') return this.frame.open && this.frame.loop === undefined && addLoop(this);
    if (kind === 'fused') return this.frame.open && addFused(this);
    const candidate = candidates[kind](this) as Candidate<PlainOpKind> | undefined;
    const results = candidate === undefined ? undefined : this.tryEmit(kind, candidate.operands, candidate.attributes);
    if (results === undefined) return false;
    for (const result of results) this.frame.pool.push(this.scaleDown(result));
    return true;
  }

  /** Emits an operation if it can be, and its numbers are good. */
  tryEmit<K extends PlainOpKind>(
    kind: K,
    operands: readonly Value[],
    attributes: OpAttributes[K],
  ): readonly Value[] | undefined {
    const tensors = operands.map((operand) => this.tensorOf(operand));
    const results = this.evaluate(kind, operands, attributes, tensors);
    if (results?.every(isGood) !== true) return undefined;
    if (!isSteady(this, { kind, operands, attributes, tensors, results })) return undefined;
    const values = this.frame.block.emit(kind, operands, attributes);
    for (const operand of operands) this.used.add(operand);
    values.forEach((value, at) => this.tensors.set(value, results[at] as HostTensor));
    return values;
  }

  /** Any value of the pool that fits. */
  pickValue(fits: (value: Value) => boolean): Value | undefined {
    const fitting = this.frame.pool.filter(fits);
    return fitting.length === 0 ? undefined : this.random.pick(fitting);
  }

  pickFloat(fits: (value: Value) => boolean = () => true): Value | undefined {
    return this.pickValue((value) => isFloat(value.type.dtype) && fits(value));
  }

  /** A new input, weight or constant of that type. Undefined in fused bodies, unless a scalar does. */
  newOperand(dtype: DType, shape: readonly Dim[]): Value | undefined {
    const { frame, random } = this;
    const constant = shape.every((dim) => dim.constant !== undefined);
    const elements = countElements(shape.map((dim) => dim.evaluate(this.sizes)));
    if (!shape.every((dim) => dim.symbols.every((symbol) => symbol in this.sizes))) return undefined;
    if (shape.length === 0 || (constant && elements <= 12 && random.chance(0.2))) {
      const values = this.numbers(dtype, elements);
      const attributes = { dtype, shape, values: [...values] };
      return this.tryEmit('constant', [], attributes)?.[0];
    }
    if (!frame.open || elements > maximumElements) return undefined;
    return constant && isFloat(dtype) && random.chance(0.5)
      ? this.newWeight(dtype, shape)
      : this.newInput(dtype, shape);
  }

  newInput(dtype: DType, shape: readonly Dim[]): Value {
    // A symbol that has not been seen alone is shown by an input of its own, so that shapes give its size.
    for (const symbol of shape.flatMap((dim) => dim.symbols)) this.showSymbol(symbol);
    return this.declareInput(`in${this.inputs.size}`, dtype, shape);
  }

  /** A dimension: mostly small constants, sometimes symbols and sums of them. */
  newDim(): Dim {
    const text = this.random.pick([1, 2, 3, 4, 4, 5, 6, 'n', 'm', 'k', 'n+m', '2*n']);
    for (const symbol of Dim.of(text).symbols) this.showSymbol(symbol);
    return Dim.of(text);
  }

  tensorOf(value: Value): HostTensor {
    return this.tensors.get(value) as HostTensor;
  }

  sizeOf(dim: Dim): number {
    const { loop } = this.frame;
    return dim.evaluate(loop === undefined ? this.sizes : { ...this.sizes, [loop.symbol]: 0 });
  }

  /** Runs `action` with another block as the place to add to. */
  inside<T>(frame: Frame, action: () => T): T {
    const outer = this.frame;
    this.frame = frame;
    try {
      return action();
    } finally {
      this.frame = outer;
    }
  }

  /** Computes values of the function's body that are not known yet: the results of a loop. */
  interpretSoFar(values: readonly Value[]): void {
    const names = values.map((_, index) => `${index}`);
    const body = this.body.close(values);
    const functions = new Map([['random', { name: 'random', resultNames: names, body }]]);
    const weight = (name: string): HostTensor => this.weights.get(name) as HostTensor;
    const results = interpretFunction({ weights: this.module.weights, functions }, 'random', this.inputs, weight, {
      precision: 'f64',
    });
    values.forEach((value, index) => this.tensors.set(value, results.get(`${index}`) as HostTensor));
  }

  markUsed(values: readonly Value[]): void {
    for (const value of values) this.used.add(value);
  }

  /** The value, or if its numbers are large a multiple by a power of two. */
  scaleDown(value: Value): Value {
    const largest = largestOf(this.tensorOf(value));
    if (!isFloat(value.type.dtype) || largest <= tame) return value;
    const factor = 2 ** -Math.ceil(Math.log2(largest / tame));
    const constant = { dtype: value.type.dtype, shape: [], values: [factor] };
    const scale = this.tryEmit('constant', [], constant)?.[0] as Value;
    return this.tryEmit('mul', [value, scale], {})?.[0] ?? value;
  }

  showSymbol(symbol: string): void {
    const name = `size_${symbol}`;
    if (!this.inputs.has(name)) this.declareInput(name, 'f32', [Dim.of(symbol)]);
  }

  private declareInput(name: string, dtype: DType, shape: readonly Dim[]): Value {
    const value = this.body.input(name, dtype, shape);
    this.tensors.set(value, this.newTensor(value.type));
    this.inputs.set(name, this.tensorOf(value));
    return value;
  }

  private newWeight(dtype: DType, shape: readonly Dim[]): Value {
    const name = `w.${this.weights.size}`;
    const stored = dtype === 'f32' && this.random.chance(0.5) ? 'bf16' : dtype;
    const { type } = this.module.declareWeight(name, stored, shape);
    this.weights.set(name, this.newTensor(type));
    const value = this.frame.block.emitOne('weight', [], { name }, `@${name}`);
    this.tensors.set(value, this.weights.get(name) as HostTensor);
    return value;
  }

  private newTensor(type: TensorType): HostTensor {
    const shape = type.shape.map((dim) => dim.evaluate(this.sizes));
    return { dtype: type.dtype, shape, data: this.numbers(type.dtype, countElements(shape)) };
  }

  /** Floats within ±2, integers 0..4 (ids and counts), booleans. */
  private numbers(dtype: DType, count: number): Float64Array {
    const { random } = this;
    const draw = (): number => {
      if (dtype === 'bool') return random.integer(0, 1);
      return isFloat(dtype) ? roundToDType(dtype, random.between(-tame, tame)) : random.integer(0, 4);
    };
    return Float64Array.from({ length: count }, draw);
  }

  /** What an operation gives; undefined when it does not fit, or its results are too large or empty. */
  evaluate<K extends PlainOpKind>(
    kind: K,
    operands: readonly Value[],
    attributes: OpAttributes[K],
    tensors: readonly HostTensor[],
  ): readonly HostTensor[] | undefined {
    const row: OpDefinition<K> = opTable[kind];
    const { loop } = this.frame;
    const sizes = loop === undefined ? this.sizes : { ...this.sizes, [loop.symbol]: 0 };
    try {
      const types = row.infer(
        operands.map((operand) => operand.type),
        attributes,
        { weightType: (name) => this.module.weight(name)?.type },
      );
      const counts = types.map((type) => countElements(type.shape.map((dim) => dim.evaluate(sizes))));
      if (counts.some((count) => count < 1 || count > maximumElements)) return undefined;
      const weight = (name: string): HostTensor => this.weights.get(name) as HostTensor;
      return row.evaluate?.(tensors, attributes, types, { sizes, precision: 'f64', weight });
    } catch (error) {
      // What does not fit is not made: infer and the reference semantics say so.
      if (error instanceof Flux2cError) return undefined;
      throw error;
    }
  }
}
