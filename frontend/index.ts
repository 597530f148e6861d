export * from './graph-api.js';
export { Dim, type DimLike } from '../ir/dim.js';
export type { DType } from '../ir/dtype.js';
export { Flux2cError } from '../ir/diagnostics.js';
export type { Module, WeightPart, WeightSource } from '../ir/graph/graph.js';
