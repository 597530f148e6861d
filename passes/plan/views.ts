import { Dim } from '../../ir/dim.js';
import type { Operation } from '../../ir/graph/graph.js';
import { denseStrides, sameShape } from '../kernel/from-group/group.js';

/**
 * Where a value lies: a storage, an offset in elements and strides over `shape`, which is the value's own shape or a reshape
 * of it (then the value's flat index counts).
 */
export interface View {
  readonly storage: number;
  readonly offset: Dim;
  readonly shape: readonly Dim[];
  readonly strides: readonly Dim[];
}

export function denseView(storage: number, shape: readonly Dim[]): View {
  return { storage, offset: Dim.of(0), shape, strides: denseStrides(shape) };
}

/** Elements from the first to the last one touched. */
export function spanOf(view: View): Dim {
  return view.shape.reduce((span, size, axis) => span.add(size.sub(1).mul(view.strides[axis] as Dim)), Dim.of(1));
}

/** Row-major without gaps: then also dense in any reshape. */
export function isDense(view: View): boolean {
  return denseStrides(view.shape).every((stride, axis) => {
    return (view.shape[axis] as Dim).constant === 1 || stride.equals(view.strides[axis] as Dim);
  });
}

/** Whether views of equal shapes are the same elements. */
export function sameView(a: View, b: View): boolean {
  return (
    a.storage === b.storage &&
    a.offset.equals(b.offset) &&
    a.strides.length === b.strides.length &&
    a.strides.every((stride, axis) => stride.equals(b.strides[axis] as Dim))
  );
}

/** The view of a view operation's result, given its operand's; undefined where strides cannot say it. */
export function viewThrough(
  operation: Operation,
  place: number,
  operand: View,
  operandShape: readonly Dim[],
): View | undefined {
  const own = sameShape(operand.shape, operandShape);
  const result = operation.results[place]?.type.shape as readonly Dim[];
  switch (operation.kind) {
    case 'reshape': {
      const strides = reshapeStrides(operand.shape, operand.strides, result);
      return strides === undefined ? operand : { ...operand, shape: result, strides };
    }
    case 'transpose': {
      if (!own) return undefined;
      const { permutation } = operation.attributes;
      return {
        ...operand,
        shape: permutation.map((axis) => operand.shape[axis] as Dim),
        strides: permutation.map((axis) => operand.strides[axis] as Dim),
      };
    }
    case 'broadcast': {
      if (!own) return undefined;
      const lead = result.length - operandShape.length;
      const strides = result.map((size, axis) => {
        const source = operandShape[axis - lead];
        const grows = source === undefined || (source.constant === 1 && size.constant !== 1);
        return grows ? Dim.of(0) : (operand.strides[axis - lead] as Dim);
      });
      return { ...operand, shape: result, strides };
    }
    case 'slice':
      return own ? part(operand, operation.attributes.axis, operation.attributes.start, result) : undefined;
    case 'split': {
      const { axis, sizes } = operation.attributes;
      const start = sizes.slice(0, place).reduce((sum, size) => sum.add(size), Dim.of(0));
      return own ? part(operand, axis, start, result) : undefined;
    }
    default:
      return undefined;
  }
}

/** The operand's view that makes a view operation's result lie at `result`: how a producer writes to where it is wanted. */
export function viewBefore(operation: Operation, result: View, operandShape: readonly Dim[]): View | undefined {
  const own = sameShape(result.shape, operation.results[0]?.type.shape as readonly Dim[]);
  switch (operation.kind) {
    case 'reshape': {
      const strides = reshapeStrides(result.shape, result.strides, operandShape);
      return strides === undefined ? result : { ...result, shape: operandShape, strides };
    }
    case 'transpose': {
      if (!own) return undefined;
      const strides = new Array<Dim>(operandShape.length);
      operation.attributes.permutation.forEach((from, to) => (strides[from] = result.strides[to] as Dim));
      return { ...result, shape: operandShape, strides };
    }
    default:
      return undefined;
  }
}

/** A piece of an axis. */
export function part(view: View, axis: number, start: Dim, shape: readonly Dim[]): View {
  return { ...view, offset: view.offset.add(start.mul(view.strides[axis] as Dim)), shape };
}

/**
 * Strides of `to` over the same memory: runs of dimensions with equal products are matched from the innermost; inside a run the
 * source must be contiguous when it is more than one dimension.
 */
function reshapeStrides(from: readonly Dim[], strides: readonly Dim[], to: readonly Dim[]): Dim[] | undefined {
  const result: Dim[] = new Array<Dim>(to.length).fill(Dim.of(0));
  const source = from
    .map((size, axis) => ({ size, stride: strides[axis] as Dim }))
    .filter(({ size }) => size.constant !== 1);
  const target = to.map((size, axis) => ({ size, axis })).filter(({ size }) => size.constant !== 1);
  let s = source.length - 1;
  let t = target.length - 1;
  while (s >= 0 && t >= 0) {
    const run = source[s] as { size: Dim; stride: Dim };
    let have = run.size;
    const inner = run.stride;
    let outer = run;
    const members = [target[t] as { size: Dim; axis: number }];
    let want = members[0]?.size as Dim;
    s--;
    t--;
    while (!have.equals(want)) {
      if (want.divideExactly(have) !== undefined && s >= 0) {
        const next = source[s--] as { size: Dim; stride: Dim };
        if (!next.stride.equals(outer.size.mul(outer.stride))) return undefined;
        outer = next;
        have = have.mul(next.size);
      } else if (have.divideExactly(want) !== undefined && t >= 0) {
        const next = target[t--] as { size: Dim; axis: number };
        members.push(next);
        want = want.mul(next.size);
      } else {
        return undefined;
      }
    }
    let stride = inner;
    for (const member of members) {
      result[member.axis] = stride;
      stride = stride.mul(member.size);
    }
  }
  return s < 0 && t < 0 ? result : undefined;
}
