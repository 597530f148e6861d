import type { Dim } from '../dim.js';
import { type DiagnosticCode, type DiagnosticDetail, Flux2cError } from '../diagnostics.js';
import { attributeForms } from './attribute-forms.js';
import type { OpAttributes, OpKind } from './attributes.js';
import type { Block, GraphFunction, Module, Operation, OperationOf, TensorType, Value } from './graph.js';
import { displayName } from './names.js';
import { opTable } from './ops/index.js';
import type { InferContext, OpDefinition } from './op-table.js';
import { equalTypes, printType } from './types.js';
import { findWeightProblem } from './verify-weights.js';

/**
 * Everything that is wrong with a module, in the order of its text; empty for a good one. A weight that nothing uses is
 * fine.
 *
 * F2C140 a value is used before it is defined; F2C141 it belongs to another block or function; F2C142 a name stands for
 * two things; F2C143 one value is defined twice; F2C144 result types are not what `infer` gives; F2C145 unknown weight;
 * F2C146 a fused body uses more than its parameters or holds what no kernel can; F2C147 a body is missing or does not
 * fit its operation; F2C148 a symbol of a dimension is bound by no parameter and no loop, or by two; F2C149 result
 * names or weight sources do not fit. Operands that do not fit an operation are the F2C11x of its `infer`.
 */
export function findProblems(module: Module): readonly Flux2cError[] {
  const problems: Flux2cError[] = [];
  for (const [key, weight] of module.weights) {
    const where = [`weight @${key}`];
    if (key !== weight.name) problems.push(problem('F2C142', `the weight is listed as '${key}'`, where, weight.name));
    const found = findWeightProblem(weight);
    if (found !== undefined) problems.push(problem('F2C149', 'the source does not make up the weight', where, found));
  }
  for (const [key, graphFunction] of module.functions) {
    const { name } = graphFunction;
    if (key !== name)
      problems.push(problem('F2C142', `the function is listed as '${key}'`, [`function '${name}'`], name));
    problems.push(...new FunctionVerifier(module, graphFunction).run());
  }
  return problems;
}

/** Throws the first problem of `findProblems`; the message says how many there are. */
export function verifyModule(module: Module): void {
  const [first, ...others] = findProblems(module);
  if (first === undefined) return;
  if (others.length === 0) throw first;
  throw new Flux2cError(first.code, `${first.message} (the first of ${others.length + 1} problems)`, first.detail);
}

function problem(code: DiagnosticCode, message: string, where: readonly string[], found: string): Flux2cError {
  return new Flux2cError(code, message, { where, found });
}

/** What may be used at one point of a block. */
interface Scope {
  readonly block: Block;
  readonly path: readonly string[];
  /** Values defined so far in this block. */
  readonly visible: Set<Value>;
  readonly names: Map<string, Value>;
  /** Symbols of dimensions that have a value. */
  readonly symbols: ReadonlySet<string>;
  /** The block around it. */
  readonly parent?: Scope;
  /** The body of a fused operation: `parent` is there, but its values are not to be used. */
  readonly fused: boolean;
}

class FunctionVerifier {
  private readonly problems: Flux2cError[] = [];
  /** The block that defines each value of the function. */
  private readonly homes = new Map<Value, Block>();
  private readonly defined = new Set<Value>();
  private readonly context: InferContext;

  constructor(
    private readonly module: Module,
    private readonly graphFunction: GraphFunction,
  ) {
    this.context = { weightType: (name) => module.weights.get(name)?.type };
  }

  run(): readonly Flux2cError[] {
    const { name, body, resultNames } = this.graphFunction;
    const path = [`function '${name}'`];
    this.findHomes(body);
    const symbols = new Set(body.parameters.flatMap((value) => symbolsOf(value.type.shape)));
    if (resultNames.length !== body.results.length || new Set(resultNames).size !== resultNames.length) {
      this.report('F2C149', 'every result needs one name of its own', path, {
        found: `${body.results.length} results, named ${resultNames.join(', ')}`,
      });
    }
    this.block({ block: body, path, visible: new Set(), names: new Map(), symbols, fused: false });
    return this.problems;
  }

  private findHomes(block: Block): void {
    for (const value of block.parameters) this.homes.set(value, block);
    for (const operation of block.operations) {
      for (const value of operation.results) this.homes.set(value, block);
      if (operation.body !== undefined) this.findHomes(operation.body);
    }
  }

  private block(scope: Scope): void {
    const { block, path } = scope;
    this.define(block.parameters, scope, [...path, 'parameters']);
    for (const operation of block.operations) {
      const where = [...path, describe(operation)];
      for (const operand of operation.operands) this.use(operand, scope, where);
      this.symbols(operation, scope, where);
      if (operation.kind === 'loop') this.loop(operation as OperationOf<'loop'>, scope, where);
      else if (operation.kind === 'fused') this.fused(operation as OperationOf<'fused'>, scope, where);
      else this.plain(operation, scope, where);
      this.define(operation.results, scope, where);
    }
    for (const result of block.results) this.use(result, scope, [...path, 'results']);
  }

  private define(values: readonly Value[], scope: Scope, where: readonly string[]): void {
    for (const value of values) {
      if (this.defined.has(value)) this.report('F2C143', `${displayName(value.name)} is defined twice`, where);
      else if (scope.names.has(value.name)) {
        this.report('F2C142', `two values are named %${value.name}`, where, {
          hint: 'Names are unique in a function, its loops included; a fused body has names of its own.',
        });
      }
      this.defined.add(value);
      scope.names.set(value.name, value);
      scope.visible.add(value);
    }
  }

  private use(value: Value, scope: Scope, where: readonly string[]): void {
    let passedFused = false;
    for (let at: Scope | undefined = scope; at !== undefined; at = at.parent) {
      if (at.visible.has(value)) {
        if (!passedFused) return;
        const hint = 'Make it an operand and a parameter of the fused operation.';
        return this.report(
          'F2C146',
          `the body of a fused operation uses ${displayName(value.name)} of the block around it`,
          where,
          {
            hint,
          },
        );
      }
      if (this.homes.get(value) === at.block) {
        return this.report('F2C140', `${displayName(value.name)} is used before it is defined`, where);
      }
      passedFused ||= at.fused;
    }
    this.report('F2C141', `${displayName(value.name)} is not to be seen from here`, where, {
      found: this.homes.has(value) ? 'a value from inside another block' : 'a value that this function does not define',
    });
  }

  private plain(operation: Operation, scope: Scope, where: readonly string[]): void {
    if (operation.body !== undefined) this.report('F2C147', `${operation.kind} has no body`, where);
    if (operation.kind === 'weight') {
      const { name } = operation.attributes;
      if (scope.fused) {
        const hint = 'Make the weight an operand of the fused operation.';
        this.report('F2C146', `the body of a fused operation reads the weight @${name}`, where, { hint });
      }
      if (!this.module.weights.has(name)) return this.report('F2C145', `there is no weight @${name}`, where);
    }
    this.infer(operation, where);
  }

  private infer(operation: Operation, where: readonly string[]): void {
    // The row of the operation's own kind takes its attributes.
    const row = opTable[operation.kind] as OpDefinition<OpKind>;
    const operands = operation.operands.map((value) => value.type);
    try {
      const types = row.infer(operands, operation.attributes as OpAttributes[OpKind], this.context);
      this.compare('F2C144', 'the results have other types than infer gives', types, operation.results, where);
    } catch (error) {
      if (!(error instanceof Flux2cError)) throw error;
      this.report(error.code, error.message, where, error.detail);
    }
  }

  private loop(operation: OperationOf<'loop'>, scope: Scope, where: readonly string[]): void {
    const { body, attributes, operands } = operation;
    const { symbol } = attributes;
    this.infer(operation, where);
    if (body === undefined) return this.report('F2C147', 'the loop has no body', where);
    if (scope.symbols.has(symbol)) {
      this.report('F2C148', `the loop counts with '${symbol}', which has a value already`, where);
    }
    const types = operands.map((value) => value.type);
    this.compare('F2C147', "the body's parameters are not of the carried types", types, body.parameters, where);
    this.compare('F2C147', "the body's results are not of the carried types", types, body.results, where);
    const symbols = new Set([...scope.symbols, symbol]);
    const path = [...scope.path, `loop ${symbol}`];
    this.block({ ...scope, block: body, path, visible: new Set(), symbols, parent: scope, fused: false });
    if (scope.fused) this.report('F2C146', 'a fused operation holds a loop', where);
  }

  private fused(operation: OperationOf<'fused'>, scope: Scope, where: readonly string[]): void {
    const { body, attributes, operands, results } = operation;
    if (body === undefined) return this.report('F2C147', 'the fused operation has no body', where);
    const typesOf = (values: readonly Value[]): readonly TensorType[] => values.map((value) => value.type);
    this.compare(
      'F2C147',
      "the body's parameters are not of the operands' types",
      typesOf(operands),
      body.parameters,
      where,
    );
    this.compare('F2C147', "the results are not of the types of the body's", typesOf(body.results), results, where);
    if (scope.fused) this.report('F2C146', 'a fused operation holds another', where);
    const path = [...scope.path, `fused ${attributes.anchor} %${results[0]?.name ?? ''}`];
    const { symbols } = scope;
    this.block({ block: body, path, visible: new Set(), names: new Map(), symbols, parent: scope, fused: true });
  }

  /** Every symbol in the attributes and result types has a value here. */
  private symbols(operation: Operation, scope: Scope, where: readonly string[]): void {
    const attributes = operation.attributes as unknown as Readonly<Record<string, unknown>>;
    const dims = attributeForms(operation.kind).flatMap(([name, form]) => {
      if (form === 'dim') return [attributes[name] as Dim];
      return form === 'dims' ? (attributes[name] as readonly Dim[]) : [];
    });
    dims.push(...operation.results.flatMap((value) => value.type.shape));
    const unbound = [...new Set(symbolsOf(dims))].filter((symbol) => !scope.symbols.has(symbol));
    if (unbound.length === 0) return;
    this.report('F2C148', `nothing gives '${unbound.join("', '")}' a value`, where, {
      expected: `symbols of the inputs' shapes and the loops around: ${[...scope.symbols].join(', ')}`,
    });
  }

  private compare(
    code: DiagnosticCode,
    message: string,
    expected: readonly TensorType[],
    found: readonly Value[],
    where: readonly string[],
  ): void {
    const fits =
      expected.length === found.length && expected.every((type, at) => equalTypes(type, (found[at] as Value).type));
    if (fits) return;
    this.report(code, message, where, {
      expected: expected.map(printType).join(', '),
      found: found.map((value) => printType(value.type)).join(', '),
    });
  }

  private report(code: DiagnosticCode, message: string, where: readonly string[], detail: DiagnosticDetail = {}): void {
    this.problems.push(new Flux2cError(code, message, { ...detail, where: [...where, ...(detail.where ?? [])] }));
  }
}

function symbolsOf(shape: readonly Dim[]): readonly string[] {
  return shape.flatMap((dim) => dim.symbols);
}

/** `%q, %k = split(%x)` */
function describe({ kind, operands, results }: Operation): string {
  const list = (values: readonly Value[]): string => values.map((value) => displayName(value.name)).join(', ');
  return `${results.length === 0 ? '' : `${list(results)} = `}${kind}(${list(operands)})`;
}
