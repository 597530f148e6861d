import { fieldNamesOf } from '../../../ir/decode-element.js';
import { parseEncoding } from '../../../ir/encoding.js';
import { numbersOfWord } from '../../../ir/kernel/matrix-types.js';
import type { MatrixType } from '../../../ir/kernel/thread.js';
import type { TileDecode, TileExpression, TileKernel, TileLoad, TileStatement } from '../../../ir/kernel/tile.js';
import { expressionsOfTile, flattenTileStatements, walkTileExpressions } from '../../../ir/kernel/tile-walk.js';
import { wideFactor } from './elements.js';
import { isStill, isWholeVector, laneMotion } from './lanes.js';
import type { Coordinates } from './positions.js';

export type Contract = Extract<TileStatement, { kind: 'contract' }>;
/** What lies in workgroup memory: copied from memory, or decoded on the way. */
export type Staged = TileLoad | TileDecode;

/** Numbers in the 16 bytes that copies move and rows of fragments have. */
export function rowLengthOf(operands: MatrixType): number {
  return 4 * numbersOfWord[operands];
}

/** What a product of matrices is made of. */
export interface MatrixProduct {
  readonly operands: MatrixType;
  readonly left:
    { readonly kind: 'memory'; readonly load: TileLoad } | { readonly kind: 'tile'; readonly name: string };
  /** `byDepth`: the contracted axis is contiguous in memory, as weights are; otherwise the output's. */
  readonly right: { readonly source: Staged; readonly byDepth: boolean };
  /** The output's last two axes. */
  readonly rows: string;
  readonly columns: string;
}

/**
 * Reads a contraction as a product of matrices: each operand a load of neighbours in 16 bytes at a time from memory, the left one also
 * a tile in registers; numbers of 8 bits both from memory and along the contracted axis. The right one may be encoded rows, which are
 * decoded to what the left one is in memory. Undefined where it is not one.
 */
export function asMatrixProduct(
  { name, over, a, b }: Contract,
  kernel: TileKernel,
  at: Coordinates,
): MatrixProduct | undefined {
  const axes = findTileAxes(kernel, name);
  const [rows, columns] = axes.slice(-2);
  if (rows === undefined || columns === undefined) return undefined;
  const right = wideFactor(b);
  if (right.kind === 'decode') return asDecodedProduct(a, b, right, { over, rows, columns }, kernel, at);
  if (right.kind !== 'load') return undefined;
  const operands = matrixTypeOf(right, kernel);
  if (operands === undefined) return undefined;
  const length = rowLengthOf(operands);
  const byDepth = readsRows(right, over, length, kernel, at);
  const isEightBit = operands === 'f8e4m3';
  if (!byDepth && (isEightBit || !readsRows(right, columns, length, kernel, at))) return undefined;
  const left = wideFactor(a);
  if (left.kind === 'tile') {
    if (isEightBit) return undefined;
    const own = findTileAxes(kernel, left.name);
    if (own.at(-1) !== over || own.at(-2) !== rows) return undefined;
    return { operands, left, right: { source: right, byDepth }, rows, columns };
  }
  if (left.kind !== 'load' || matrixTypeOf(left, kernel) !== operands) return undefined;
  if (!readsRows(left, over, length, kernel, at)) return undefined;
  return { operands, left: { kind: 'memory', load: left }, right: { source: right, byDepth }, rows, columns };
}

/** Of encoded rows, whose numbers are rounded to the left factor's type, eight neighbours in a group. */
function asDecodedProduct(
  a: TileExpression,
  b: TileExpression,
  right: TileDecode,
  { over, rows, columns }: { readonly over: string; readonly rows: string; readonly columns: string },
  kernel: TileKernel,
  at: Coordinates,
): MatrixProduct | undefined {
  const left = wideFactor(a);
  if (left.kind !== 'load' || b.kind !== 'convert') return undefined;
  const operands = matrixTypeOf(left, kernel);
  if (operands === undefined || operands === 'f8e4m3' || b.to !== operands) return undefined;
  const length = rowLengthOf(operands);
  if (!readsRows(left, over, length, kernel, at) || !decodesEights(right, over, kernel, at)) return undefined;
  return { operands, left: { kind: 'memory', load: left }, right: { source: right, byDepth: true }, rows, columns };
}

/** Eight numbers of encoded rows from a multiple of 8 on are in one group, and their codes in a word or two. */
export function decodesEights(right: TileDecode, axis: string, kernel: TileKernel, at: Coordinates): boolean {
  const { column, encoding, fields } = right;
  const extent = kernel.axes.find(({ name }) => name === axis)?.extent;
  if (extent?.isMultipleOf(8) !== true || !isWholeVector(laneMotion(column, axis, 8, at))) return false;
  const names = fieldNamesOf(parseEncoding(encoding));
  return fields.every((field, place) => {
    if (field.kind !== 'load') return false;
    // Codes of 8 bits are four to a word.
    const motion = laneMotion(field.index, axis, names[place] === 'codes' ? 4 : 8, at);
    return field.conditions.length === 0 && motion !== undefined && isStill(motion.deltas);
  });
}

/** Whether a tile is read by contractions alone, as their left factor. */
export function isOnlyLeftFactor(name: string, body: readonly TileStatement[]): boolean {
  let reads = 0;
  for (const statement of flattenTileStatements(body)) {
    if (statement.kind === 'contract' && isTile(wideFactor(statement.a), name)) reads++;
    else if (statement.kind === 'contract' && statement.name === name) return false;
    const others = statement.kind === 'contract' ? [statement.b] : expressionsOfTile(statement);
    let isRead = false;
    walkTileExpressions(others, (part) => (isRead ||= isTile(part, name)));
    if (isRead) return false;
  }
  return reads > 0;
}

/** A contraction behind its accumulators' declaration; not of those that a loop around it goes on with. */
export function findFresh(body: readonly TileStatement[]): Set<TileStatement> {
  const fresh = new Set<TileStatement>();
  body.forEach((statement, at) => {
    if (statement.kind === 'for') for (const inner of findFresh(statement.body)) fresh.add(inner);
    const before = body[at - 1];
    if (statement.kind !== 'contract' || before?.kind !== 'tile' || before.name !== statement.name) return;
    if (before.value.kind === 'number' && before.value.value === 0) fresh.add(statement);
  });
  return fresh;
}

function isTile(expression: TileExpression, name: string): boolean {
  return expression.kind === 'tile' && expression.name === name;
}

export function findTileAxes(kernel: TileKernel, name: string): readonly string[] {
  for (const statement of flattenTileStatements(kernel.body)) {
    if (statement.kind === 'tile' && statement.name === name) return statement.axes;
  }
  throw new Error(`internal: tile ${name} is not declared`);
}

function matrixTypeOf({ buffer }: TileLoad, kernel: TileKernel): MatrixType | undefined {
  const storage = kernel.buffers.find(({ name }) => name === buffer)?.storage;
  return storage === 'bf16' || storage === 'f16' || storage === 'f8e4m3' ? storage : undefined;
}

/** So many coordinates of the axis from a multiple of them on are 16 aligned bytes, guarded together. */
export function readsRows(
  { buffer, index, conditions }: TileLoad,
  axis: string,
  rowLength: number,
  kernel: TileKernel,
  at: Coordinates,
): boolean {
  const alignment = kernel.buffers.find(({ name }) => name === buffer)?.alignment ?? 1;
  const extent = kernel.axes.find(({ name }) => name === axis)?.extent;
  if (alignment % rowLength !== 0 || extent?.isMultipleOf(rowLength) !== true) return false;
  if (!isWholeVector(laneMotion(index, axis, rowLength, at))) return false;
  return conditions.every(({ left, right }) =>
    [left, right].every((side) => {
      const motion = laneMotion(side, axis, rowLength, at);
      return motion !== undefined && isStill(motion.deltas);
    }),
  );
}
