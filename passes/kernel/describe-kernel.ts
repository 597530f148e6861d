import type { Dim } from '../../ir/dim.js';
import type { Schedule, TileKernel } from '../../ir/kernel/tile.js';
import { flattenTileStatements } from '../../ir/kernel/tile-walk.js';
import { tileOf } from './from-group/build-kernel.js';

/** What readers of a kernel's text want to know first: what it computes, in which tiles, at what cost. One line each. */
export function describeKernel(
  kernel: TileKernel,
  schedule: Schedule,
  { flop, bytes }: { readonly flop: Dim; readonly bytes: Dim },
): string {
  const tiles = kernel.axes.map(({ name, extent }) => `${name} ${tileOf(schedule, name)} of ${extent.text}`);
  return [
    ...(schedule.matrix === undefined ? [] : [describeMatrices(kernel, schedule.matrix)]),
    ...(tiles.length === 0 ? [] : [`tiles: ${tiles.join(', ')}`]),
    `${flop.text} operations, ${bytes.text} bytes`,
  ].join('\n');
}

function describeMatrices(kernel: TileKernel, { unit, stages }: NonNullable<Schedule['matrix']>): string {
  const over = [...flattenTileStatements(kernel.body)].flatMap((statement) =>
    statement.kind === 'contract' ? [statement.over] : [],
  );
  const how = unit === 'mma' ? 'fragments of a warp (mma)' : 'shared memory of four warps (wgmma)';
  return `products over ${over.join(' and ')} from ${how}, ${stages} stages of operands`;
}
