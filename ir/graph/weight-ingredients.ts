import type { WeightPart, WeightSource } from './graph.js';

/** What a weight is packed or computed from, one level down; nothing for a tensor of a file. */
export function ingredientsOf(source: WeightSource): readonly WeightPart[] {
  if (source.kind === 'tensor') return [];
  return 'parts' in source ? source.parts : [source.of];
}

/** A tensor of a file and the shape that a weight reads it in. */
export interface StoredTensor {
  readonly tensor: string;
  readonly shape: readonly number[];
}

/** The tensors that a weight is made of in the end, in order; one that is read twice comes twice. */
export function tensorsOf({ shape, source }: WeightPart): readonly StoredTensor[] {
  if (source.kind === 'tensor') return [{ tensor: source.tensor, shape }];
  return ingredientsOf(source).flatMap(tensorsOf);
}
