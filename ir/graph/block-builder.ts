import { Dim, type DimLike } from '../dim.js';
import { Flux2cError } from '../diagnostics.js';
import type { FusedAnchor, OpAttributes, OpKind } from './attributes.js';
import type { Block, Operation, OperationOf, TensorType, Value } from './graph.js';
import { displayName, NameScope } from './names.js';
import { opTable } from './ops/index.js';
import type { InferContext, OpDefinition } from './op-table.js';
import { equalTypes, printType } from './types.js';

/** Kinds without a block of their own: what `emit` takes. */
export type PlainOpKind = Exclude<OpKind, 'loop' | 'fused'>;

/** What a block needs to know of its surroundings. */
export interface BlockScope {
  /** Types of the module's weights. */
  readonly infer: InferContext;
  /** Names of the function, or of the fused body. */
  readonly names: NameScope;
  /** For errors, outermost first: `["function 'mlp'", 'loop step']`. */
  readonly path: readonly string[];
  /** Symbols of the enclosing loops. */
  readonly loopSymbols: readonly string[];
  /** The block whose values may be used here; absent for a function's body and a fused body. */
  readonly parent?: BlockBuilder;
}

/**
 * Builds one block in order. Every `emit` runs the operation's `infer`, so an ill-typed graph cannot be made; errors
 * are `Flux2cError`s whose `where` is the path to the operation: function, enclosing loops, kind and operands.
 */
export class BlockBuilder {
  private readonly parameters: Value[] = [];
  private readonly operations: Operation[] = [];
  private readonly defined = new Set<Value>();

  constructor(readonly scope: BlockScope) {}

  /** A new parameter. The name is a hint: a number is added when it is taken. */
  addParameter(name: string, type: TensorType): Value {
    const value: Value = { name: this.scope.names.fresh(name), type };
    this.adoptParameter(value);
    return value;
  }

  /** Takes an existing value as parameter as it is; its name must be reserved in the scope already. */
  adoptParameter(value: Value): void {
    this.parameters.push(value);
    this.defined.add(value);
  }

  /**
   * Appends one operation and returns its results.
   * `resultNames` are hints, by default the kind; the names that come out are unique in the function.
   * Errors: F2C11x of `infer`; F2C121 when an operand is not visible in this block.
   */
  emit<K extends PlainOpKind>(
    kind: K,
    operands: readonly Value[],
    attributes: OpAttributes[K],
    resultNames: readonly string[] = [],
  ): readonly Value[] {
    const where = this.describe(kind, operands, resultNames);
    this.requireVisible(operands, where);
    const types = this.at(where, () =>
      // The table's row of kind K takes attributes of kind K; TypeScript loses that when it indexes by a type variable.
      (opTable[kind] as OpDefinition<K>).infer(
        operands.map((operand) => operand.type),
        attributes,
        this.scope.infer,
      ),
    );
    return this.push({ kind, operands, attributes, results: this.nameResults(types, resultNames, kind) });
  }

  /** `emit` for the many operations with one result. */
  emitOne<K extends PlainOpKind>(
    kind: K,
    operands: readonly Value[],
    attributes: OpAttributes[K],
    resultName?: string,
  ): Value {
    const results = this.emit(kind, operands, attributes, resultName === undefined ? [] : [resultName]);
    return results[0] as Value;
  }

  /** A scalar constant of rank 0. */
  emitScalar(dtype: TensorType['dtype'], value: number): Value {
    return this.emitOne('constant', [], { dtype, shape: [], values: [value] });
  }

  /**
   * Appends a loop. `build` gets the body and the carried values of the iteration and returns those of the next, of the
   * same types; inside, `symbol` is 0..count-1 in dimensions (a slice's start). Returns the values after the last iteration.
   * `names` are hints for the carried values. Errors: F2C122 for other types or another count, F2C123 for a taken symbol.
   */
  emitLoop(
    count: DimLike,
    symbol: string,
    initial: readonly Value[],
    build: (body: BlockBuilder, carried: readonly Value[]) => readonly Value[],
    names: readonly string[] = [],
  ): readonly Value[] {
    const where = this.describe('loop', initial);
    this.requireVisible(initial, where);
    if (this.scope.loopSymbols.includes(symbol)) {
      throw new Flux2cError('F2C123', `the symbol '${symbol}' already counts an enclosing loop`, { where });
    }
    Dim.symbol(symbol);
    const path = [...this.scope.path, `loop ${symbol}`];
    const loopSymbols = [...this.scope.loopSymbols, symbol];
    const body = new BlockBuilder({ ...this.scope, path, loopSymbols, parent: this });
    const carried = initial.map((value, index) => body.addParameter(names[index] ?? 'carried', value.type));
    const next = build(body, carried);
    const types = initial.map((value) => value.type);
    const found = next.map((value) => value.type);
    if (found.length !== types.length || !types.every((type, index) => equalTypes(type, found[index] as TensorType))) {
      throw new Flux2cError(
        'F2C122',
        'the body of a loop must return its carried values with the types they came with',
        {
          where,
          expected: types.map(printType).join(', '),
          found: found.map(printType).join(', '),
          hint: 'Cast or reshape the results of the body.',
        },
      );
    }
    return this.push({
      kind: 'loop',
      operands: initial,
      attributes: { count: Dim.of(count), symbol },
      results: this.nameResults(types, names, 'loop'),
      body: body.close(next),
    });
  }

  /**
   * Appends a fused operation: one kernel. `build` gets an empty block that sees only `parameters`, one per operand, and
   * returns the results. Names inside start anew, so equal kernels are equal text.
   */
  emitFused(
    anchor: FusedAnchor,
    operands: readonly Value[],
    build: (body: BlockBuilder, parameters: readonly Value[]) => readonly Value[],
    resultNames: readonly string[] = [],
  ): readonly Value[] {
    this.requireVisible(operands, this.describe('fused', operands));
    const { infer, path, loopSymbols } = this.scope;
    const body = new BlockBuilder({ infer, names: new NameScope(), path: [...path, `fused ${anchor}`], loopSymbols });
    const parameters = operands.map((operand, index) => body.addParameter(`p${index}`, operand.type));
    const block = body.close(build(body, parameters));
    const types = block.results.map((value) => value.type);
    const results = this.nameResults(types, resultNames, 'fused');
    return this.push({ kind: 'fused', operands, attributes: { anchor }, results, body: block });
  }

  /** Appends a complete operation as it is: for parsers and rewriters, which keep names and values. Checks nothing. */
  append(operation: Operation): void {
    this.operations.push(operation);
    for (const result of operation.results) this.defined.add(result);
  }

  /** True when `value` is a parameter or result of this block, or of a block around it that this one may use. */
  sees(value: Value): boolean {
    return this.defined.has(value) || (this.scope.parent?.sees(value) ?? false);
  }

  /** The finished block. F2C121 when a result is not visible in it. */
  close(results: readonly Value[]): Block {
    this.requireVisible(results, [...this.scope.path, 'results']);
    return { parameters: [...this.parameters], operations: [...this.operations], results: [...results] };
  }

  private push<K extends OpKind>(operation: OperationOf<K>): readonly Value[] {
    // K is one kind at run time, so this is a member of the union.
    this.append(operation as unknown as Operation);
    return operation.results;
  }

  private nameResults(types: readonly TensorType[], names: readonly string[], kind: OpKind): readonly Value[] {
    return types.map((type, index) => ({ name: this.scope.names.fresh(names[index] ?? kind), type }));
  }

  private describe(kind: OpKind, operands: readonly Value[], names: readonly string[] = []): readonly string[] {
    const list = operands.map((operand) => `${displayName(operand.name)}: ${printType(operand.type)}`);
    const left = names.length === 0 ? '' : `${names.map(displayName).join(', ')} = `;
    return [...this.scope.path, `${left}${kind}(${list.join(', ')})`];
  }

  private requireVisible(values: readonly Value[], where: readonly string[]): void {
    for (const value of values) {
      if (this.sees(value)) continue;
      throw new Flux2cError('F2C121', `${displayName(value.name)} is not visible here`, {
        where,
        expected: 'a value of this block or, inside a loop, of a block around it',
        hint: 'A value made inside a loop body leaves it only as a carried value; one of another function is an input.',
      });
    }
  }

  /** Runs `action`; its errors get this path in front of theirs. */
  private at<T>(where: readonly string[], action: () => T): T {
    try {
      return action();
    } catch (error) {
      if (!(error instanceof Flux2cError)) throw error;
      const detail = { ...error.detail, where: [...where, ...(error.detail.where ?? [])] };
      throw new Flux2cError(error.code, error.message, { ...detail, cause: error });
    }
  }
}
