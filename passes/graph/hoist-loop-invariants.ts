import type { BlockBuilder } from '../../ir/graph/builder.js';
import type { Block, Operation, Value } from '../../ir/graph/graph.js';
import type { GraphPass } from '../pass.js';
import { rewriteModule } from './rewriter.js';
import { listSymbols } from './symbols.js';

/**
 * Moves what a loop's body computes from neither its carried values nor its symbol to before the loop, out of as many
 * loops as possible: the text projection, rotary tables, reference images, weights.
 *
 * Needs nothing. Operations are pure, so nothing is lost but memory: a hoisted value lives as long as the loop.
 * Cost: linear in the module times the depth of its loops.
 */
export const hoistLoopInvariants: GraphPass = {
  name: 'hoist-loop-invariants',
  description: 'compute before a loop what does not change in it',
  run: (module) =>
    rewriteModule(module, () => (operation, context) => {
      let block: BlockBuilder = context.block;
      const needed = listNeeded(operation);
      const symbols = listSymbols(operation);
      for (let parent = block.scope.parent; parent !== undefined; parent = block.scope.parent) {
        const around = parent;
        if (symbols.has(block.scope.loopSymbols.at(-1) as string)) break;
        if (!needed.every((value) => around.sees(value))) break;
        block = around;
      }
      if (block === context.block) return undefined;
      context.append(operation, block);
      return operation.results;
    }),
};

/** Operands and what a loop's body takes from outside. */
function listNeeded(operation: Operation): readonly Value[] {
  if (operation.kind !== 'loop' || operation.body === undefined) return operation.operands;
  return [...operation.operands, ...listFree(operation.body)];
}

function listFree(block: Block): readonly Value[] {
  const own = new Set<Value>(block.parameters);
  const free: Value[] = [];
  for (const operation of block.operations) {
    for (const value of listNeeded(operation)) if (!own.has(value)) free.push(value);
    for (const result of operation.results) own.add(result);
  }
  for (const result of block.results) if (!own.has(result)) free.push(result);
  return free;
}
