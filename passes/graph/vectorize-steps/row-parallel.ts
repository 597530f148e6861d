import type { Dim } from '../../../ir/dim.js';
import { binaryKinds, compareKinds, unaryKinds, type OpAttributes, type OpKind } from '../../../ir/graph/attributes.js';
import type { Operation, OperationOf, Value } from '../../../ir/graph/graph.js';
import { equalShapes } from '../../../ir/graph/types.js';

/** An operation of a loop's body whose stacked operands, of leading size 1, may get one row for each iteration. */
interface Candidate {
  /** By operand: whether it is stacked; the others are the same in every iteration. */
  readonly stacked: readonly boolean[];
  readonly operands: readonly Value[];
  readonly results: readonly Value[];
}

interface CandidateOf<K extends OpKind> extends Candidate {
  readonly attributes: OpAttributes[K];
}

/**
 * The attributes of an operation when the operands marked in `stacked`, of leading size 1, get `count` rows instead;
 * undefined when that is not the same operation on every row.
 */
export function stackAttributes<K extends OpKind>(
  operation: OperationOf<K> & Operation,
  stacked: readonly boolean[],
  count: Dim,
): OpAttributes[K] | undefined {
  const { operands, results, attributes } = operation;
  const isParallel: (candidate: CandidateOf<K>) => boolean = isRowParallel[operation.kind];
  if (!isParallel({ attributes, stacked, operands, results })) return undefined;
  if (operation.kind !== 'reshape') return attributes;
  const { shape } = attributes as OpAttributes[OpKind] as OpAttributes['reshape'];
  const stackedAttributes: OpAttributes[OpKind] = { shape: [count, ...shape.slice(1)] };
  return stackedAttributes as OpAttributes[K];
}

/** True when row i of every result needs row i of each stacked operand, and of them nothing else. */
const isRowParallel: { readonly [K in OpKind]: (candidate: CandidateOf<K>) => boolean } = {
  // The same in every iteration, or with a body that is not looked into.
  weight: never,
  constant: never,
  iota: never,
  loop: never,
  fused: never,

  ...forKinds([...unaryKinds, ...binaryKinds, ...compareKinds], isElementwise),
  cast: isElementwise,
  select: isElementwise,

  matmul: isLinear,
  conv2d: only(0),
  // Queries, keys and values must all belong to the row.
  attention: isWholly,

  reduce_sum: ({ attributes }) => !attributes.axes.includes(0),
  reduce_mean: ({ attributes }) => !attributes.axes.includes(0),
  reduce_max: ({ attributes }) => !attributes.axes.includes(0),
  layer_norm: isBesideLastAxis,
  rms_norm: isBesideLastAxis,
  softmax: isBesideLastAxis,
  quantize_rows: isBesideLastAxis,
  dequantize: isWholly,
  group_norm: only(0),
  group_moments: only(0),
  combine_moments: only(0),
  group_apply: only(0, 1),

  rope: only(0),
  rope_table: isWholly,
  timestep_embedding: isWholly,

  reshape: ({ operands, attributes }) =>
    operands[0]?.type.shape[0]?.constant === 1 && attributes.shape[0]?.constant === 1,
  transpose: ({ attributes }) => attributes.permutation[0] === 0,
  slice: ({ attributes }) => attributes.axis !== 0,
  split: ({ attributes }) => attributes.axis !== 0,
  concat: (candidate) => candidate.attributes.axis !== 0 && isWholly(candidate),
  // Grows: its users take a row and broadcast that.
  broadcast: never,
  pad: ({ attributes }) => attributes.low[0] === 0 && attributes.high[0] === 0,
  upsample_nearest: isWholly,
  // By the row's ids in a table that is the same for all rows.
  gather: only(1),
};

function never(): boolean {
  return false;
}

/** All operands are stacked. */
function isWholly({ stacked }: Candidate): boolean {
  return stacked.every((isStacked) => isStacked);
}

/** These operands are stacked and no others. */
function only(...expected: readonly number[]) {
  return ({ stacked }: Candidate): boolean => stacked.every((isStacked, at) => isStacked === expected.includes(at));
}

/** The row axis is the leading one of the result, and no other operand makes a row larger. */
function isElementwise({ operands, results, stacked }: Candidate): boolean {
  const [result] = results as readonly [Value];
  const rank = result.type.shape.length;
  const fits = operands.every(({ type: { shape } }, at) =>
    stacked[at] === true ? shape.length === rank : shape.length < rank || shape[0]?.constant === 1,
  );
  return fits && operands.some(({ type }, at) => stacked[at] === true && equalShapes(type.shape, result.type.shape));
}

/** Works along the last axis: that must not be the row axis itself. */
function isBesideLastAxis(candidate: Candidate): boolean {
  return only(0)(candidate) && (candidate.operands[0] as Value).type.shape.length >= 2;
}

/** x[1, K] or x[1, ..., K] by a matrix that is the same for every row. */
function isLinear(candidate: Candidate): boolean {
  const [a, b] = candidate.operands.map((operand) => operand.type.shape) as [readonly Dim[], readonly Dim[]];
  if (!only(0)(candidate)) return false;
  return b.length === 2 || b.length < a.length || (b.length === a.length && b[0]?.constant === 1);
}

function forKinds<K extends OpKind>(kinds: readonly K[], rule: (candidate: Candidate) => boolean) {
  return Object.fromEntries(kinds.map((kind) => [kind, rule])) as Record<K, (candidate: Candidate) => boolean>;
}
