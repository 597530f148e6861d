import { Dim } from '../dim.js';
import type { Block, GraphFunction, Module, Operation, Value, WeightPart, WeightSource } from './graph.js';
import { equalTypes } from './types.js';

export interface EqualOptions {
  /** `exact` (default) compares the names of values; `ignore` is alpha-equivalence, for finding duplicates. */
  readonly names?: 'exact' | 'ignore';
}

/** Same weights in any order and same functions in any order; see `equalBlocks`. */
export function equalModules(a: Module, b: Module, options: EqualOptions = {}): boolean {
  if (a.weights.size !== b.weights.size || a.functions.size !== b.functions.size) return false;
  for (const [name, weight] of a.weights) {
    const other = b.weights.get(name);
    if (other === undefined || other.name !== weight.name) return false;
    if (!equalTypes(weight.type, other.type) || !equalWeightSources(weight.source, other.source)) return false;
  }
  for (const [name, graphFunction] of a.functions) {
    const other = b.functions.get(name);
    if (other === undefined || !equalFunctions(graphFunction, other, options)) return false;
  }
  return true;
}

/** Same name, result names and body. */
export function equalFunctions(a: GraphFunction, b: GraphFunction, options: EqualOptions = {}): boolean {
  if (a.name !== b.name || !equalLists(a.resultNames, b.resultNames, (x, y) => x === y)) return false;
  return equalBlocks(a.body, b.body, options);
}

/**
 * Same parameters, same operations in the same order, same results. Weights and scalar constants are compared where
 * they are used, so where they stand in the block, how often and under what name makes no difference: they are printed
 * in place and have no other identity. Values from outside both blocks must be the same object.
 */
export function equalBlocks(a: Block, b: Block, options: EqualOptions = {}): boolean {
  return new Comparison(options.names ?? 'exact').blocks(a, b);
}

class Comparison {
  /** Values of the left side to their partners on the right. */
  private readonly partners = new Map<Value, Value>();
  /** What inline sources of either side hold. */
  private readonly sources = new Map<Value, Operation>();

  constructor(private readonly names: 'exact' | 'ignore') {}

  blocks(a: Block, b: Block): boolean {
    if (!equalLists(a.parameters, b.parameters, (x, y) => this.define(x, y))) return false;
    const left = this.splitSources(a);
    const right = this.splitSources(b);
    if (!equalLists(left, right, (x, y) => this.operations(x, y))) return false;
    return equalLists(a.results, b.results, (x, y) => this.uses(x, y));
  }

  private operations(a: Operation, b: Operation): boolean {
    if (a.kind !== b.kind || !equalAttributes(a.attributes, b.attributes)) return false;
    if (!equalLists(a.operands, b.operands, (x, y) => this.uses(x, y))) return false;
    if ((a.body === undefined) !== (b.body === undefined)) return false;
    if (a.body !== undefined && b.body !== undefined && !this.blocks(a.body, b.body)) return false;
    return equalLists(a.results, b.results, (x, y) => this.define(x, y));
  }

  private define(a: Value, b: Value): boolean {
    if (this.names === 'exact' && a.name !== b.name) return false;
    this.partners.set(a, b);
    return equalTypes(a.type, b.type);
  }

  private uses(a: Value, b: Value): boolean {
    const source = this.sources.get(a);
    const other = this.sources.get(b);
    if (source === undefined || other === undefined) return source === other && (this.partners.get(a) ?? a) === b;
    return source.kind === other.kind && equalAttributes(source.attributes, other.attributes);
  }

  /** The operations that are printed as such; the inline ones are remembered. */
  private splitSources(block: Block): readonly Operation[] {
    return block.operations.filter((operation) => {
      if (!isInlineSource(operation)) return true;
      this.sources.set(operation.results[0] as Value, operation);
      return false;
    });
  }
}

/** Weights and constants of rank 0: printed where they are used. */
export function isInlineSource(operation: Operation): boolean {
  return operation.kind === 'weight' || (operation.kind === 'constant' && operation.attributes.shape.length === 0);
}

/** Deep equality of attributes; dimensions by value, numbers by bits (NaN equals NaN, 0 does not equal -0). */
export function equalAttributes(a: unknown, b: unknown): boolean {
  if (a instanceof Dim || b instanceof Dim) return a instanceof Dim && b instanceof Dim && a.equals(b);
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return Object.is(a, b);
  const keys = Object.keys(a);
  if (keys.length !== Object.keys(b).length) return false;
  const other = b as Readonly<Record<string, unknown>>;
  return keys.every(
    (key) => key in other && equalAttributes((a as Readonly<Record<string, unknown>>)[key], other[key]),
  );
}

export function equalWeightSources(a: WeightSource, b: WeightSource): boolean {
  switch (a.kind) {
    case 'tensor':
      return b.kind === 'tensor' && a.tensor === b.tensor;
    case 'concat_rows':
      return b.kind === 'concat_rows' && equalLists(a.parts, b.parts, equalParts);
    case 'interleave_rows':
      return b.kind === 'interleave_rows' && a.group === b.group && equalLists(a.parts, b.parts, equalParts);
    case 'slice_rows':
      return b.kind === 'slice_rows' && a.start === b.start && equalParts(a.of, b.of);
    case 'permute':
      return b.kind === 'permute' && equalAttributes(a.permutation, b.permutation) && equalParts(a.of, b.of);
    case 'upsampled_filters':
      return b.kind === a.kind && equalParts(a.of, b.of);
    case 'quantize_rows':
    case 'row_scales':
      return b.kind === a.kind && a.dtype === b.dtype && equalParts(a.of, b.of);
    case 'encoded_rows':
      return b.kind === a.kind && a.encoding === b.encoding && a.field === b.field && equalParts(a.of, b.of);
  }
}

function equalParts(a: WeightPart, b: WeightPart): boolean {
  return equalAttributes(a.shape, b.shape) && equalWeightSources(a.source, b.source);
}

function equalLists<T>(a: readonly T[], b: readonly T[], equal: (x: T, y: T) => boolean): boolean {
  return a.length === b.length && a.every((item, index) => equal(item, b[index] as T));
}
