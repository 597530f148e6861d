import type { Module } from '../../ir/graph/graph.js';
import { tensorsOf } from '../../ir/graph/weight-ingredients.js';
import type { Component } from './weights.js';

/**
 * The tensors that a module reads from the checkpoint of one of its networks, by the names they have in it (diffusers'),
 * with their shapes: for strict loading.
 */
export function collectExpectedWeights(module: Module, component: Component): ReadonlyMap<string, readonly number[]> {
  const expected = new Map<string, readonly number[]>();
  for (const { name, type, source } of module.weights.values()) {
    if (!name.startsWith(`${component}.`)) continue;
    const part = { shape: type.shape.map((dim) => dim.evaluate({})), source };
    for (const { tensor, shape } of tensorsOf(part)) expected.set(tensor, shape);
  }
  return expected;
}
