/** The transformer with what leaves its blocks as results: where two models begin to differ. */
import type { ModuleGraph, Tensor } from '../../frontend/index.js';
import type { TransformerConfig } from './config.js';
import { buildTransformer } from './transformer.js';
import type { WeightDTypes } from './weights.js';

/** The function's name. */
export const RESIDUAL_STREAMS = 'residual_streams';

export const streamNames = ['text', 'image'] as const;
export type StreamName = (typeof streamNames)[number];

/** All blocks in order: `double.0` ... `single.0` ... */
export function blockNames({ doubleBlocks, singleBlocks }: TransformerConfig): readonly string[] {
  const names = (kind: string, count: number): string[] => Array.from({ length: count }, (_, at) => `${kind}.${at}`);
  return [...names('double', doubleBlocks), ...names('single', singleBlocks)];
}

/** The result that a stream of a block is. */
export function streamResult(block: string, stream: StreamName): string {
  return `${block.replace('.', '_')}_${stream}`;
}

/**
 * Adds the function `residual_streams`: one pass with the inputs of `addTransformer`, whose results are both residual streams
 * after each of `blocks`, f32[batch, txt, H] and f32[batch, img, H] as `streamResult` calls them, and `sample`, the velocity, with
 * `withVelocity`. Blocks after the last that is asked for are not run. A single-stream block has the text's tokens before the image's.
 */
export function addResidualStreams(
  module: ModuleGraph,
  config: TransformerConfig,
  blocks: readonly string[],
  withVelocity: boolean,
  dtypes: WeightDTypes,
): void {
  const graph = module.function(RESIDUAL_STREAMS);
  const results: Record<string, Tensor<'f32', 3>> = {};
  const sample = buildTransformer(graph, config, dtypes, (block, streams) => {
    if (!blocks.includes(block)) return;
    for (const stream of streamNames) results[streamResult(block, stream)] = streams[stream];
  });
  graph.output(withVelocity ? { ...results, sample } : results);
}
