import { describe, expect, it } from 'vitest';
import { cpuTarget } from '../../backends/target.js';
import { opKinds } from '../../ir/graph/attribute-forms.js';
import type { OpKind } from '../../ir/graph/attributes.js';
import type { Module } from '../../ir/graph/graph.js';
import { printModule } from '../../ir/graph/print.js';
import { verifyModule } from '../../ir/graph/verify.js';
import type { HostTensor } from '../../ir/host-tensor.js';
import { randomGraph } from '../../test/random-graph.js';
import { randomProjections } from '../../test/random-projections.js';
import { randomSteps } from '../../test/random-steps.js';
import { patternCases, patternWeights } from '../../test/run-pass.js';
import type { GraphPass } from '../pass.js';
import { graphPassesFor } from '../pipeline.js';
import { validateTranslation, type ValidationCase } from '../validate.js';
import { canonicalize } from './canonicalize.js';
import { decompose } from './decompose.js';
import { divideProducts } from './divide-products.js';
import { eliminateCommonSubexpressions } from './eliminate-common-subexpressions.js';
import { eliminateDeadCode } from './eliminate-dead-code.js';
import { foldConstants } from './fold-constants.js';
import { fuse } from './fuse.js';
import { hoistLoopInvariants } from './hoist-loop-invariants.js';
import { mergeProjections } from './merge-projections.js';
import { vectorizeSteps } from './vectorize-steps.js';

/** A module with something to run it on. */
interface Sample {
  readonly module: Module;
  readonly cases: readonly ValidationCase[];
  readonly readTensor: (name: string) => HostTensor;
}

/** Samples of a seed from large to small, for shrinking; the first is the one that counts. */
type Source = (seed: number) => readonly (() => Sample)[];

/** What most rules look for, chosen more often than among all kinds. */
const views: readonly OpKind[] = [
  'reshape', 'transpose', 'slice', 'split', 'concat', 'broadcast', 'cast', 'pad', 'constant', 'weight', 'iota',
  'add', 'mul', 'sub', 'matmul', 'silu', 'loop', 'group_norm',
]; // prettier-ignore

function graphsOf(ops: readonly OpKind[], size: number): Source {
  return (seed) => {
    const sizes = Array.from({ length: size }, (_, smaller) => size - smaller);
    return sizes.map((count) => () => {
      const { module, inputs, sizes, weights } = randomGraph(seed, { ops, size: count });
      const readTensor = (name: string): HostTensor => weights.get(name) as HostTensor;
      return { module, cases: [{ functionName: 'random', inputs, sizes }], readTensor };
    });
  };
}

function patternsOf(make: (seed: number, size?: number) => Module, sizes: readonly number[]): Source {
  return (seed) =>
    sizes.map((size) => () => {
      const module = make(seed, size);
      return { module, cases: patternCases(module), readTensor: patternWeights(module) };
    });
}

const anyGraphs = graphsOf(opKinds, 16);
const viewGraphs = graphsOf(views, 24);
const stepLoops = patternsOf(randomSteps, [12, 8, 4, 2, 1]);
const projections = patternsOf(randomProjections, [1]);

/** Throws unless the pass keeps the module well-formed and its results; true when it changed something. */
function check(pass: GraphPass, { module, cases, readTensor }: Sample): boolean {
  const after = pass.run(module, cpuTarget);
  if (after === module) return false;
  verifyModule(after);
  validateTranslation(module, after, cases, readTensor, { precision: 'f64', tolerance: 1e-10 });
  validateTranslation(module, after, cases, readTensor, { precision: 'f32', tolerance: 1e-4 });
  return true;
}

/** `check` of the seed's sample; when it fails, the error has the text of the smallest sample that fails. */
function checkSeed(pass: GraphPass, source: Source, seed: number): boolean {
  const samples = source(seed);
  const [largest] = samples as readonly [() => Sample];
  try {
    return check(pass, largest());
  } catch (first) {
    for (const make of [...samples].reverse()) {
      const sample = make();
      try {
        check(pass, sample);
      } catch (error) {
        const texts = [sample.module, pass.run(sample.module, cpuTarget)].map(printModule);
        throw new Error(`seed ${seed}\n${texts.join('\nbecame\n\n')}`, { cause: error });
      }
    }
    throw first;
  }
}

const simplified: GraphPass = {
  name: 'all passes',
  description: 'the pipeline',
  run: (module, target) => graphPassesFor(target).reduce((made, pass) => pass.run(made, target), module),
};

/** With loop invariants out of the way, as it needs. */
const vectorized: GraphPass = {
  ...vectorizeSteps,
  run: (module, target) => vectorizeSteps.run(hoistLoopInvariants.run(module, target), target),
};

/** Of merged products, as it needs. */
const divided: GraphPass = {
  ...divideProducts,
  run: (module, target) => {
    const merged = mergeProjections().run(module, target);
    const made = divideProducts.run(merged, target);
    return made === merged ? module : made;
  },
};

const seeds = Array.from({ length: 24 }, (_, seed) => seed);

describe('random graphs keep their results', () => {
  // `least`: how many of the 24 graphs the pass must change, or the test would show nothing.
  it.each<{ pass: GraphPass; of: string; source: Source; least: number }>([
    { pass: canonicalize, of: 'any graphs', source: anyGraphs, least: 3 },
    { pass: canonicalize, of: 'graphs of views', source: viewGraphs, least: 12 },
    { pass: foldConstants, of: 'any graphs', source: anyGraphs, least: 2 },
    { pass: foldConstants, of: 'graphs of views', source: viewGraphs, least: 6 },
    { pass: eliminateCommonSubexpressions, of: 'graphs of views', source: viewGraphs, least: 12 },
    { pass: eliminateDeadCode, of: 'any graphs', source: anyGraphs, least: 12 },
    { pass: eliminateDeadCode, of: 'step loops', source: stepLoops, least: 12 },
    { pass: hoistLoopInvariants, of: 'graphs of views', source: viewGraphs, least: 3 },
    { pass: hoistLoopInvariants, of: 'step loops', source: stepLoops, least: 12 },
    { pass: decompose, of: 'graphs of views', source: viewGraphs, least: 3 },
    { pass: mergeProjections(), of: 'projections', source: projections, least: 8 },
    { pass: divided, of: 'projections', source: projections, least: 6 },
    { pass: vectorized, of: 'step loops', source: stepLoops, least: 18 },
    { pass: fuse, of: 'any graphs', source: anyGraphs, least: 24 },
    { pass: fuse, of: 'step loops', source: stepLoops, least: 24 },
    { pass: simplified, of: 'any graphs', source: anyGraphs, least: 24 },
    { pass: simplified, of: 'graphs of views', source: viewGraphs, least: 24 },
    { pass: simplified, of: 'step loops', source: stepLoops, least: 24 },
    { pass: simplified, of: 'projections', source: projections, least: 24 },
  ])('after $pass.name: $of', ({ pass, source, least }) => {
    const changed = seeds.filter((seed) => checkSeed(pass, source, seed));
    expect(changed.length).toBeGreaterThanOrEqual(least);
  });
});
