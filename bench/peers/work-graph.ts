/** What is measured as functions of the graph API: the form that flux2c runs, and the reference of all stacks. */
import { attention, cast, conv2d, createModule, linear, type Module, type Tensor } from '../../frontend/index.js';
import type { TransformerConfig } from '../../models/flux2/config.js';
import { addTransformer } from '../../models/flux2/transformer.js';
import type { Numbers } from './numbers.js';
import { latentChannels, mlpRatio, timestepChannels, type TransformerWork, type Work } from './works.js';

export interface WorkGraph {
  readonly module: Module;
  readonly functionName: string;
  readonly result: string;
}

/**
 * Inputs and weights by the names that `makeWorkData` gives numbers for. Products are x·wᵀ with the weight [n, k], as
 * checkpoints store it; attention has heads before tokens; pictures have channels last. Activations are f32.
 *
 * @param storage of weights
 */
export function buildWorkGraph(work: Work, storage: Numbers = 'f32'): WorkGraph {
  const module = createModule();
  if (work.kind === 'transformer') {
    addTransformer(module, configOf(work), () => storage);
    return { module: module.build(), functionName: 'transformer', result: 'sample' };
  }
  const graph = module.function(work.kind);
  // As in a network, where what products read is kept in 16 bits: one more launch, which the others do not have.
  const input = <const S extends readonly number[]>(name: string, shape: S): Tensor<'f32', S['length']> => {
    const given = graph.input(name, 'f32', shape);
    return storage === 'f16' ? cast(cast(given, 'f16'), 'f32') : given;
  };
  switch (work.kind) {
    case 'product': {
      const x = input('x', [work.m, work.k]);
      graph.output({ y: linear(x, graph.weight('weight', storage, [work.n, work.k])) });
      break;
    }
    case 'attention': {
      const shape = [1, work.heads, work.tokens, work.headDim] as const;
      const [q, k, v] = [input('q', shape), input('k', shape), input('v', shape)];
      graph.output({ y: attention(q, k, v) });
      break;
    }
    case 'convolution': {
      const x = input('x', [1, work.side, work.side, work.inputs]);
      const weight = graph.weight('weight', storage, [work.outputs, 3, 3, work.inputs]);
      graph.output({ y: conv2d(x, weight, { padding: 1 }) });
      break;
    }
  }
  return { module: module.build(), functionName: work.kind, result: 'y' };
}

/** Sizes that are not in the work are those of the released models. */
export function configOf(work: TransformerWork): TransformerConfig {
  const { heads, headDim, doubleBlocks, singleBlocks } = work;
  const hidden = heads * headDim;
  return {
    inChannels: latentChannels,
    outChannels: latentChannels,
    hidden,
    heads,
    headDim,
    doubleBlocks,
    singleBlocks,
    textWidth: hidden,
    mlpHidden: mlpRatio * hidden,
    ropeAxes: [headDim / 4, headDim / 4, headDim / 4, headDim / 4],
    ropeTheta: 2000,
    timestepChannels,
    eps: 1e-6,
    guidanceEmbeds: false,
  };
}
