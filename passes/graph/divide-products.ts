import { Dim } from '../../ir/dim.js';
import type { Operation, OperationOf, Value } from '../../ir/graph/graph.js';
import type { GraphPass } from '../pass.js';
import { findMeeting } from './meeting-pieces.js';
import { rewriteModule, type RewriteContext } from './rewriter.js';
import { Uses } from './uses.js';

/**
 * Divides a product whose pieces one elementwise operation reads: gate and up of `silu(gate) · up` become products of their
 * own rows of the weight, which `fuse` puts into one kernel with an accumulator each, so that neither goes through memory.
 * The pieces between and around them stay together: [q, k, v, gate, up] becomes [q, k, v], gate and up.
 *
 * A pass before `fuse`, because what comes out is an ordinary graph: rows of a weight are a slice, which the plan reads as a
 * view with an offset, and no weight is stored again. Each piece binds its own rows, so a launch that is cut by columns
 * binds a window of each, not all between them.
 *
 * Needs products merged and splits flattened (merge-projections, canonicalize). Leaves the whole product without a reader:
 * eliminate-dead-code removes it. Cost: linear, and quadratic in the pieces of a split; the left operand is read once more.
 */
export const divideProducts: GraphPass = {
  name: 'divide-products',
  description: 'make products of their own of pieces that meet in one elementwise operation',
  run: (module) =>
    rewriteModule(module, (graphFunction) => {
      const uses = new Uses(graphFunction.body);
      return (operation, context) => (operation.kind === 'split' ? divide(operation, context, uses) : undefined);
    }),
};

function divide(
  split: OperationOf<'split'> & Operation,
  context: RewriteContext,
  uses: Uses,
): readonly Value[] | undefined {
  const { axis, sizes } = split.attributes;
  const product = split.operands[0] as Value;
  const maker = context.definitionOf(product, 'matmul');
  if (maker === undefined || axis !== product.type.shape.length - 1 || uses.count(product) !== 1) return undefined;
  const [x, weight] = maker.operands as readonly [Value, Value];
  if (!maker.attributes.transposeB || weight.type.shape.length !== 2) return undefined;
  if (context.definitionOf(weight, 'weight') === undefined) return undefined;
  const alone = findMeeting(split.results, uses);
  if (alone.size === 0) return undefined;
  let start = Dim.of(0);
  let at = 0;
  while (at < sizes.length) {
    let end = at + 1;
    if (!alone.has(split.results[at] as Value)) {
      while (end < sizes.length && !alone.has(split.results[end] as Value)) end++;
    }
    const pieces = split.results.slice(at, end);
    const size = sizes.slice(at, end).reduce((sum, each) => sum.add(each), Dim.of(0));
    const name = (pieces[0] as Value).name;
    const rows = context.emitOne('slice', [weight], { axis: 0, start, size }, `${name}.rows`);
    if (pieces.length === 1) {
      context.define(pieces, 'matmul', [x, rows], maker.attributes);
    } else {
      const part = context.emitOne('matmul', [x, rows], maker.attributes, product.name);
      context.define(pieces, 'split', [part], { axis, sizes: sizes.slice(at, end) });
    }
    start = start.add(size);
    at = end;
  }
  return split.results;
}
