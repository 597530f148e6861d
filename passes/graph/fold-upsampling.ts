import type { DType } from '../../ir/dtype.js';
import { Dim } from '../../ir/dim.js';
import type { Module, Operation, OperationOf, Value } from '../../ir/graph/graph.js';
import { upsampledPhases } from '../../ir/upsampled-filters.js';
import type { GraphPass } from '../pass.js';
import { rewriteModule, type RewriteContext } from './rewriter.js';
import { weightPart } from './weight-table.js';

/**
 * A convolution with filters of 3 × 3 of a picture that is made twice as high and wide by repeating pixels becomes one of the picture as
 * it is: for each position of a block of 2 × 2 the nine taps fall on four pixels, so that sums of taps, made once while the weights are
 * loaded, are filters of 2 × 2 (`sumTaps`). 4 multiplications for 9, in one kernel as before (`phases` of conv2d).
 *
 * Sums are rounded once, to f32 or to what the products round their factors to. Only where nothing else uses the weight, which is stored in
 * the new form alone. Needs canonicalize and fold-constants, which make one weight of a filter and its transposition, and
 * choose-factors; eliminate-dead-code behind it removes what is upsampled. Cost: linear.
 */
export const foldUpsampling: GraphPass = {
  name: 'fold-upsampling',
  description: 'convolve pictures before they are upsampled',
  run(module) {
    const uses = countWeightUses(module);
    return rewriteModule(module, () => (operation, context) => {
      return operation.kind === 'conv2d' ? fold(operation, context, uses) : undefined;
    });
  },
};

function fold(
  convolution: OperationOf<'conv2d'> & { readonly kind: 'conv2d' },
  context: RewriteContext,
  uses: ReadonlyMap<string, number>,
): readonly Value[] | undefined {
  const { operands, attributes } = convolution;
  const [larger, filters] = operands as readonly [Value, Value];
  const upsampling = context.definitionOf(larger, 'upsample_nearest');
  const weight = context.definitionOf(filters, 'weight');
  if (upsampling?.attributes.factor !== 2 || weight === undefined || attributes.phases !== undefined) return undefined;
  const { stride, padding, factors } = attributes;
  const declaration = context.weights.get(weight.attributes.name);
  const [outputs, height, width, channels] = filters.type.shape as readonly [Dim, Dim, Dim, Dim];
  if (stride !== 1 || padding.some((size) => size !== 1) || height.constant !== 3 || width.constant !== 3)
    return undefined;
  if (declaration === undefined || uses.get(declaration.name) !== 1 || !widened.has(declaration.type.dtype))
    return undefined;
  // What rounds anyway rounds once.
  const dtype: DType = factors ?? 'f32';
  const shape = [outputs.mul(upsampledPhases), Dim.of(2), Dim.of(2), channels];
  const source = { kind: 'upsampled_filters', of: weightPart(declaration) } as const;
  const name = context.weights.declare(`${declaration.name}.upsampled`, { dtype, shape }, source);
  const sums = context.emitOne('weight', [], { name }, `@${name}`);
  const x = upsampling.operands[0] as Value;
  return context.become(convolution, 'conv2d', [x, sums], { ...attributes, phases: 2 });
}

const widened: ReadonlySet<DType> = new Set<DType>(['f32', 'bf16', 'f16']);

/** How many operands each weight is. */
function countWeightUses({ functions }: Module): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  const visit = (operations: readonly Operation[], names: ReadonlyMap<Value, string>): void => {
    const known = new Map(names);
    for (const operation of operations) {
      if (operation.kind === 'weight') known.set(operation.results[0] as Value, operation.attributes.name);
      for (const operand of operation.operands) {
        const name = known.get(operand);
        if (name !== undefined) counts.set(name, (counts.get(name) ?? 0) + 1);
      }
      if (operation.body !== undefined) visit(operation.body.operations, known);
    }
  };
  for (const { body } of functions.values()) visit(body.operations, new Map());
  return counts;
}
