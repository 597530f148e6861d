import type { Target } from '../backends/target.js';
import type { QuantizedDType } from '../ir/dtype.js';
import { canonicalize } from './graph/canonicalize.js';
import { decompose } from './graph/decompose.js';
import { divideProducts } from './graph/divide-products.js';
import { eliminateCommonSubexpressions } from './graph/eliminate-common-subexpressions.js';
import { eliminateDeadCode } from './graph/eliminate-dead-code.js';
import { type EncodingOf, encodeWeights } from './graph/encode-weights.js';
import { foldConstants } from './graph/fold-constants.js';
import { fuse } from './graph/fuse.js';
import { halveWeights } from './graph/halve-weights.js';
import { hoistLoopInvariants } from './graph/hoist-loop-invariants.js';
import { joinRows } from './graph/join-rows.js';
import { mergeNormWeights } from './graph/merge-norm-weights.js';
import { mergeProjections } from './graph/merge-projections.js';
import { type MayQuantize, quantizeProducts } from './graph/quantize-products.js';
import { vectorizeSteps } from './graph/vectorize-steps.js';
import type { GraphPass } from './pass.js';

/** What every target wants before `fuse`. */
const simplifyPasses = (encodingOf: EncodingOf | undefined): readonly GraphPass[] => [
  canonicalize,
  foldConstants,
  // Folding leaves numbers where rules look for them.
  canonicalize,
  eliminateCommonSubexpressions,
  eliminateDeadCode,
  mergeProjections(encodingOf),
  hoistLoopInvariants,
  vectorizeSteps,
  decompose,
  // Rows of pieces, pieces of merged products.
  canonicalize,
  eliminateCommonSubexpressions,
  eliminateDeadCode,
];

/** What is decided for a module before its passes run. */
export interface PipelineOptions {
  /** Set where linear layers multiply numbers of 8 bits: of which type, and which weights may be quantised. */
  readonly quantized?: { readonly dtype: QuantizedDType; readonly mayQuantize: MayQuantize };
  /** Set where weights of linear layers stay encoded. */
  readonly encodingOf?: EncodingOf;
  /** Set where products multiply f16 numbers as they are stored. */
  readonly halvesWeights?: true;
}

/**
 * The graph passes of a target, in order. The same for all targets so far: what differs between them is decided in groups and
 * schedules.
 */
export function graphPassesFor(
  _target: Target,
  { quantized, encodingOf, halvesWeights }: PipelineOptions = {},
): readonly GraphPass[] {
  const quantize: readonly GraphPass[] =
    quantized === undefined
      ? []
      : [quantizeProducts(quantized.mayQuantize, quantized.dtype), eliminateCommonSubexpressions, eliminateDeadCode];
  const encode: readonly GraphPass[] = encodingOf === undefined ? [] : [encodeWeights(encodingOf), eliminateDeadCode];
  return [
    ...simplifyPasses(encodingOf),
    divideProducts,
    eliminateDeadCode,
    ...encode,
    ...quantize,
    ...(halvesWeights === true ? [halveWeights, eliminateDeadCode] : []),
    mergeNormWeights,
    joinRows,
    eliminateDeadCode,
    fuse,
  ];
}
