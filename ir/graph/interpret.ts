import { Flux2cError } from '../diagnostics.js';
import type { DimBinding } from '../dim.js';
import type { HostTensor } from '../host-tensor.js';
import type { OpKind } from './attributes.js';
import { bindSizes } from './bind-sizes.js';
import type { Block, Module, Operation, OperationOf, TensorType, Value } from './graph.js';
import type { EvaluateContext, OpDefinition } from './op-table.js';
import { opTable } from './ops/index.js';
import { evaluateShape } from './ops/rounding.js';
import { printType } from './types.js';

export interface InterpretOptions {
  /** `f32`: every result is rounded to f32, then to its own type. `f64`: floats stay doubles, a reference for both. */
  readonly precision: EvaluateContext['precision'];
  /** Sizes that no input determines; those that one does are checked. */
  readonly sizes?: DimBinding;
  /** Called with every value when it is made, in loops once an iteration. The tensor must not be changed. */
  readonly onValue?: (value: Value, tensor: HostTensor) => void;
}

/**
 * Runs a function of a module by the reference semantics of the op table.
 *
 * @param inputs a tensor for every parameter, by name, its numbers already rounded to its element type
 * @param weights the numbers of a declared weight, packed (`materializeWeight`); called once for every `weight`
 *   operation that is reached, so a reader that is slow should keep what it read
 * @returns the results by their names
 * @throws F2C166 when the function is unknown, F2C160..F2C163 when inputs do not fit (see `bindSizes`), F2C164 when an
 *   input or a weight has another type than declared, F2C167 and F2C168 for slices and ids out of range
 */
export function interpretFunction(
  module: Module,
  functionName: string,
  inputs: ReadonlyMap<string, HostTensor>,
  weights: (name: string) => HostTensor,
  options: InterpretOptions,
): ReadonlyMap<string, HostTensor> {
  const graphFunction = module.functions.get(functionName);
  if (graphFunction === undefined) {
    throw new Flux2cError('F2C166', `the module has no function '${functionName}'`, {
      expected: [...module.functions.keys()].join(', '),
      found: functionName,
    });
  }
  const { body, resultNames } = graphFunction;
  expectOnlyParameters(body.parameters, inputs);
  const shapes = new Map([...inputs].map(([name, tensor]) => [name, tensor.shape]));
  const sizes = bindSizes(body.parameters, shapes, options.sizes);
  const start = body.parameters.map((parameter) => {
    const tensor = inputs.get(parameter.name) as HostTensor;
    expectType(`input '${parameter.name}'`, parameter.type, tensor, sizes);
    return tensor;
  });
  const weight = (name: string): HostTensor => {
    const tensor = weights(name);
    const declaration = module.weights.get(name);
    if (declaration !== undefined) expectType(`weight '@${name}'`, declaration.type, tensor, sizes);
    return tensor;
  };
  const interpreter = new BlockInterpreter(weight, options);
  const results = interpreter.run(body, start, sizes);
  return new Map(resultNames.map((name, index) => [name, results[index] as HostTensor]));
}

class BlockInterpreter {
  /** Values of the blocks being run, the enclosing ones' included: a loop's body may use them. */
  private readonly values = new Map<Value, HostTensor>();
  private readonly lastUses = new Map<Block, ReadonlyMap<number, readonly Value[]>>();

  constructor(
    private readonly weight: (name: string) => HostTensor,
    private readonly options: InterpretOptions,
  ) {}

  /** Runs a block and forgets its values. */
  run(block: Block, start: readonly HostTensor[], sizes: DimBinding): readonly HostTensor[] {
    let frees = this.lastUses.get(block);
    if (frees === undefined) {
      frees = findLastUses(block);
      this.lastUses.set(block, frees);
    }
    block.parameters.forEach((parameter, index) => this.define(parameter, start[index] as HostTensor));
    for (const value of frees.get(-1) ?? []) this.values.delete(value);
    block.operations.forEach((operation, index) => {
      const results = this.execute(operation, sizes);
      operation.results.forEach((value, at) => this.define(value, results[at] as HostTensor));
      for (const value of frees.get(index) ?? []) this.values.delete(value);
    });
    const results = block.results.map((value) => this.lookUp(value));
    for (const value of block.results) if (isDefinedIn(block, value)) this.values.delete(value);
    return results;
  }

  private define(value: Value, tensor: HostTensor): void {
    this.values.set(value, tensor);
    this.options.onValue?.(value, tensor);
  }

  private lookUp(value: Value): HostTensor {
    const tensor = this.values.get(value);
    if (tensor === undefined) throw new Error(`internal: %${value.name} is used before it is made`);
    return tensor;
  }

  private execute(operation: Operation, sizes: DimBinding): readonly HostTensor[] {
    const operands = operation.operands.map((value) => this.lookUp(value));
    if (operation.kind === 'loop') {
      const body = bodyOf(operation);
      const count = operation.attributes.count.evaluate(sizes);
      let carried: readonly HostTensor[] = operands;
      for (let index = 0; index < count; index++) {
        carried = this.run(body, carried, { ...sizes, [operation.attributes.symbol]: index });
      }
      return carried;
    }
    if (operation.kind === 'fused') return this.run(bodyOf(operation), operands, sizes);
    const context = { sizes, precision: this.options.precision, weight: this.weight };
    const results = evaluateOperation(operation, operands, context);
    operation.results.forEach((value, index) => {
      const tensor = results[index];
      const shape = evaluateShape(value.type, sizes);
      if (tensor?.dtype !== value.type.dtype || tensor.shape.join() !== shape.join()) {
        const found = tensor === undefined ? 'nothing' : `${tensor.dtype}[${tensor.shape.join(', ')}]`;
        throw new Error(`internal: ${operation.kind} made ${found} for %${value.name} : ${printType(value.type)}`);
      }
    });
    return results;
  }
}

function evaluateOperation<K extends OpKind>(
  operation: OperationOf<K>,
  operands: readonly HostTensor[],
  context: EvaluateContext,
): readonly HostTensor[] {
  const definition: OpDefinition<K> = opTable[operation.kind];
  if (definition.evaluate === undefined) throw new Error(`internal: '${operation.kind}' has no reference semantics`);
  const types = operation.results.map((value) => value.type);
  return definition.evaluate(operands, operation.attributes, types, context);
}

function bodyOf(operation: Operation): Block {
  if (operation.body === undefined) throw new Error(`internal: a '${operation.kind}' operation has no body`);
  return operation.body;
}

function isDefinedIn(block: Block, value: Value): boolean {
  return block.parameters.includes(value) || block.operations.some((operation) => operation.results.includes(value));
}

/**
 * The values a block defines, by the index of the operation after which nothing needs them (-1: unused parameters).
 * What a nested block uses counts as a use by the operation that carries it; the block's results are left out.
 */
function findLastUses(block: Block): ReadonlyMap<number, readonly Value[]> {
  const last = new Map<Value, number>();
  for (const parameter of block.parameters) last.set(parameter, -1);
  block.operations.forEach((operation, index) => {
    for (const value of operation.results) last.set(value, index);
    for (const value of listUses(operation)) if (last.has(value)) last.set(value, index);
  });
  for (const value of block.results) last.delete(value);
  const byIndex = new Map<number, Value[]>();
  for (const [value, index] of last) byIndex.set(index, [...(byIndex.get(index) ?? []), value]);
  return byIndex;
}

function listUses(operation: Operation): readonly Value[] {
  const inBody =
    operation.body === undefined ? [] : [...operation.body.operations.flatMap(listUses), ...operation.body.results];
  return [...operation.operands, ...inBody];
}

function expectOnlyParameters(parameters: readonly Value[], inputs: ReadonlyMap<string, HostTensor>): void {
  for (const name of inputs.keys()) {
    if (!parameters.some((parameter) => parameter.name === name)) {
      throw new Flux2cError('F2C160', `there is no input '${name}'`, {
        expected: parameters.map((parameter) => parameter.name).join(', '),
        found: name,
      });
    }
  }
}

function expectType(what: string, type: TensorType, tensor: HostTensor, sizes: DimBinding): void {
  if (tensor.dtype !== type.dtype || evaluateShape(type, sizes).join() !== tensor.shape.join()) {
    throw new Flux2cError('F2C164', `the ${what} has another type than declared`, {
      where: [what],
      expected: printType(type),
      found: `${tensor.dtype}[${tensor.shape.join(', ')}]`,
    });
  }
}
