import type { Dim } from '../../ir/dim.js';
import type { MatrixSchedule, Schedule, TileKernel } from '../../ir/kernel/tile.js';
import { flattenTileStatements } from '../../ir/kernel/tile-walk.js';
import { tileOf } from './from-group/build-kernel.js';

/** What readers of a kernel's text want to know first: what it computes, in which tiles, at what cost. One line each. */
export function describeKernel(
  kernel: TileKernel,
  schedule: Schedule,
  /** Operations and bytes, in the kernel's parameters. */
  cost: readonly Dim[] | undefined,
): string {
  const tiles = kernel.axes.map(({ name, extent }) => `${name} ${tileOf(schedule, name)} of ${extent.text}`);
  return [
    ...(schedule.matrix === undefined ? [] : [describeMatrices(kernel, schedule.matrix)]),
    ...(schedule.staged === true ? ['factors of products through workgroup memory'] : []),
    ...(tiles.length === 0 ? [] : [`tiles: ${tiles.join(', ')}`]),
    ...(cost === undefined ? [] : [`${cost[0]?.text} operations, ${cost[1]?.text} bytes`]),
  ].join('\n');
}

const units: Readonly<Record<MatrixSchedule['unit'], string>> = {
  mma: 'fragments of a warp (mma)',
  wgmma: 'shared memory of four warps (wgmma)',
  subgroup: 'workgroup memory by matrices of a subgroup',
};

function describeMatrices(kernel: TileKernel, { unit, stages, walk }: MatrixSchedule): string {
  const over = [...flattenTileStatements(kernel.body)].flatMap((statement) =>
    statement.kind === 'contract' ? [statement.over] : [],
  );
  const products = `products over ${over.join(' and ')} from ${units[unit]}, ${stages} stage${stages === 1 ? '' : 's'} of operands`;
  if (walk === undefined) return products;
  const order = walk.block === undefined ? 'x first' : `in blocks of ${walk.block} in x`;
  return `${products}\nboxes copied by one invocation; workgroups walk over the tiles, ${order}`;
}
