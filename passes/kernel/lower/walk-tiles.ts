import { add, binary, builtin, i32, integer, multiply, parameter } from '../../../ir/kernel/expressions.js';
import { registersAtLaunch, registerStep } from '../../../ir/kernel/registers.js';
import type { Expression } from '../../../ir/kernel/thread.js';
import type { TileWalk } from '../../../ir/kernel/tile.js';
import type { Emitter } from './emitter.js';
import type { Coordinates, TileNumbers } from './positions.js';
import type { TensorRings } from './tensor-rings.js';

/** Invocations that only copy: setting registers takes a whole group of four subgroups, though one of them does the work. */
export const copyingInvocations = 128;

/** Registers of an invocation. */
const copyingRegisters = 40;
const mostRegisters = 240;

/** Parameters that say how many tiles a launch has. */
export const tileCounts = ['tiles_x', 'tiles_y', 'tiles_z'] as const;

/**
 * Writes a kernel whose workgroups walk over the launch's tiles: the first `invocations` multiply and store a tile after the other, one
 * more copies ahead of them.
 */
export function walkTiles(
  walk: TileWalk,
  invocations: number,
  { at, emitter, rings }: { readonly at: Coordinates; readonly emitter: Emitter; readonly rings: TensorRings },
  lowerTile: () => void,
): void {
  const overTiles = (body: () => void): void => {
    const [x, y, z] = tileCounts.map(parameter) as [Expression, Expression, Expression];
    const all = emitter.hoist('tiles', i32, multiply(emitter.hoist('tiles', i32, multiply(x, y)), z));
    const [group, groups] = [builtin('group_index'), builtin('group_count')];
    const left = emitter.hoist('left', i32, add(binary('sub', all, group), binary('sub', groups, integer(1))));
    const rounds = emitter.hoist('rounds', i32, binary('div', left, groups));
    emitter.loop('round', integer(0), rounds, 1, (round) => {
      const tile = emitter.hoist('tile', i32, add(group, emitter.hoist('t', i32, multiply(round, groups))));
      at.enterTile(tileNumbers(tile, walk, emitter));
      rings.round = round;
      body();
      rings.round = undefined;
    });
  };
  const multiplying = emitter.block(() => overTiles(lowerTile));
  const copy = emitter.block(() => {
    const isCopying = binary('equal', builtin('local_index'), integer(invocations));
    emitter.when(isCopying, () => overTiles(() => rings.lowerCopies()));
  });
  const all = invocations + copyingInvocations;
  const pool = registersAtLaunch(all) * all - copyingRegisters * copyingInvocations;
  const registers = Math.min(mostRegisters, Math.floor(pool / invocations / registerStep) * registerStep);
  emitter.push({
    kind: 'roles',
    roles: [
      { name: 'multiply', invocations, registers, body: multiplying },
      { name: 'copy', invocations: copyingInvocations, registers: copyingRegisters, body: copy },
    ],
  });
}

/**
 * Where the tile of a number lies: z slowest, then blocks of tiles in x, in them y, and x fastest. So the tiles of workgroups that
 * run together lie in a block and share what they read.
 */
function tileNumbers(tile: Expression, { block }: TileWalk, emitter: Emitter): TileNumbers {
  const [x, y] = [parameter(tileCounts[0]), parameter(tileCounts[1])];
  const hoist = (hint: string, value: Expression): Expression => emitter.hoist(hint, i32, value);
  const plane = hoist('plane', multiply(x, y));
  const inPlane = hoist('t', binary('mod', tile, plane));
  const z = hoist('z', binary('div', tile, plane));
  if (block === undefined)
    return { x: hoist('x', binary('mod', inPlane, x)), y: hoist('y', binary('div', inPlane, x)), z };
  const ofBlock = hoist('t', multiply(y, integer(block)));
  const first = hoist('x', multiply(hoist('t', binary('div', inPlane, ofBlock)), integer(block)));
  const inBlock = hoist('t', binary('mod', inPlane, ofBlock));
  const high = hoist('t', binary('min', hoist('t', binary('sub', x, first)), integer(block)));
  const within = hoist('x', binary('mod', inBlock, high));
  return { x: hoist('x', add(first, within)), y: hoist('y', binary('div', inBlock, high)), z };
}
