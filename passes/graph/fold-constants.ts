import { Dim } from '../../ir/dim.js';
import { byteSize, isFloat } from '../../ir/dtype.js';
import type { OpKind } from '../../ir/graph/attributes.js';
import type { Operation, OperationOf, TensorType, Value, WeightDeclaration } from '../../ir/graph/graph.js';
import type { HostTensor } from '../../ir/host-tensor.js';
import type { OpDefinition } from '../../ir/graph/op-table.js';
import { opTable } from '../../ir/graph/ops/index.js';
import { roundToDType } from '../../ir/graph/ops/rounding.js';
import type { GraphPass } from '../pass.js';
import { rewriteModule, type RewriteContext } from './rewriter.js';
import { listSymbols } from './symbols.js';
import { weightPart } from './weight-table.js';

/**
 * Evaluates operations on constants, and moves weights into the order their users want:
 * - small results of constant operands are evaluated by the reference semantics in f64 and become constants;
 *   an elementwise operation on numbers that are the same everywhere (splats) folds at any size, symbolic ones included;
 *   what is rounded to bf16 or f16 on the way is left to run
 * - transpose of a weight becomes a packed weight with source `permute` (a convolution's [O, I, kh, kw] as [O, kh, kw, I]),
 *   concatenation of weights along rows one with source `concat_rows`, reshape that only drops or adds axes of size 1
 *   the same tensor with that shape
 *
 * Needs nothing; the weights that were repacked stay declared until eliminate-dead-code finds them unused. Cost: linear,
 * and the work of at most 4096 numbers an operation. A packed weight is a copy made once when the model is loaded.
 */
export const foldConstants: GraphPass = {
  name: 'fold-constants',
  description: 'evaluate operations on constants, repack weights instead of permuting them at run time',
  run: (module) =>
    rewriteModule(module, () => (operation, context) => {
      if (operation.operands.length === 0) return undefined;
      return foldSplat(operation, context) ?? foldSmall(operation, context) ?? foldWeight(operation, context);
    }),
};

/** As many numbers as a `constant` may hold. */
const maximumNumbers = 4096;

/** Pointwise and view operations whose operands are splats give a splat: evaluated on scalars, at any size. */
function foldSplat(operation: Operation, context: RewriteContext): readonly Value[] | undefined {
  const { category } = opTable[operation.kind];
  if (category !== 'pointwise' && category !== 'view') return undefined;
  const constants = operation.operands.map((operand) => context.definitionOf(operand, 'constant')?.attributes);
  const numbers = constants.map((attributes) => (attributes?.values.length === 1 ? attributes.values[0] : undefined));
  if (!numbers.every((number) => number !== undefined)) return undefined;
  const [result] = operation.results as readonly [Value];
  if (category === 'view') {
    return operation.results.map((piece) => defineConstant(piece, [numbers[0] as number], context));
  }
  const scalars = numbers.map((number, at) => hostScalar(operation.operands[at] as Value, number));
  const folded = evaluate(operation, scalars, [{ dtype: result.type.dtype, shape: [] }]);
  return folded && [defineConstant(result, [...(folded[0] as HostTensor).data], context)];
}

/** Constant operands of known sizes and a result that fits a constant. */
function foldSmall(operation: Operation, context: RewriteContext): readonly Value[] | undefined {
  if (operation.kind === 'loop' || operation.kind === 'fused') return undefined;
  if (!operation.operands.every((operand) => isConstant(context.definition(operand)))) return undefined;
  const types = operation.results.map((result) => result.type);
  if (!types.every((type) => (countNumbers(type) ?? Infinity) <= maximumNumbers)) return undefined;
  // A slice that starts at the step has a known size and another value in every iteration.
  if (listSymbols(operation).size > 0) return undefined;
  const operands = operation.operands.map((operand) => readConstant(operand, context));
  if (!operands.every((operand) => operand !== undefined)) return undefined;
  const folded = evaluate(operation, operands, types);
  return folded?.map((tensor, at) => defineConstant(operation.results[at] as Value, [...tensor.data], context));
}

function isConstant(operation: Operation | undefined): operation is OperationOf<'constant'> | OperationOf<'iota'> {
  return operation?.kind === 'constant' || operation?.kind === 'iota';
}

/** The numbers of a constant or a short iota. */
function readConstant(value: Value, context: RewriteContext): HostTensor | undefined {
  const operation = context.definition(value);
  if (!isConstant(operation)) return undefined;
  if ((countNumbers(value.type) ?? Infinity) > maximumNumbers) return undefined;
  return evaluate(operation, [], [value.type])?.[0];
}

function evaluate<K extends OpKind>(
  operation: OperationOf<K>,
  operands: readonly HostTensor[],
  results: readonly TensorType[],
): readonly HostTensor[] | undefined {
  const definition: OpDefinition<K> = opTable[operation.kind];
  const weight = (name: string): never => {
    throw new Error(`internal: @${name} has no numbers at compile time`);
  };
  if (!operands.every(needsNoRounding)) return undefined;
  // f64: folding may only make a result more exact than running would.
  const exact = definition.evaluate?.(operands, operation.attributes, results, { sizes: {}, precision: 'f64', weight });
  return exact?.every(needsNoRounding) === true ? exact : undefined;
}

/**
 * False for 16-bit numbers that their type does not hold. Rounding to it is what such an operation is there for: the
 * exact number would be another one than at run time, the rounded one another than in f64.
 */
function needsNoRounding({ dtype, data }: HostTensor): boolean {
  if (!isFloat(dtype) || byteSize(dtype) !== 2) return true;
  return data.every((value) => Object.is(value, roundToDType(dtype, value)));
}

/** Makes the result a constant; one number when all are the same. */
function defineConstant(result: Value, values: readonly number[], context: RewriteContext): Value {
  const { dtype, shape } = result.type;
  const splat = values.length > 0 && values.every((value) => Object.is(value, values[0]));
  context.define([result], 'constant', [], { dtype, shape, values: splat ? values.slice(0, 1) : values });
  return result;
}

function hostScalar(value: Value, number: number): HostTensor {
  return { dtype: value.type.dtype, shape: [], data: Float64Array.of(number) };
}

function countNumbers(type: TensorType): number | undefined {
  return type.shape.reduce((product, dim) => product.mul(dim), Dim.of(1)).constant;
}

function foldWeight(operation: Operation, context: RewriteContext): readonly Value[] | undefined {
  const weights = operation.operands.map((operand) => findWeight(operand, context));
  if (!weights.every((weight) => weight !== undefined)) return undefined;
  const first = weights[0] as WeightDeclaration;
  const [result] = operation.results as readonly [Value];
  switch (operation.kind) {
    case 'transpose': {
      const { permutation } = operation.attributes;
      const name = context.weights.declare(`${first.name}.permuted_${permutation.join('_')}`, result.type, {
        kind: 'permute',
        of: weightPart(first),
        permutation,
      });
      return context.become(operation, 'weight', [], { name });
    }
    case 'concat': {
      if (operation.attributes.axis !== 0) return undefined;
      const name = context.weights.declare(`${first.name}.and_${weights.length - 1}_more`, result.type, {
        kind: 'concat_rows',
        parts: weights.map(weightPart),
      });
      return context.become(operation, 'weight', [], { name });
    }
    case 'reshape': {
      // Only a stored tensor may be declared with other axes of size 1 than it has in the file.
      if (first.source.kind !== 'tensor' || !sameWithoutOnes(first.type, result.type)) return undefined;
      const shape = result.type.shape.map((dim) => dim.text).join('x');
      const name = context.weights.declare(`${first.name}.as_${shape}`, result.type, first.source);
      return context.become(operation, 'weight', [], { name });
    }
    default:
      return undefined;
  }
}

function findWeight(value: Value, context: RewriteContext): WeightDeclaration | undefined {
  const name = context.definitionOf(value, 'weight')?.attributes.name;
  return name === undefined ? undefined : context.weights.get(name);
}

function sameWithoutOnes(a: TensorType, b: TensorType): boolean {
  const wide = (type: TensorType): string => type.shape.filter((dim) => dim.constant !== 1).join();
  return wide(a) === wide(b);
}
