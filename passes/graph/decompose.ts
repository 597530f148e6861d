import type { Value } from '../../ir/graph/graph.js';
import type { GraphPass } from '../pass.js';
import { rewriteModule } from './rewriter.js';

/**
 * Takes apart what no kernel does in one go: `group_norm` needs the statistics of all positions before it can write
 * one, so it becomes `group_statistics` and `group_apply`; the second is elementwise given the first and fuses with its
 * neighbours (SiLU after it, a convolution's load). Softmax and the norms over the last axis stay: a row fits a workgroup.
 *
 * Needs nothing. Cost: linear.
 */
export const decompose: GraphPass = {
  name: 'decompose',
  description: 'split group_norm into statistics and application',
  run: (module) =>
    rewriteModule(module, () => (operation, context) => {
      if (operation.kind !== 'group_norm') return undefined;
      const { groups, eps } = operation.attributes;
      const [x, weight, bias] = operation.operands as readonly [Value, Value, Value];
      const name = `${(operation.results[0] as Value).name}.statistics`;
      const statistics = context.emitOne('group_statistics', [x], { groups, eps }, name);
      return context.become(operation, 'group_apply', [x, statistics, weight, bias], { groups });
    }),
};
