/**
 * The public graph API: a network written down as functions of tensors.
 *
 *     const g = graph('mlp');
 *     const x = g.input('x', 'f32', ['tokens', 256]);
 *     const w = g.weight('fc.weight', 'bf16', [1024, 256]);
 *     g.output({ y: silu(linear(x, w)) });
 *     const module = g.build();
 *
 * TypeScript knows the element type and the rank of every tensor; sizes are checked as the graph is built.
 */
export { createModule, type FunctionGraph, graph, type ModuleGraph } from './graph.js';
export type { Tensor } from './tensor.js';
export type { FloatType } from './tensor-types.js';
export * from './elementwise.js';
export * from './products.js';
export * from './normalization.js';
export * from './movement.js';
export * from './position.js';
