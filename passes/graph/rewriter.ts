import type { OpAttributes } from '../../ir/graph/attributes.js';
import { BlockBuilder, type PlainOpKind } from '../../ir/graph/builder.js';
import type { Block, GraphFunction, Module, Operation, OperationOf, Value } from '../../ir/graph/graph.js';
import { NameScope } from '../../ir/graph/names.js';
import { equalTypes, printType } from '../../ir/graph/types.js';
import { WeightTable } from './weight-table.js';

/**
 * What to do with one operation, whose operands are already those of the new graph:
 * values to use instead of its results, or undefined to keep it.
 */
export type RewriteRule = (operation: Operation, context: RewriteContext) => readonly Value[] | undefined;

/** The new graph up to the operation at hand. */
export class RewriteContext {
  constructor(
    /** The block under construction. */
    readonly block: BlockBuilder,
    readonly weights: WeightTable,
    private readonly definitions: Map<Value, Operation>,
    /** The loop whose body this is. */
    readonly loop?: OpAttributes['loop'],
  ) {}

  /** The operation that makes a value of the new graph; undefined for parameters. */
  definition(value: Value): Operation | undefined {
    return this.definitions.get(value);
  }

  /** `definition` when it is of that kind. */
  definitionOf<K extends Operation['kind']>(value: Value, kind: K): OperationOf<K> | undefined {
    const operation = this.definitions.get(value);
    // The kind decides the member of the union.
    return operation?.kind === kind ? (operation as unknown as OperationOf<K>) : undefined;
  }

  /** Adds an operation; names are hints. */
  emit<K extends PlainOpKind>(
    kind: K,
    operands: readonly Value[],
    attributes: OpAttributes[K],
    names: readonly string[] = [],
  ): readonly Value[] {
    return this.emitAround(this.block, kind, operands, attributes, names);
  }

  /** `emit` for one result. */
  emitOne<K extends PlainOpKind>(
    kind: K,
    operands: readonly Value[],
    attributes: OpAttributes[K],
    name?: string,
  ): Value {
    return this.emit(kind, operands, attributes, name === undefined ? [] : [name])[0] as Value;
  }

  /** Adds an operation to a block around this one, before the loop that is under construction. */
  emitAround<K extends PlainOpKind>(
    block: BlockBuilder,
    kind: K,
    operands: readonly Value[],
    attributes: OpAttributes[K],
    names: readonly string[],
  ): readonly Value[] {
    const results = block.emit(kind, operands, attributes, names);
    this.record({ kind, operands, attributes, results } as unknown as Operation);
    return results;
  }

  /** Another operation that makes the very results of `operation`: its values and their names stay. */
  become<K extends PlainOpKind>(
    operation: Operation,
    kind: K,
    operands: readonly Value[],
    attributes: OpAttributes[K],
  ): readonly Value[] {
    return this.define(operation.results, kind, operands, attributes);
  }

  /** Adds an operation whose results are given values, of a kept operation's or some of its results. */
  define<K extends PlainOpKind>(
    results: readonly Value[],
    kind: K,
    operands: readonly Value[],
    attributes: OpAttributes[K],
  ): readonly Value[] {
    const probe = new BlockBuilder({ ...this.block.scope, names: new NameScope(), parent: this.block });
    const made = probe.emit(kind, operands, attributes);
    const fits = (value: Value, at: number): boolean => equalTypes(value.type, (made[at] ?? value).type);
    if (made.length !== results.length || !results.every(fits)) {
      const types = (values: readonly Value[]): string => values.map((value) => printType(value.type)).join(', ');
      throw new Error(`internal: ${kind} makes ${types(made)} in place of ${types(results)}`);
    }
    this.append({ kind, operands, attributes, results } as unknown as Operation);
    return results;
  }

  /** Adds a complete operation as it is, to this block or to one around it (before the loop that is under construction). */
  append(operation: Operation, block: BlockBuilder = this.block): void {
    block.append(operation);
    this.record(operation);
  }

  private record(operation: Operation): void {
    for (const result of operation.results) this.definitions.set(result, operation);
  }
}

/**
 * Rebuilds every function once, in order: each operation gets its new operands and is shown to the rule. Blocks of loops
 * are rebuilt the same way (before the loop itself is shown to the rule); bodies of fused operations stay as they are.
 * `createRule` is called once a function. Returns the module itself when nothing changed. Linear in the module's size.
 */
export function rewriteModule(module: Module, createRule: (graphFunction: GraphFunction) => RewriteRule): Module {
  const weights = new WeightTable(module.weights);
  const functions = new Map<string, GraphFunction>();
  let changed = false;
  for (const [name, graphFunction] of module.functions) {
    const rewriter = new FunctionRewriter(graphFunction, createRule(graphFunction), weights);
    const body = rewriter.run();
    changed ||= rewriter.changed;
    functions.set(name, rewriter.changed ? { ...graphFunction, body } : graphFunction);
  }
  return changed ? { weights: weights.declarations, functions } : module;
}

class FunctionRewriter {
  changed = false;
  private readonly replacements = new Map<Value, Value>();
  private readonly definitions = new Map<Value, Operation>();
  private readonly names: NameScope;

  constructor(
    private readonly graphFunction: GraphFunction,
    private readonly rule: RewriteRule,
    private readonly weights: WeightTable,
  ) {
    this.names = new NameScope(collectNames(graphFunction));
  }

  run(): Block {
    const block = new BlockBuilder({
      infer: this.weights,
      names: this.names,
      path: [`function '${this.graphFunction.name}'`],
      loopSymbols: [],
    });
    return this.rebuild(this.graphFunction.body, block);
  }

  private rebuild(old: Block, block: BlockBuilder, loop?: OpAttributes['loop']): Block {
    const context = new RewriteContext(block, this.weights, this.definitions, loop);
    for (const parameter of old.parameters) block.adoptParameter(parameter);
    for (const operation of old.operations) {
      const current = this.renew(operation, block);
      const results = this.rule(current, context);
      if (results === undefined) context.append(current);
      else this.replace(operation, results);
    }
    return block.close(old.results.map((value) => this.lookup(value)));
  }

  /** The operation over values of the new graph. */
  private renew(operation: Operation, block: BlockBuilder): Operation {
    const operands = operation.operands.map((operand) => this.lookup(operand));
    const moved = operands.some((operand, at) => operand !== operation.operands[at]);
    if (operation.kind !== 'loop' || operation.body === undefined)
      return moved ? { ...operation, operands } : operation;
    const { symbol } = operation.attributes;
    const inner = new BlockBuilder({
      ...block.scope,
      path: [...block.scope.path, `loop ${symbol}`],
      loopSymbols: [...block.scope.loopSymbols, symbol],
      parent: block,
    });
    return { ...operation, operands, body: this.rebuild(operation.body, inner, operation.attributes) };
  }

  private replace(operation: Operation, results: readonly Value[]): void {
    this.changed = true;
    for (const [at, old] of operation.results.entries()) {
      const value = results[at];
      if (value === undefined || !equalTypes(value.type, old.type)) {
        const found = value === undefined ? 'nothing' : printType(value.type);
        throw new Error(`internal: %${old.name}: ${printType(old.type)} was replaced by ${found}`);
      }
      if (value !== old) this.replacements.set(old, value);
    }
  }

  private lookup(value: Value): Value {
    return this.replacements.get(value) ?? value;
  }
}

/** Names of all values of a function, those inside its loops included; bodies of fused operations have names of their own. */
export function collectNames(graphFunction: GraphFunction): Set<string> {
  const names = new Set<string>();
  const visit = (block: Block): void => {
    for (const parameter of block.parameters) names.add(parameter.name);
    for (const operation of block.operations) {
      for (const result of operation.results) names.add(result.name);
      if (operation.kind === 'loop' && operation.body !== undefined) visit(operation.body);
    }
  };
  visit(graphFunction.body);
  return names;
}
