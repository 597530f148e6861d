import type { DType } from '../../../ir/dtype.js';
import type { BinaryKind, CompareKind } from '../../../ir/graph/attributes.js';
import type { Operation, OperationOf, Value } from '../../../ir/graph/graph.js';
import { broadcastShapes } from '../../../ir/graph/ops/checks.js';
import { equalShapes, equalTypes } from '../../../ir/graph/types.js';
import type { RewriteContext } from '../rewriter.js';

type Elementwise = OperationOf<BinaryKind> | OperationOf<CompareKind> | OperationOf<'select'>;

/** x + 0, x · 1 and their like; constants go to the right; broadcasts that the operation does itself are dropped. */
export function simplifyBinary(
  operation: OperationOf<BinaryKind> & Operation,
  context: RewriteContext,
): readonly Value[] | undefined {
  const { kind } = operation;
  const [a, b] = operation.operands as readonly [Value, Value];
  if (isCommutative(kind) && context.definitionOf(a, 'constant') && !context.definitionOf(b, 'constant')) {
    return context.become(operation, kind, [b, a], {});
  }
  if (splatOf(b, context) === neutralOnTheRight(kind)) {
    const [result] = operation.results as readonly [Value];
    if (equalTypes(a.type, result.type)) return [a];
    if (equalShapes(a.type.shape, result.type.shape)) {
      return context.become(operation, 'cast', [a], { dtype: result.type.dtype });
    }
  }
  if (kind === 'mul') {
    if (isSigmoidOf(b, a, context)) return context.become(operation, 'silu', [a], {});
    if (isSigmoidOf(a, b, context)) return context.become(operation, 'silu', [b], {});
  }
  return dropBroadcasts(operation, context);
}

export function simplifyCompare(
  operation: OperationOf<CompareKind> & Operation,
  context: RewriteContext,
): readonly Value[] | undefined {
  const [a, b] = operation.operands as readonly [Value, Value];
  if (operation.kind === 'equal' && context.definitionOf(a, 'constant') && !context.definitionOf(b, 'constant')) {
    return context.become(operation, 'equal', [b, a], {});
  }
  return dropBroadcasts(operation, context);
}

export function simplifySelect(
  operation: OperationOf<'select'> & Operation,
  context: RewriteContext,
): readonly Value[] | undefined {
  return dropBroadcasts(operation, context);
}

/** -(-x). */
export function simplifyNeg(operation: OperationOf<'neg'>, context: RewriteContext): readonly Value[] | undefined {
  return context.definitionOf(operation.operands[0] as Value, 'neg')?.operands;
}

/** A cast to the type it has already; a cast of a cast that lost nothing. */
export function simplifyCast(
  operation: OperationOf<'cast'> & Operation,
  context: RewriteContext,
): readonly Value[] | undefined {
  const [x] = operation.operands as readonly [Value];
  const { dtype } = operation.attributes;
  if (x.type.dtype === dtype) return [x];
  const [source] = context.definitionOf(x, 'cast')?.operands ?? [];
  if (source === undefined || !widerTypes[source.type.dtype].includes(x.type.dtype)) return undefined;
  return source.type.dtype === dtype ? [source] : context.become(operation, 'cast', [source], { dtype });
}

/** The types that hold every value of a type. */
const widerTypes: Readonly<Record<DType, readonly DType[]>> = {
  f64: [],
  f32: ['f64'],
  f16: ['f32', 'f64'],
  bf16: ['f32', 'f64'],
  f8e4m3: ['f16', 'bf16', 'f32', 'f64'],
  i64: [],
  i32: ['i64', 'f64'],
  u32: ['i64', 'f64'],
  i8: ['i32', 'i64', 'f16', 'bf16', 'f32', 'f64'],
  u8: ['i32', 'u32', 'i64', 'f16', 'bf16', 'f32', 'f64'],
  bool: ['i8', 'u8', 'i32', 'u32', 'i64', 'f16', 'bf16', 'f32', 'f64'],
};

function isCommutative(kind: BinaryKind): boolean {
  return kind === 'add' || kind === 'mul' || kind === 'min' || kind === 'max';
}

function neutralOnTheRight(kind: BinaryKind): number | null {
  switch (kind) {
    case 'add':
    case 'sub':
      return 0;
    case 'mul':
    case 'div':
    case 'pow':
      return 1;
    case 'min':
    case 'max':
      return null;
  }
}

/** The number of a constant that is the same everywhere. */
function splatOf(value: Value, context: RewriteContext): number | undefined {
  const values = context.definitionOf(value, 'constant')?.attributes.values;
  return values?.length === 1 ? values[0] : undefined;
}

function isSigmoidOf(y: Value, x: Value, context: RewriteContext): boolean {
  return context.definitionOf(y, 'sigmoid')?.operands[0] === x;
}

/**
 * Operands made by `broadcast` are replaced by what was broadcast, numbers that are the same everywhere by a scalar, as
 * long as the result keeps its shape.
 */
function dropBroadcasts(operation: Elementwise & Operation, context: RewriteContext): readonly Value[] | undefined {
  const [result] = operation.results as readonly [Value];
  const shapes = operation.operands.map((value) => value.type.shape);
  const operands = [...operation.operands];
  for (const [at, operand] of operands.entries()) {
    const broadcast = context.definitionOf(operand, 'broadcast');
    const splat = operand.type.shape.length > 0 ? splatOf(operand, context) : undefined;
    if (broadcast === undefined && splat === undefined) continue;
    const narrow = broadcast?.operands[0]?.type.shape ?? [];
    const narrowed = shapes.map((shape, index) => (index === at ? narrow : shape));
    if (
      !equalShapes(
        narrowed.reduce((a, b) => broadcastShapes(operation.kind, a, b)),
        result.type.shape,
      )
    )
      continue;
    shapes[at] = narrow;
    operands[at] =
      broadcast?.operands[0] ??
      context.emitOne(
        'constant',
        [],
        { dtype: operand.type.dtype, shape: [], values: [splat as number] },
        operand.name,
      );
  }
  const dropped = operands.some((operand, at) => operand !== operation.operands[at]);
  return dropped ? context.become(operation, operation.kind, operands, {}) : undefined;
}
