import { Dim } from '../../../ir/dim.js';
import type { Operation, OperationOf, Value } from '../../../ir/graph/graph.js';
import type { RewriteContext } from '../rewriter.js';
import type { Uses } from '../uses.js';

/** `size` elements of `base` from `start` along an axis. */
interface Range {
  readonly base: Value;
  readonly start: Dim;
  readonly size: Dim;
}

/** Of everything; of another slice or a piece along the same axis; of a concatenation, at or within its pieces. */
export function simplifySlice(
  operation: OperationOf<'slice'> & Operation,
  context: RewriteContext,
): readonly Value[] | undefined {
  const [x] = operation.operands as readonly [Value];
  const { axis, start, size } = operation.attributes;
  if (start.constant === 0 && size.equals(sizeOf(x, axis))) return [x];
  const range = findRange(x, axis, context);
  if (range !== undefined) {
    return context.become(operation, 'slice', [range.base], { axis, start: range.start.add(start), size });
  }
  const inner = context.definitionOf(x, 'concat');
  if (inner === undefined || inner.attributes.axis !== axis) return undefined;
  const offsets = offsetsOf(inner.operands.map((piece) => sizeOf(piece, axis)));
  const end = start.add(size);
  const first = offsets.findIndex((offset) => offset.equals(start));
  const last = offsets.findIndex((offset) => offset.equals(end));
  if (first >= 0 && first < last) return joinPieces(operation, inner.operands.slice(first, last), axis, context);
  for (const [at, piece] of inner.operands.entries()) {
    const within = start.sub(offsets[at] as Dim);
    if (isNeverNegative(within) && isNeverNegative((offsets[at + 1] as Dim).sub(end))) {
      return context.become(operation, 'slice', [piece], { axis, start: within, size });
    }
  }
  return undefined;
}

/**
 * In one piece; with one piece that is used (a slice); whose piece is only split further along the same axis (one
 * split); of a concatenation, when every cut is one of its own.
 */
export function simplifySplit(
  operation: OperationOf<'split'> & Operation,
  context: RewriteContext,
  uses: Uses,
): readonly Value[] | undefined {
  const [x] = operation.operands as readonly [Value];
  const { axis, sizes } = operation.attributes;
  if (sizes.length === 1) return [x];
  const offsets = offsetsOf(sizes);
  const inner = context.definitionOf(x, 'concat');
  if (inner?.attributes.axis === axis) {
    const cuts = offsetsOf(inner.operands.map((piece) => sizeOf(piece, axis)));
    const at = offsets.map((offset) => cuts.findIndex((cut) => cut.equals(offset)));
    // Not increasing where a piece may be empty; then a cut cannot be told from its neighbour.
    if (at.every((cut, index) => cut >= 0 && (index === 0 || cut > (at[index - 1] as number)))) {
      return operation.results.map((result, index) => {
        const pieces = inner.operands.slice(at[index], at[index + 1]);
        if (pieces.length === 1) return pieces[0] as Value;
        context.define([result], 'concat', pieces, { axis });
        return result;
      });
    }
  }
  const used = operation.results.filter((result) => uses.count(result) > 0);
  if (used.length === 1) {
    const at = operation.results.indexOf(used[0] as Value);
    context.define(used, 'slice', [x], { axis, start: offsets[at] as Dim, size: sizes[at] as Dim });
    return operation.results;
  }
  return flattenSplits(operation, context, uses);
}

/** Of one operand; of concatenations along the same axis; of neighbouring pieces of one tensor. */
export function simplifyConcat(
  operation: OperationOf<'concat'> & Operation,
  context: RewriteContext,
): readonly Value[] | undefined {
  const { axis } = operation.attributes;
  const pieces = operation.operands.flatMap((piece) => {
    const inner = context.definitionOf(piece, 'concat');
    if (inner?.attributes.axis === axis) return inner.operands;
    return sizeOf(piece, axis).constant === 0 && operation.operands.length > 1 ? [] : [piece];
  });
  const joined = joinNeighbours(pieces, axis, context);
  if (joined.length === operation.operands.length && joined.length > 1) return undefined;
  return joinPieces(operation, joined, axis, context);
}

function joinPieces(
  operation: Operation,
  pieces: readonly Value[],
  axis: number,
  context: RewriteContext,
): readonly Value[] | undefined {
  if (pieces.length === 0) return undefined;
  return pieces.length === 1 ? pieces : context.become(operation, 'concat', pieces, { axis });
}

/** Ranges of one tensor that follow each other become one slice, or the tensor itself. */
function joinNeighbours(pieces: readonly Value[], axis: number, context: RewriteContext): readonly Value[] {
  const joined: Value[] = [];
  let open: { readonly pieces: Value[]; range: Range } | undefined;
  const close = (): void => {
    if (open === undefined) return;
    const { base, start, size } = open.range;
    if (open.pieces.length === 1) joined.push(open.pieces[0] as Value);
    else if (start.constant === 0 && size.equals(sizeOf(base, axis))) joined.push(base);
    else joined.push(context.emitOne('slice', [base], { axis, start, size }, 'slice'));
    open = undefined;
  };
  for (const piece of pieces) {
    const range = findRange(piece, axis, context);
    if (open !== undefined && range?.base === open.range.base) {
      const { base, start, size } = open.range;
      if (range.start.equals(start.add(size))) {
        open.pieces.push(piece);
        open.range = { base, start, size: size.add(range.size) };
        continue;
      }
    }
    close();
    if (range === undefined) joined.push(piece);
    else open = { pieces: [piece], range };
  }
  close();
  return joined;
}

/** One split instead of a split whose pieces are split again and used for nothing else. */
function flattenSplits(
  operation: OperationOf<'split'> & Operation,
  context: RewriteContext,
  uses: Uses,
): readonly Value[] | undefined {
  const { axis, sizes } = operation.attributes;
  const inner = operation.results.map((result) => {
    const user = uses.onlyUser(result);
    return user?.kind === 'split' && user.attributes.axis === axis && user.attributes.sizes.length > 1
      ? user
      : undefined;
  });
  if (inner.every((user) => user === undefined)) return undefined;
  context.append({
    kind: 'split',
    operands: operation.operands,
    attributes: { axis, sizes: inner.flatMap((user, at) => user?.attributes.sizes ?? [sizes[at] as Dim]) },
    results: inner.flatMap((user, at) => user?.results ?? [operation.results[at] as Value]),
  });
  for (const user of inner) if (user !== undefined) uses.absorb(user);
  return operation.results;
}

/** What a value is a part of along an axis, when it is a slice or a piece of a split. */
function findRange(value: Value, axis: number, context: RewriteContext): Range | undefined {
  const operation = context.definition(value);
  if (operation?.kind === 'slice' && operation.attributes.axis === axis) {
    return { base: operation.operands[0] as Value, start: operation.attributes.start, size: operation.attributes.size };
  }
  if (operation?.kind === 'split' && operation.attributes.axis === axis) {
    const { sizes } = operation.attributes;
    const at = operation.results.indexOf(value);
    return { base: operation.operands[0] as Value, start: offsetsOf(sizes)[at] as Dim, size: sizes[at] as Dim };
  }
  return undefined;
}

/** 0 and the sums of the first 1, 2, ... sizes. */
function offsetsOf(sizes: readonly Dim[]): readonly Dim[] {
  const offsets = [Dim.of(0)];
  for (const size of sizes) offsets.push((offsets.at(-1) as Dim).add(size));
  return offsets;
}

function sizeOf(value: Value, axis: number): Dim {
  return value.type.shape[axis] as Dim;
}

/** True when no sizes make it negative: symbols are at least 0. */
function isNeverNegative(dim: Dim): boolean {
  return dim.monomials().every(({ coefficient }) => coefficient >= 0);
}
