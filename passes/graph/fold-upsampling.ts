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
 * Sums are rounded once, to f32 or to what the products round their factors to; of filters in bf16 they take 64 bytes in f32 for each output
 * and input where those took 18. Only where every use of the weight is so: it is stored in the new form alone. Only for results in f32.
 *
 * Needs canonicalize and fold-constants, which make one weight of a filter and its transposition, and choose-factors; eliminate-dead-code
 * behind it removes what is upsampled. Cost: linear.
 */
export const foldUpsampling: GraphPass = {
  name: 'fold-upsampling',
  description: 'convolve pictures before they are upsampled',
  run(module) {
    const foldable = findFoldable(module);
    if (foldable.size === 0) return module;
    return rewriteModule(module, () => (operation, context) => {
      const isFoldable = operation.kind === 'conv2d' && foldable.has(operation.results[0] as Value);
      return isFoldable ? fold(operation, context) : undefined;
    });
  },
};

function fold(convolution: Convolution, context: RewriteContext): readonly Value[] {
  const { operands, attributes } = convolution;
  const [larger, filters] = operands as readonly [Value, Value];
  const upsampling = context.definitionOf(larger, 'upsample_nearest');
  const declaration = context.weights.get(context.definitionOf(filters, 'weight')?.attributes.name ?? '');
  if (upsampling === undefined || declaration === undefined) throw new Error('internal: nothing is upsampled here');
  const [outputs, , , channels] = filters.type.shape as readonly [Dim, Dim, Dim, Dim];
  const dtype: DType = attributes.factors ?? 'f32';
  const shape = [outputs.mul(upsampledPhases), Dim.of(2), Dim.of(2), channels];
  const source = { kind: 'upsampled_filters', of: weightPart(declaration) } as const;
  const name = context.weights.declare(`${declaration.name}.upsampled`, { dtype, shape }, source);
  const sums = context.emitOne('weight', [], { name }, `@${name}`);
  return context.become(convolution, 'conv2d', [upsampling.operands[0] as Value, sums], { ...attributes, phases: 2 });
}

type Convolution = OperationOf<'conv2d'> & { readonly kind: 'conv2d' };

/** The results of convolutions to fold: those all of whose weights' uses are such, with factors rounded alike. */
function findFoldable(module: Module): ReadonlySet<Value> {
  /** By weight, how often it is used, and the convolutions that could be folded. */
  const uses = new Map<string, { count: number; readonly foldable: Convolution[] }>();
  const visit = (operations: readonly Operation[], around: ReadonlyMap<Value, Operation>): void => {
    const definitions = new Map(around);
    for (const operation of operations) {
      for (const result of operation.results) definitions.set(result, operation);
      for (const operand of operation.operands) {
        const weight = definitions.get(operand);
        if (weight?.kind !== 'weight') continue;
        const known = uses.get(weight.attributes.name) ?? { count: 0, foldable: [] };
        uses.set(weight.attributes.name, known);
        known.count++;
        if (operation.kind === 'conv2d' && enlarges(operation, definitions)) known.foldable.push(operation);
      }
      if (operation.body !== undefined) visit(operation.body.operations, definitions);
    }
  };
  for (const { body } of module.functions.values()) visit(body.operations, new Map());
  const all = [...uses.values()].filter(({ count, foldable: [first, ...others] }) => {
    const isOne = others.every(({ attributes }) => attributes.factors === first?.attributes.factors);
    return isOne && count === others.length + 1;
  });
  return new Set(all.flatMap(({ foldable }) => foldable.flatMap(({ results }) => results)));
}

/** Whether a convolution by a weight's filters is one that sums of taps do. */
function enlarges({ operands, attributes, results }: Convolution, definitions: ReadonlyMap<Value, Operation>): boolean {
  const [larger, filters] = operands as readonly [Value, Value];
  const upsampling = definitions.get(larger);
  const { stride, padding, phases } = attributes;
  const [, height, width] = filters.type.shape;
  const isPlain = stride === 1 && padding.every((size) => size === 1) && phases === undefined;
  const isWeight = definitions.get(filters)?.kind === 'weight' && widened.has(filters.type.dtype);
  const isDoubled = upsampling?.kind === 'upsample_nearest' && upsampling.attributes.factor === 2;
  const isWide = results[0]?.type.dtype === 'f32' && larger.type.dtype === 'f32';
  return isPlain && isWeight && isDoubled && isWide && height?.constant === 3 && width?.constant === 3;
}

const widened: ReadonlySet<DType> = new Set<DType>(['f32', 'bf16', 'f16']);
