import { unreachable } from '../../ir/diagnostics.js';
import type { Module, WeightPart } from '../../ir/graph/graph.js';
import type { Component } from './weights.js';

/**
 * The tensors that a module reads from the checkpoint of one of its networks, by the names they have in it (diffusers'),
 * with their shapes: for strict loading.
 */
export function collectExpectedWeights(module: Module, component: Component): ReadonlyMap<string, readonly number[]> {
  const expected = new Map<string, readonly number[]>();
  for (const { name, type, source } of module.weights.values()) {
    if (!name.startsWith(`${component}.`)) continue;
    collectTensors({ shape: type.shape.map((dim) => dim.evaluate({})), source }, expected);
  }
  return expected;
}

function collectTensors({ shape, source }: WeightPart, expected: Map<string, readonly number[]>): void {
  switch (source.kind) {
    case 'tensor':
      expected.set(source.tensor, shape);
      return;
    case 'concat_rows':
    case 'interleave_rows':
      for (const part of source.parts) collectTensors(part, expected);
      return;
    case 'slice_rows':
    case 'upsampled_filters':
    case 'permute':
    case 'quantize_rows':
    case 'row_scales':
    case 'encoded_rows':
      collectTensors(source.of, expected);
      return;
    default:
      unreachable(source, 'weight source');
  }
}
