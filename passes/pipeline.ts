import type { Target } from '../backends/target.js';
import { canonicalize } from './graph/canonicalize.js';
import { decompose } from './graph/decompose.js';
import { divideProducts } from './graph/divide-products.js';
import { eliminateCommonSubexpressions } from './graph/eliminate-common-subexpressions.js';
import { eliminateDeadCode } from './graph/eliminate-dead-code.js';
import { foldConstants } from './graph/fold-constants.js';
import { fuse } from './graph/fuse.js';
import { hoistLoopInvariants } from './graph/hoist-loop-invariants.js';
import { mergeProjections } from './graph/merge-projections.js';
import { vectorizeSteps } from './graph/vectorize-steps.js';
import type { GraphPass } from './pass.js';

/** What every target wants before `fuse`. */
const simplifyPasses: readonly GraphPass[] = [
  canonicalize,
  foldConstants,
  // Folding leaves numbers where rules look for them.
  canonicalize,
  eliminateCommonSubexpressions,
  eliminateDeadCode,
  mergeProjections,
  hoistLoopInvariants,
  vectorizeSteps,
  decompose,
  // Rows of pieces, pieces of merged products.
  canonicalize,
  eliminateCommonSubexpressions,
  eliminateDeadCode,
];

/** The same for all targets so far: what differs between them is decided in groups and schedules. */
const graphPasses: readonly GraphPass[] = [...simplifyPasses, divideProducts, eliminateDeadCode, fuse];

/** The graph passes of a target, in order. */
export function graphPassesFor(_target: Target): readonly GraphPass[] {
  return graphPasses;
}
