import type { Target } from '../../../backends/target.js';
import { productDepth, sharedColumns } from '../../../ir/kernel/matrix-types.js';
import type { Schedule, TileKernel } from '../../../ir/kernel/tile.js';
import { flattenTileStatements } from '../../../ir/kernel/tile-walk.js';
import { Emitter } from './emitter.js';
import { factorPitch } from './factor-stages.js';
import { workgroupSizeOf } from './lower-tile.js';
import { asMatrixProduct, rowLengthOf } from './matrix-operands.js';
import { Coordinates } from './positions.js';
import { vectorPitch } from './share-rows.js';
import { blockPieces } from './staging.js';
import { areFactors, asFactorProduct, factorPiece } from './subgroup-operands.js';
import { canStageFactors } from './staged-factors.js';
import { asRectangle } from './tensor-maps.js';

/** Whether every contraction of the kernel is one that the target can multiply by a schedule of fragments, or stage for one without. */
export function canMultiply(
  kernel: TileKernel,
  schedule: Schedule,
  { fp8, workgroupMemory }: Pick<Target, 'fp8' | 'workgroupMemory'>,
): boolean {
  const at = new Coordinates(kernel, schedule, new Emitter());
  if (schedule.matrix === undefined) return canStageFactors(kernel, at);
  if (schedule.matrix.unit === 'subgroup') {
    return canMultiplyFactors(kernel, schedule, at) && factorBytes(kernel, schedule, at) <= workgroupMemory;
  }
  return [...flattenTileStatements(kernel.body)].every((statement) => {
    if (statement.kind !== 'contract') return true;
    const product = asMatrixProduct(statement, kernel, at);
    if (product === undefined) return false;
    const { operands, left, right, rows, columns } = product;
    if (operands === 'f8e4m3' && fp8 !== true) return false;
    if (!areFragments(schedule, rows, columns)) return false;
    if (at.axis(statement.over).tile % productDepth(operands) !== 0) return false;
    // Rows of 128 bytes are what the unit reads from workgroup memory.
    const along = right.byDepth ? statement.over : columns;
    const whole = [along, ...(left.kind === 'memory' ? [statement.over] : [])];
    if (
      schedule.matrix?.unit === 'wgmma' &&
      whole.some((axis) => at.axis(axis).tile % (blockPieces * rowLengthOf(operands)) !== 0)
    )
      return false;
    if (schedule.matrix?.walk === undefined) return true;
    const across = right.byDepth ? columns : statement.over;
    if (right.source.kind === 'decode') return false;
    if (asRectangle(right.source, kernel, across, along, rowLengthOf(operands)) === undefined) return false;
    return (
      left.kind === 'tile' || asRectangle(left.load, kernel, rows, statement.over, rowLengthOf(operands)) !== undefined
    );
  });
}

function canMultiplyFactors(kernel: TileKernel, schedule: Schedule, at: Coordinates): boolean {
  const { product } = schedule.matrix ?? {};
  return [...flattenTileStatements(kernel.body)].every((statement) => {
    if (statement.kind !== 'contract') return true;
    const found = asFactorProduct(statement, kernel, at);
    if (found === undefined || product === undefined) return false;
    const { left, right, rows, columns } = found;
    const along = right.byDepth ? statement.over : columns;
    const isWhole = at.axis(statement.over).tile % product.depth === 0 && at.axis(along).tile % factorPiece === 0;
    const ofTile = left.kind === 'memory' ? undefined : schedule.spread[statement.over];
    return isWhole && (ofTile === undefined || ofTile.vector === 4) && areFactors(schedule, rows, columns);
  });
}

/** Workgroup memory of operands, of tiles that are packed as left factors, and of the slab that sums pass through. */
function factorBytes(kernel: TileKernel, schedule: Schedule, at: Coordinates): number {
  const known = new Map<unknown, number>();
  for (const statement of flattenTileStatements(kernel.body)) {
    const found = statement.kind === 'contract' ? asFactorProduct(statement, kernel, at) : undefined;
    if (statement.kind !== 'contract' || found === undefined) continue;
    const { left, right, rows, columns } = found;
    const bytes = (tall: string, wide: string): number => 4 * at.axis(tall).tile * factorPitch(at.axis(wide).tile);
    known.set(left.kind === 'tile' ? left.name : left.operand.source, bytes(rows, statement.over));
    known.set(right.operand.source, right.byDepth ? bytes(columns, statement.over) : bytes(statement.over, columns));
  }
  const { product, slab = 0 } = schedule.matrix ?? {};
  const subgroups = workgroupSizeOf(schedule) / (schedule.subgroupSize ?? 1);
  const slabBytes = 16 * subgroups * (product?.rows ?? 0) * vectorPitch(slab);
  return [...known.values()].reduce((sum, bytes) => sum + bytes, slabBytes);
}

/** Whether rows and columns of the accumulators are spread as the unit leaves them in a subgroup's registers. */
function areFragments({ spread, matrix }: Schedule, rows: string, columns: string): boolean {
  const [tall, wide] = [spread[rows], spread[columns]];
  if (tall?.threads !== 8 || tall.vector !== 1 || wide?.threads !== 4 || wide.vector !== 2) return false;
  if (matrix?.unit !== 'wgmma') return tall.registers % 2 === 0;
  const { groups = 1, registers } = wide;
  return tall.registers === 2 && (tall.groups ?? 1) % 4 === 0 && groups === 1 && sharedColumns.includes(8 * registers);
}
