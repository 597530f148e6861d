import { Dim } from '../../ir/dim.js';
import { equalAttributes } from '../../ir/graph/equal.js';
import type { Block, Module, Operation, OperationOf, Value } from '../../ir/graph/graph.js';
import { equalTypes } from '../../ir/graph/types.js';
import type { GraphPass } from '../pass.js';
import { rewriteModule, type RewriteContext, type RewriteRule } from './rewriter.js';
import { findChains, type RowChain } from './row-chains.js';

/**
 * Norms of the rows of two values, each scaled and shifted by vectors of its own, become one norm of the rows of both one after the
 * other, and so one launch: those of a double-stream block's text and image. The concatenation is no work, because producers write to
 * their places in it, and neither are the pieces of the result, which are views. Which vectors a row is scaled by is chosen in the
 * kernel (`fuse` takes in concatenations of repeated rows).
 *
 * Where CUDA's units multiply matrices nothing is joined: a part of a longer sequence is no rectangle that a tensor map reads.
 *
 * Needs: the graph as it is fused. Leaves the two chains without a reader: eliminate-dead-code removes them. Cost: linear in operations,
 * for each pair that is found.
 */
export const joinRows: GraphPass = {
  name: 'join-rows',
  description: 'make one norm of the norms of two values',
  run(module, target) {
    if (target.matrix === 'mma' || target.matrix === 'wgmma') return module;
    const pairs = new Map<Value, Pair>();
    const functions = new Map(
      [...module.functions].map(([name, fn]) => [name, { ...fn, body: pairBlock(fn.body, pairs) }] as const),
    );
    if (pairs.size === 0) return module;
    return rewriteModule({ ...module, functions } satisfies Module, () => joinPairs(pairs));
  },
};

/** Two chains of the same operations on rows; all that the second one reads stands before the first one's end. */
interface Pair {
  readonly first: RowChain;
  readonly second: RowChain;
  /** The axis that the rows of one follow those of the other along. */
  readonly axis: number;
}

/** The block in an order in which the pairs that it has can be joined; adds those, by the ends of both chains. */
function pairBlock(block: Block, pairs: Map<Value, Pair>): Block {
  const inner = block.operations.map((operation): Operation => {
    if (operation.kind !== 'loop' || operation.body === undefined) return operation;
    return { ...operation, body: pairBlock(operation.body, pairs) };
  });
  let operations: readonly Operation[] = inner;
  const chains = findChains({ ...block, operations });
  const taken = new Set<RowChain>();
  chains.forEach((first, place) => {
    if (taken.has(first)) return;
    for (const second of chains.slice(place + 1)) {
      const pair = taken.has(second) ? undefined : pairOf(first, second);
      const ordered = pair === undefined ? undefined : moveAfter(operations, pair);
      if (pair === undefined || ordered === undefined) continue;
      operations = ordered;
      for (const chain of [first, second]) {
        taken.add(chain);
        pairs.set(endOf(pair, chain), pair);
      }
      return;
    }
  });
  return { ...block, operations };
}

/** Two chains as far as they do the same, where their rows can stand one after the other. */
function pairOf(first: RowChain, second: RowChain): Pair | undefined {
  const [a, b] = [first.source.type, second.source.type];
  if (first.source === second.source || a.dtype !== b.dtype || a.shape.length !== b.shape.length) return undefined;
  const last = a.shape.length - 1;
  const differing = [...a.shape.keys()].filter((axis) => !(a.shape[axis] as Dim).equals(b.shape[axis] as Dim));
  const axis = differing[0] ?? last - 1;
  if (last < 1 || differing.length > 1 || axis === last) return undefined;
  let length = 0;
  while (length < first.links.length && length < second.links.length && agree(first, second, length, axis)) length++;
  if (length === 0) return undefined;
  const cut = (chain: RowChain): RowChain => ({ ...chain, links: chain.links.slice(0, length) });
  return { first: cut(first), second: cut(second), axis };
}

function agree(first: RowChain, second: RowChain, place: number, axis: number): boolean {
  const [one, other] = [first.links[place], second.links[place]];
  if (one === undefined || other === undefined) return false;
  const [a, b] = [one.operation, other.operation];
  if (a.kind !== b.kind || one.at !== other.at || !equalAttributes(a.attributes, b.attributes)) return false;
  const rank = first.source.type.shape.length;
  return a.operands.every((operand, at) => {
    if (at === one.at) return true;
    const partner = b.operands[at] as Value;
    if (place === 0) return operand === partner;
    return equalTypes(operand.type, partner.type) && isStill(operand, axis - rank);
  });
}

/** Whether a value is the same for all coordinates of an axis, counted from the end. */
function isStill({ type: { shape } }: Value, axis: number): boolean {
  return (shape[axis + shape.length]?.constant ?? 1) === 1;
}

function endOf({ first, second }: Pair, chain: RowChain): Value {
  const { links } = first.source === chain.source ? first : second;
  return links.at(-1)?.operation.results[0] as Value;
}

/**
 * The operations with the end of the first chain, and what depends on it, after all that the second chain reads; undefined where that
 * depends on it, too. What is made together is read together, so kernels of several results stay whole.
 */
function moveAfter(operations: readonly Operation[], pair: Pair): readonly Operation[] | undefined {
  const [start, stop] = [pair.first, pair.second].map((chain) => {
    const end = endOf(pair, chain);
    return operations.findIndex(({ results }) => results[0] === end);
  }) as [number, number];
  const first = operations[start] as Operation;
  const dependent = new Set<Value>(first.results);
  const [moved, kept]: readonly [Operation[], Operation[]] = [[], []];
  for (const operation of operations.slice(start + 1, stop + 1)) {
    const depends = readsOf(operation).some((value) => dependent.has(value));
    if (depends) operation.results.forEach((result) => dependent.add(result));
    (depends ? moved : kept).push(operation);
  }
  const second = kept.pop();
  if (second !== operations[stop]) return undefined;
  return [...operations.slice(0, start), ...kept, first, ...moved, second as Operation, ...operations.slice(stop + 1)];
}

/** What an operation reads, in its body too. */
function readsOf({ operands, body }: Operation): readonly Value[] {
  if (body === undefined) return operands;
  return [...operands, ...body.results, ...body.operations.flatMap(readsOf)];
}

function joinPairs(pairs: ReadonlyMap<Value, Pair>): RewriteRule {
  const ends = new Map<Value, Value>();
  return (operation, context) => {
    const [result] = operation.results as readonly [Value];
    const pair = pairs.get(result);
    if (pair === undefined) return undefined;
    if (!ends.has(result)) {
      const [first, second] = emitJoined(pair, context) as readonly [Value, Value];
      ends.set(endOf(pair, pair.first), first);
      ends.set(endOf(pair, pair.second), second);
    }
    return [ends.get(result) as Value];
  };
}

function emitJoined({ first, second, axis }: Pair, context: RewriteContext): readonly Value[] {
  const sizes = [first, second].map(({ source }) => source.type.shape[axis] as Dim);
  const rank = first.source.type.shape.length;
  let value = context.emitOne('concat', [first.source, second.source], { axis }, `${first.source.name}.joined`);
  first.links.forEach(({ operation, at }, place) => {
    const partner = second.links[place]?.operation as Operation;
    const operands = operation.operands.map((operand, which) => {
      if (which === at) return value;
      const other = partner.operands[which] as Value;
      return operand === other ? operand : repeatRows([operand, other], sizes, axis - rank, context);
    });
    // Attributes are those of the kind, whichever it is.
    const { kind, attributes } = operation as Operation & OperationOf<'add'>;
    value = context.emitOne(kind, operands, attributes, `${operation.results[0]?.name ?? ''}.joined`);
  });
  return context.emit('split', [value], { axis, sizes });
}

/** A vector for each row of two values: the first one's as often as that has rows, then the second one's. */
function repeatRows(
  vectors: readonly Value[],
  counts: readonly Dim[],
  axisFromEnd: number,
  context: RewriteContext,
): Value {
  const rank = Math.max(-axisFromEnd, ...vectors.map(({ type }) => type.shape.length));
  const repeated = vectors.map((vector, which) => {
    const { shape } = vector.type;
    const padded = [...new Array<Dim>(rank - shape.length).fill(Dim.of(1)), ...shape];
    padded[rank + axisFromEnd] = counts[which] as Dim;
    return context.emitOne('broadcast', [vector], { shape: padded }, `${vector.name}.rows`);
  });
  return context.emitOne('concat', repeated, { axis: rank + axisFromEnd }, `${repeated[0]?.name ?? ''}.joined`);
}
