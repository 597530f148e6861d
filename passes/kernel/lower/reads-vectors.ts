import type { TileDecode, TileExpression } from '../../../ir/kernel/tile.js';
import type { TileRegisters } from './tile-registers.js';
import { groupLanes, isStill, isWholeVector, laneMotion } from './lanes.js';
import type { Coordinates } from './positions.js';

/** True when every load and vector tile of the expression can be read as whole vectors along the axis. */
export function readsVectors(
  expression: TileExpression,
  axis: string,
  lanes: number,
  at: Coordinates,
  tiles: ReadonlyMap<string, TileRegisters>,
): boolean {
  const visit = (part: TileExpression): boolean => {
    switch (part.kind) {
      case 'number':
      case 'index':
        return true;
      case 'tile': {
        const tile = tiles.get(part.name);
        return tile === undefined || !tile.axes.includes(axis) || tile.axes.at(-1) === axis;
      }
      case 'load': {
        const motion = laneMotion(part.index, axis, lanes, at);
        return motion !== undefined && (isStill(motion.deltas) || groupLanes(motion) !== undefined);
      }
      case 'decode':
        return decodesVectors(part, axis, lanes, at);
      case 'unary':
      case 'convert':
        return visit(part.operand);
      case 'exchange':
        return part.axis === axis && part.mask < lanes && visit(part.operand);
      case 'binary':
        return visit(part.left) && visit(part.right);
      case 'select':
        return [part.condition, part.yes, part.no].every(visit);
      case 'when':
        return [part.yes, part.no].every(visit);
    }
  };
  return visit(expression);
}

/** True when vectors along the axis are neighbours of an encoded row, whose bits lie in one word and which are in one group. */
export function decodesVectors({ column, fields }: TileDecode, axis: string, lanes: number, at: Coordinates): boolean {
  if (!isWholeVector(laneMotion(column, axis, lanes, at))) return false;
  return fields.every((field) => {
    const motion = field.kind === 'load' ? laneMotion(field.index, axis, lanes, at) : undefined;
    return motion !== undefined && isStill(motion.deltas);
  });
}
