import type { Value } from '../../ir/graph/graph.js';
import type { GraphPass } from '../pass.js';
import { rewriteModule } from './rewriter.js';

/**
 * Takes apart what no kernel does in one go: `group_norm` needs the statistics of all positions before it can write
 * one. They are taken in two stages, `group_moments` of each row of a picture, so that many rows are read at once and a
 * launch can be cut between them, and `combine_moments` of all rows. `group_apply` is elementwise given those and fuses
 * with its neighbours (SiLU after it, a convolution's load). Softmax and the norms over the last axis stay: a row fits a
 * workgroup.
 *
 * Needs nothing. Cost: linear.
 */
export const decompose: GraphPass = {
  name: 'decompose',
  description: 'split group_norm into moments, statistics and application',
  run: (module) =>
    rewriteModule(module, () => (operation, context) => {
      if (operation.kind !== 'group_norm') return undefined;
      const { groups, eps } = operation.attributes;
      const [x, weight, bias] = operation.operands as readonly [Value, Value, Value];
      const { name } = operation.results[0] as Value;
      const moments = context.emitOne('group_moments', [x], { groups }, `${name}.moments`);
      const statistics = context.emitOne('combine_moments', [moments], { eps }, `${name}.statistics`);
      return context.become(operation, 'group_apply', [x, statistics, weight, bias], { groups });
    }),
};
