import type { Schedule, TileExpression, TileKernel } from '../../../ir/kernel/tile.js';
import { expressionsOfTile, flattenTileStatements, walkTileExpressions } from '../../../ir/kernel/tile-walk.js';
import { wideFactor } from './elements.js';
import { type Contract, decodesEights, findTileAxes, readsRows, type Staged } from './matrix-operands.js';
import type { Coordinates } from './positions.js';

/** Numbers in the 16 bytes that are staged at once. */
export const factorPiece = 8;

/** What a piece of an operand is before it is 16 bytes of f16: those, as many of bf16, twice as many of f32, or codes. */
export type FactorSource = 'f16' | 'bf16' | 'f32' | 'encoded';

/** A contraction as a product of matrices of subgroups: f16 numbers, sums in f32. */
export interface FactorProduct {
  readonly left:
    { readonly kind: 'memory'; readonly operand: FactorOperand } | { readonly kind: 'tile'; readonly name: string };
  /** `byDepth`: the contracted axis is contiguous, as in weights; otherwise the output's. */
  readonly right: { readonly operand: FactorOperand; readonly byDepth: boolean };
  /** The output's last two axes. */
  readonly rows: string;
  readonly columns: string;
}

export interface FactorOperand {
  readonly source: Staged;
  readonly storage: FactorSource;
}

/**
 * Reads a contraction as a product of factors that are f16 or rounded to it, each 16 aligned bytes of neighbours from memory at a time, the
 * left one also a tile in registers, the right one also encoded rows. Undefined where it is not one.
 */
export function asFactorProduct(
  { name, over, a, b }: Contract,
  kernel: TileKernel,
  at: Coordinates,
): FactorProduct | undefined {
  const [rows, columns] = findTileAxes(kernel, name).slice(-2);
  if (rows === undefined || columns === undefined) return undefined;
  const right = operandOf(b, kernel);
  if (right === undefined) return undefined;
  const readsAlong = (operand: FactorOperand, axis: string): boolean =>
    operand.source.kind === 'load'
      ? readsRows(operand.source, axis, factorPiece, kernel, at)
      : decodesEights(operand.source, axis, kernel, at);
  const byDepth = readsAlong(right, over);
  if (!byDepth && (right.storage === 'encoded' || !readsAlong(right, columns))) return undefined;
  const product = { right: { operand: right, byDepth }, rows, columns };
  const wide = wideFactor(a);
  if (wide.kind === 'tile') {
    const own = findTileAxes(kernel, wide.name);
    if (own.at(-1) !== over || own.at(-2) !== rows || !(isRounded(a) || isRoundedTile(wide.name, kernel)))
      return undefined;
    return { ...product, left: { kind: 'tile', name: wide.name } };
  }
  const left = operandOf(a, kernel);
  if (left === undefined || left.storage === 'encoded' || !readsAlong(left, over)) return undefined;
  return { ...product, left: { kind: 'memory', operand: left } };
}

function isRounded(factor: TileExpression): boolean {
  return factor.kind === 'convert' && factor.to === 'f16';
}

/** Whether what a tile is declared as is rounded. */
function isRoundedTile(name: string, { body }: TileKernel): boolean {
  return [...flattenTileStatements(body)].some(
    (statement) => statement.kind === 'tile' && statement.name === name && isRounded(statement.value),
  );
}

/** A factor in memory, all of whose numbers are f16 or are rounded to it. */
function operandOf(factor: TileExpression, kernel: TileKernel): FactorOperand | undefined {
  const source = wideFactor(factor);
  if (source.kind === 'decode') return isRounded(factor) ? { source, storage: 'encoded' } : undefined;
  if (source.kind !== 'load' || isReadElsewhere(source.buffer, kernel)) return undefined;
  const storage = kernel.buffers.find(({ name }) => name === source.buffer)?.storage;
  if (storage === 'f16') return { source, storage };
  return (storage === 'bf16' || storage === 'f32') && isRounded(factor) ? { source, storage } : undefined;
}

/** Whether anything but factors of products are read from a buffer, whose words are staged as they are. */
function isReadElsewhere(buffer: string, { body, terms }: TileKernel): boolean {
  let reads = terms.some((term) => term.kind === 'loaded' && term.buffer === buffer);
  for (const statement of flattenTileStatements(body)) {
    const factors = statement.kind === 'contract' ? [wideFactor(statement.a), wideFactor(statement.b)] : [];
    walkTileExpressions(expressionsOfTile(statement), (part) => {
      if (part.kind === 'load' && part.buffer === buffer && !factors.includes(part)) reads = true;
    });
  }
  return reads;
}

/**
 * Whether rows and columns of the accumulators are whole matrices of a subgroup, whose invocations take their part of each in turn: rows
 * one by one, columns in vectors of four.
 */
export function areFactors({ spread, subgroupSize, matrix }: Schedule, rows: string, columns: string): boolean {
  const [tall, wide] = [spread[rows], spread[columns]];
  const { product, slab } = matrix ?? {};
  if (product === undefined || slab === undefined) return false;
  if (tall?.vector !== 1 || wide?.vector !== 4 || tall.threads * wide.threads !== subgroupSize) return false;
  const [height, width] = [tall.registers * tall.threads, wide.registers * wide.threads * 4];
  const isWhole = height % product.rows === 0 && width % slab === 0 && slab % product.columns === 0;
  return isWhole && product.rows % tall.threads === 0 && slab % (wide.threads * 4) === 0;
}
