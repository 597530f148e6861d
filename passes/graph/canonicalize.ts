import type { Module, Operation, Value } from '../../ir/graph/graph.js';
import type { GraphPass } from '../pass.js';
import {
  simplifyBinary,
  simplifyCast,
  simplifyCompare,
  simplifyNeg,
  simplifySelect,
} from './canonicalize/elementwise.js';
import { simplifyConcat, simplifySlice, simplifySplit } from './canonicalize/pieces.js';
import {
  simplifyBroadcast,
  simplifyMatmul,
  simplifyPad,
  simplifyReshape,
  simplifyTranspose,
  simplifyUpsample,
} from './canonicalize/views.js';
import { rewriteModule, type RewriteContext } from './rewriter.js';
import { Uses } from './uses.js';

/**
 * Brings graphs to one form by local rules: operations that do nothing go (x + 0, reshape of reshape, a slice of
 * everything, a concatenation of neighbouring pieces), constants are right operands, broadcasts that an elementwise
 * operation does itself are dropped, x · sigmoid(x) is silu(x), a transposed second factor is `transposeB`. Every rule
 * is a clear win or leaves the cost alone; each has its place beside its kind in passes/graph/canonicalize/.
 *
 * Needs nothing. Values that lose their users stay: eliminate-dead-code removes them.
 * Cost: linear a round; rounds until nothing changes. Operands come before their users, so one round does nearly all
 * and a second one finds nothing; rules that wait for a user to vanish need a third.
 */
export const canonicalize: GraphPass = {
  name: 'canonicalize',
  description: 'simplify operations that do nothing and bring the others to one form',
  run(module) {
    let current = module;
    for (let round = 0; round < maximumRounds; round++) {
      const next = canonicalizeOnce(current);
      if (next === current) break;
      current = next;
    }
    return current;
  },
};

/** A bound, in case two rules ever undo each other. */
const maximumRounds = 8;

function canonicalizeOnce(module: Module): Module {
  return rewriteModule(module, (graphFunction) => {
    const uses = new Uses(graphFunction.body);
    return (operation, context) => {
      if (uses.isAbsorbed(operation)) return operation.results;
      return simplify(operation, context, uses);
    };
  });
}

function simplify(operation: Operation, context: RewriteContext, uses: Uses): readonly Value[] | undefined {
  switch (operation.kind) {
    case 'add':
    case 'sub':
    case 'mul':
    case 'div':
    case 'min':
    case 'max':
    case 'pow':
      return simplifyBinary(operation, context);
    case 'equal':
    case 'less':
    case 'less_equal':
      return simplifyCompare(operation, context);
    case 'select':
      return simplifySelect(operation, context);
    case 'neg':
      return simplifyNeg(operation, context);
    case 'cast':
      return simplifyCast(operation, context);
    case 'reshape':
      return simplifyReshape(operation, context);
    case 'transpose':
      return simplifyTranspose(operation, context);
    case 'broadcast':
      return simplifyBroadcast(operation, context);
    case 'slice':
      return simplifySlice(operation, context);
    case 'split':
      return simplifySplit(operation, context, uses);
    case 'concat':
      return simplifyConcat(operation, context);
    case 'pad':
      return simplifyPad(operation);
    case 'upsample_nearest':
      return simplifyUpsample(operation);
    case 'matmul':
      return simplifyMatmul(operation, context);
    default:
      // Kinds without a rule: sources, contractions, normalisations, control.
      return undefined;
  }
}
