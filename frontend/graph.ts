import { Flux2cError } from '../ir/diagnostics.js';
import { Dim, type DimLike } from '../ir/dim.js';
import type { DType } from '../ir/dtype.js';
import { type BlockBuilder, type FunctionBuilder, ModuleBuilder, type PlainOpKind } from '../ir/graph/builder.js';
import type { OpAttributes } from '../ir/graph/attributes.js';
import type { Module, Value, WeightSource } from '../ir/graph/graph.js';
import { Tensor } from './tensor.js';

/** The tensors of a list, each with its own type, and nothing else. */
type SameTensors<T extends readonly Tensor[]> = {
  readonly [I in keyof T]: T[I] extends Tensor<infer D, infer R> ? Tensor<D, R> : never;
};

/** Several functions that share weights: a transformer, a decoder, ... */
export class ModuleGraph {
  private readonly builder = new ModuleBuilder();

  /** Starts a function. F2C126 when the name is taken. */
  function(name: string): FunctionGraph {
    return new FunctionGraph(this, this.builder, this.builder.function(name));
  }

  /** The finished module. F2C127 when a function has no `output` yet. */
  build(): Module {
    return this.builder.build();
  }
}

/** A function under construction. Operations are functions of tensors (`silu(x)`); what needs no tensor is here. */
export class FunctionGraph {
  private current: BlockBuilder;
  private prefix = '';

  /** Made by `graph` and `ModuleGraph.function`. @internal */
  constructor(
    private readonly owner: ModuleGraph,
    private readonly builder: ModuleBuilder,
    private readonly body: FunctionBuilder,
  ) {
    this.current = body;
  }

  get name(): string {
    return this.body.name;
  }

  /**
   * An input: what the caller passes under this name. Dimensions are numbers, symbols (`'tokens'`) whose value comes
   * with the call, or sums of products of them (`'4*h*w'`, `'img+txt'`).
   */
  input<const D extends DType, const S extends readonly DimLike[]>(
    name: string,
    dtype: D,
    shape: S,
  ): Tensor<D, S['length']> {
    return new Tensor<D, S['length']>(this, this.body.input(name, dtype, shape));
  }

  /**
   * A weight of the checkpoint, by default the tensor of that name; `source` says how it is put together from others.
   * May be asked for any number of times, in any function. F2C124 when asked for with another type than before.
   */
  weight<const D extends DType, const S extends readonly number[]>(
    name: string,
    dtype: D,
    shape: S,
    source?: WeightSource,
  ): Tensor<D, S['length']> {
    this.builder.declareWeight(name, dtype, shape, source);
    return new Tensor<D, S['length']>(this, this.current.emitOne('weight', [], { name }, `@${name}`));
  }

  /** A scalar of rank 0. Beside a tensor a plain number does: `add(x, 1)`. */
  scalar<const D extends DType>(dtype: D, value: number): Tensor<D, 0> {
    return new Tensor<D, 0>(this, this.current.emitScalar(dtype, value));
  }

  /** At most 4096 values, row-major, or one value for all elements. Larger ones are weights or inputs. */
  constant<const D extends DType, const S extends readonly DimLike[]>(
    dtype: D,
    shape: S,
    values: readonly number[] | number,
  ): Tensor<D, S['length']> {
    const attributes = {
      dtype,
      shape: shape.map((dim) => Dim.of(dim)),
      values: typeof values === 'number' ? [values] : values,
    };
    return new Tensor<D, S['length']>(this, this.emit('constant', [], attributes)[0] as Value);
  }

  /** i32[size] = 0, 1, 2, ... */
  iota(size: DimLike): Tensor<'i32', 1> {
    return new Tensor<'i32', 1>(this, this.emit('iota', [], { size: Dim.of(size) })[0] as Value);
  }

  /**
   * Runs `body` `count` times. It gets the carried tensors and returns them for the next round, with the same types;
   * inside, `symbol` counts 0..count-1 as a dimension: `slice(sigmas, 0, 'step', 1)`. The body may use tensors from
   * around it; what it makes leaves it only as a carried tensor.
   *
   *     const [image] = g.loop({ count: 'steps', symbol: 'step' }, [noise], ([x]) => [add(x, velocity(x))]);
   */
  loop<const T extends readonly Tensor[]>(
    options: { readonly count: DimLike; readonly symbol: string },
    initial: T,
    body: (carried: SameTensors<T>) => SameTensors<T>,
  ): SameTensors<T> {
    const wrap = (values: readonly Value[]): SameTensors<T> =>
      values.map((value) => new Tensor(this, value)) as unknown as SameTensors<T>;
    const outer = this.current;
    const results = outer.emitLoop(
      options.count,
      options.symbol,
      initial.map((tensor) => tensor.value),
      (block, carried) => {
        this.current = block;
        try {
          return body(wrap(carried)).map((tensor) => tensor.value);
        } finally {
          this.current = outer;
        }
      },
      initial.map((tensor) => tensor.value.name),
    );
    return wrap(results);
  }

  /** Names made inside `action` start with `name.`: in the printed graph and in errors. Scopes nest. */
  scope<T>(name: string, action: () => T): T {
    const outer = this.prefix;
    this.prefix = `${outer}${name}.`;
    try {
      return action();
    } finally {
      this.prefix = outer;
    }
  }

  /** Ends the function: its results by name, in this order. */
  output(results: Readonly<Record<string, Tensor>>): void {
    const entries = Object.entries(results);
    for (const [name, tensor] of entries) {
      if (tensor.graph === this) continue;
      throw new Flux2cError(
        'F2C129',
        `the result '${name}' of '${this.name}' is of the function '${tensor.graph.name}'`,
      );
    }
    this.body.finish(Object.fromEntries(entries.map(([name, tensor]) => [name, tensor.value])));
  }

  /** The module this function is part of; see `ModuleGraph.build`. */
  build(): Module {
    return this.owner.build();
  }

  /** Adds an operation where the function stands now. @internal */
  emit<K extends PlainOpKind>(kind: K, operands: readonly Value[], attributes: OpAttributes[K]): readonly Value[] {
    return this.current.emit(kind, operands, attributes, [`${this.prefix}${kind}`]);
  }
}

/** Starts a module with one function: `const g = graph('mlp'); ...; const module = g.build()`. */
export function graph(name: string): FunctionGraph {
  return createModule().function(name);
}

/** Starts a module of several functions. */
export function createModule(): ModuleGraph {
  return new ModuleGraph();
}
