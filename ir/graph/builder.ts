import { Dim, type DimLike } from '../dim.js';
import { Flux2cError } from '../diagnostics.js';
import type { DType } from '../dtype.js';
import { BlockBuilder } from './block-builder.js';
import { equalWeightSources } from './equal.js';
import type { GraphFunction, Module, Value, WeightDeclaration, WeightSource } from './graph.js';
import { NameScope } from './names.js';
import { equalTypes, printType, tensorType } from './types.js';

export { BlockBuilder, type BlockScope, type PlainOpKind } from './block-builder.js';

/** Collects the weights and functions of one module. */
export class ModuleBuilder {
  private readonly declared = new Map<string, WeightDeclaration>();
  private readonly functions = new Map<string, GraphFunction>();
  private readonly started = new Set<string>();

  /**
   * Declares a weight; without a source it is the tensor of the same name in the checkpoint. The same declaration again
   * returns the first one; another type or source under the name is F2C124. All dimensions are constant (F2C125).
   */
  declareWeight(name: string, dtype: DType, shape: readonly DimLike[], source?: WeightSource): WeightDeclaration {
    const type = tensorType(dtype, shape);
    if (type.shape.some((dim) => dim.constant === undefined)) {
      throw new Flux2cError('F2C125', 'a weight has constant dimensions', {
        where: [`weight @${name}`],
        found: printType(type),
      });
    }
    const declaration = { name, type, source: source ?? ({ kind: 'tensor', tensor: name } as const) };
    const first = this.declared.get(name);
    if (first === undefined) {
      this.declared.set(name, declaration);
      return declaration;
    }
    if (!equalTypes(first.type, type) || !equalWeightSources(first.source, declaration.source)) {
      throw new Flux2cError('F2C124', 'the weight is declared already, and differently', {
        where: [`weight @${name}`],
        expected: `${printType(first.type)} from ${JSON.stringify(first.source)}`,
        found: `${printType(type)} from ${JSON.stringify(declaration.source)}`,
      });
    }
    return first;
  }

  /** The weights declared so far. */
  get weights(): ReadonlyMap<string, WeightDeclaration> {
    return this.declared;
  }

  weight(name: string): WeightDeclaration | undefined {
    return this.declared.get(name);
  }

  /** Starts a function; it is part of the module once `finish` is called. A name given twice is F2C126. */
  function(name: string): FunctionBuilder {
    if (this.started.has(name)) throw new Flux2cError('F2C126', `there are two functions named '${name}'`);
    this.started.add(name);
    return new FunctionBuilder(this, name);
  }

  /** Takes a finished function, as passes and parsers make them. A name given twice is F2C126. */
  addFunction(graphFunction: GraphFunction): void {
    const { name } = graphFunction;
    if (this.functions.has(name)) throw new Flux2cError('F2C126', `there are two functions named '${name}'`);
    this.started.add(name);
    this.functions.set(name, graphFunction);
  }

  /** The module of all finished functions. A function that was started and not finished is F2C127. */
  build(): Module {
    for (const name of this.started) {
      if (this.functions.has(name)) continue;
      throw new Flux2cError('F2C127', `the function '${name}' has no results yet`, {
        hint: 'Call finish (in the graph API: output) before build.',
      });
    }
    return { weights: new Map(this.declared), functions: new Map(this.functions) };
  }
}

/** The body of a function, with its inputs and named results. */
export class FunctionBuilder extends BlockBuilder {
  constructor(
    private readonly module: ModuleBuilder,
    readonly name: string,
  ) {
    super({
      infer: { weightType: (weight) => module.weight(weight)?.type },
      names: new NameScope(),
      path: [`function '${name}'`],
      loopSymbols: [],
    });
  }

  /** Adds a parameter of exactly this name: the name under which a caller passes the tensor. F2C126 when taken. */
  input(name: string, dtype: DType, shape: readonly DimLike[]): Value {
    if (this.scope.names.has(name)) {
      throw new Flux2cError('F2C126', `there is a value named '${name}' already`, {
        where: this.scope.path,
        hint: 'Declare the inputs before the operations.',
      });
    }
    return this.addParameter(name, { dtype, shape: shape.map((dim) => Dim.of(dim)) });
  }

  /** Ends the function with its results by name and puts it in the module. */
  finish(results: Readonly<Record<string, Value>>): GraphFunction {
    const body = this.close(Object.values(results));
    const graphFunction = { name: this.name, resultNames: Object.keys(results), body };
    this.module.addFunction(graphFunction);
    return graphFunction;
  }
}
