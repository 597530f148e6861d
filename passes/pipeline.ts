import type { Target } from '../backends/target.js';
import type { QuantizedDType } from '../ir/dtype.js';
import { encodedFields } from '../ir/encoding.js';
import { canonicalize } from './graph/canonicalize.js';
import { chooseFactors, type FactorChoice } from './graph/choose-factors.js';
import { decompose } from './graph/decompose.js';
import { divideProducts } from './graph/divide-products.js';
import { eliminateCommonSubexpressions } from './graph/eliminate-common-subexpressions.js';
import { eliminateDeadCode } from './graph/eliminate-dead-code.js';
import { type EncodingOf, encodeWeights, encodingOfWeight } from './graph/encode-weights.js';
import { foldConstants } from './graph/fold-constants.js';
import { foldUpsampling } from './graph/fold-upsampling.js';
import { fuse } from './graph/fuse.js';
import { halveWeights } from './graph/halve-weights.js';
import { hoistLoopInvariants } from './graph/hoist-loop-invariants.js';
import { interleaveGates, type MoreBuffers } from './graph/interleave-gates.js';
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
  /** What factors of products are rounded to; all are f32 without it. */
  readonly factors?: FactorChoice;
  /** Set where products of f16 factors have their weights in f16. */
  readonly halvesWeights?: true;
}

/**
 * The graph passes of a target, in order. They are the same for all targets: what differs between them is decided by a pass that looks at
 * the target (merge-projections, interleave-gates), in groups and in schedules.
 */
export function graphPassesFor(
  _target: Target,
  { quantized, encodingOf, factors, halvesWeights }: PipelineOptions = {},
): readonly GraphPass[] {
  const quantize: readonly GraphPass[] =
    quantized === undefined
      ? []
      : [quantizeProducts(quantized.mayQuantize, quantized.dtype), eliminateCommonSubexpressions, eliminateDeadCode];
  const encode: readonly GraphPass[] = encodingOf === undefined ? [] : [encodeWeights(encodingOf), eliminateDeadCode];
  // Rows of 8 bits and of activations have scales, an encoded weight has several arrays.
  const moreBuffers: MoreBuffers = (weight) => {
    const encoding = encodingOf && encodingOfWeight(weight, encodingOf);
    if (encoding !== undefined) return encodedFields(encoding, weight.type.shape[1]?.constant ?? 0).length - 1;
    return quantized === undefined ? 0 : 2;
  };
  return [
    ...simplifyPasses(encodingOf),
    interleaveGates(moreBuffers),
    divideProducts,
    eliminateDeadCode,
    ...encode,
    ...quantize,
    chooseFactors(factors),
    foldUpsampling,
    eliminateDeadCode,
    ...(halvesWeights === true ? [halveWeights, eliminateDeadCode] : []),
    mergeNormWeights,
    joinRows,
    eliminateDeadCode,
    fuse,
  ];
}
