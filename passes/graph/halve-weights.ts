import type { DType } from '../../ir/dtype.js';
import type { Operation, Value } from '../../ir/graph/graph.js';
import type { GraphPass } from '../pass.js';
import { rewriteModule, type RewriteContext } from './rewriter.js';

/**
 * Products whose factors are rounded to f16 anyway read their weights in f16: what a weight's numbers are converted to is decided once, while
 * they are loaded, and kernels stage them as they lie. No number changes: the factors were rounded so before. A number that f16 does not
 * hold is an error then (F2C423), not an infinity later.
 *
 * A weight that something else reads, too, stays beside its copy. Needs choose-factors before it; eliminate-dead-code behind it removes
 * the weights as they were. Cost: linear.
 */
export const halveWeights: GraphPass = {
  name: 'halve-weights',
  description: 'keep the weights of products of f16 factors in f16',
  run: (module) =>
    rewriteModule(module, () => (operation, context) => {
      if (operation.kind !== 'matmul' && operation.kind !== 'conv2d') return undefined;
      if (operation.attributes.factors !== 'f16') return undefined;
      const [x, right] = operation.operands as readonly [Value, Value];
      const [result] = operation.results as readonly [Value];
      const half = result.type.dtype === 'f32' ? halve(right, context) : undefined;
      if (half === undefined) return undefined;
      return operation.kind === 'matmul'
        ? context.become(operation, 'matmul', [x, half], operation.attributes)
        : context.become(operation, 'conv2d', [x, half], operation.attributes);
    }),
};

const halved: ReadonlySet<DType> = new Set<DType>(['f32', 'bf16']);

/**
 * Whether a matmul's or a convolution's right factor is a weight that is f16 as it is stored, or that `halveWeights` makes so.
 *
 * @param definition the operation that makes a value; undefined for parameters
 */
export function hasHalvedWeight(
  { operands, results }: Operation,
  definition: (value: Value) => Operation | undefined,
): boolean {
  let value = operands[1] as Value;
  for (let maker = definition(value); ; maker = definition(value)) {
    if (maker?.kind === 'weight') break;
    if (maker?.kind !== 'slice' && maker?.kind !== 'transpose') return false;
    value = maker.operands[0] as Value;
  }
  const { dtype } = value.type;
  return dtype === 'f16' || (halved.has(dtype) && results[0]?.type.dtype === 'f32');
}

/** A weight, some rows of one or one with its axes in another order, in f16; undefined for anything else. */
function halve(value: Value, context: RewriteContext): Value | undefined {
  const weight = context.definitionOf(value, 'weight');
  if (weight !== undefined) {
    const declaration = context.weights.get(weight.attributes.name);
    if (declaration === undefined || !halved.has(declaration.type.dtype)) return undefined;
    const { name, type, source } = declaration;
    const declared = context.weights.declare(`${name}.f16`, { ...type, dtype: 'f16' }, source);
    return context.emitOne('weight', [], { name: declared }, declared);
  }
  const rows = context.definitionOf(value, 'slice');
  const turned = context.definitionOf(value, 'transpose');
  const of = rows ?? turned;
  const half = of && halve(of.operands[0] as Value, context);
  if (half === undefined) return undefined;
  if (rows !== undefined) return context.emitOne('slice', [half], rows.attributes, `${value.name}.f16`);
  return turned && context.emitOne('transpose', [half], turned.attributes, `${value.name}.f16`);
}
