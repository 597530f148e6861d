import type { Dim } from '../../../ir/dim.js';
import type { Operation, OperationOf, Value } from '../../../ir/graph/graph.js';
import { equalShapes } from '../../../ir/graph/types.js';
import type { RewriteContext } from '../rewriter.js';

/** To the shape it has already; of another reshape. */
export function simplifyReshape(
  operation: OperationOf<'reshape'> & Operation,
  context: RewriteContext,
): readonly Value[] | undefined {
  const [x] = operation.operands as readonly [Value];
  if (equalShapes(x.type.shape, operation.attributes.shape)) return [x];
  const inner = context.definitionOf(x, 'reshape');
  return inner && context.become(operation, 'reshape', inner.operands, operation.attributes);
}

/** That moves nothing; that moves only axes of size 1 (a reshape, which costs nothing); of another transpose. */
export function simplifyTranspose(
  operation: OperationOf<'transpose'> & Operation,
  context: RewriteContext,
): readonly Value[] | undefined {
  const [x] = operation.operands as readonly [Value];
  const { permutation } = operation.attributes;
  if (permutation.every((axis, at) => axis === at)) return [x];
  const wide = permutation.filter((axis) => (x.type.shape[axis] as Dim).constant !== 1);
  if (wide.every((axis, at) => at === 0 || axis > (wide[at - 1] as number))) {
    const [result] = operation.results as readonly [Value];
    return context.become(operation, 'reshape', [x], { shape: result.type.shape });
  }
  const inner = context.definitionOf(x, 'transpose');
  if (inner === undefined) return undefined;
  const composed = permutation.map((axis) => inner.attributes.permutation[axis] as number);
  return context.become(operation, 'transpose', inner.operands, { permutation: composed });
}

/** To the shape it has already; of another broadcast. */
export function simplifyBroadcast(
  operation: OperationOf<'broadcast'> & Operation,
  context: RewriteContext,
): readonly Value[] | undefined {
  const [x] = operation.operands as readonly [Value];
  if (equalShapes(x.type.shape, operation.attributes.shape)) return [x];
  const inner = context.definitionOf(x, 'broadcast');
  return inner && context.become(operation, 'broadcast', inner.operands, operation.attributes);
}

/** By nothing. */
export function simplifyPad(operation: OperationOf<'pad'>): readonly Value[] | undefined {
  const { low, high } = operation.attributes;
  return [...low, ...high].every((size) => size === 0) ? operation.operands : undefined;
}

/** By 1. */
export function simplifyUpsample(operation: OperationOf<'upsample_nearest'>): readonly Value[] | undefined {
  return operation.attributes.factor === 1 ? operation.operands : undefined;
}

/** A transposed second operand becomes the other `transposeB`: how ONNX writes linear layers. */
export function simplifyMatmul(
  operation: OperationOf<'matmul'> & Operation,
  context: RewriteContext,
): readonly Value[] | undefined {
  const [a, b] = operation.operands as readonly [Value, Value];
  const inner = context.definitionOf(b, 'transpose');
  if (inner === undefined) return undefined;
  const { permutation } = inner.attributes;
  const rank = permutation.length;
  const swapped = permutation.every(
    (axis, at) => axis === (at === rank - 1 ? rank - 2 : at === rank - 2 ? rank - 1 : at),
  );
  if (!swapped) return undefined;
  const { transposeB } = operation.attributes;
  return context.become(operation, 'matmul', [a, inner.operands[0] as Value], {
    ...operation.attributes,
    transposeB: !transposeB,
  });
}
