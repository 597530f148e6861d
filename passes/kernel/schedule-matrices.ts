import type { Target } from '../../backends/target.js';
import type { Dim } from '../../ir/dim.js';
import type { AxisSpread, Schedule, TileWalk } from '../../ir/kernel/tile.js';
import { alone } from './axis-spreads.js';
import type { KernelFacts } from './from-group/facts.js';
import { workgroupSizeOf } from './lower/lower-tile.js';

/** Invocations that multiply a fragment together: lane l holds row l/4 and a pair of columns l mod 4. */
const subgroupSize = 32;
const rowsOfLanes = 8;
const pairsOfLanes = 4;

/** A workgroup's tile of a product and the part of it that one subgroup has. */
export interface ProductTile {
  readonly rows: number;
  readonly columns: number;
  readonly subgroupRows: number;
  readonly subgroupColumns: number;
}

/**
 * The largest first; 64 accumulators an invocation leave room for two workgroups a multiprocessor. Small outputs get small tiles,
 * so that more workgroups share them.
 */
const productTiles: readonly ProductTile[] = [
  { rows: 128, columns: 128, subgroupRows: 64, subgroupColumns: 32 },
  { rows: 64, columns: 64, subgroupRows: 32, subgroupColumns: 32 },
  { rows: 32, columns: 32, subgroupRows: 16, subgroupColumns: 16 },
];

/** Of two products at once: half the columns each, so as many accumulators in all. */
const pairTiles: readonly ProductTile[] = [
  { rows: 128, columns: 64, subgroupRows: 64, subgroupColumns: 16 },
  { rows: 64, columns: 32, subgroupRows: 32, subgroupColumns: 16 },
  { rows: 32, columns: 32, subgroupRows: 16, subgroupColumns: 16 },
];

/** Schedules that multiply matrix fragments, the best first; none for kernels without a product. */
export function scheduleMatrices(facts: KernelFacts, target: Target): readonly Schedule[] {
  return listCandidates(facts, target).filter((one) => fits(one, target, facts));
}

function listCandidates(facts: KernelFacts, target: Target): readonly Schedule[] {
  switch (facts.family) {
    case 'contraction':
      return [...scheduleSharedProduct(facts, target), ...scheduleProduct(facts)];
    case 'heads':
      return [...scheduleSharedHeads(facts, target), ...scheduleHeads(facts)];
    case 'attention':
      return [...scheduleSharedAttention(facts, target), ...scheduleAttention(facts)];
    default:
      return [];
  }
}

function matrixSchedule(
  unit: 'mma' | 'wgmma',
  stages: number,
  threadOrder: Schedule['threadOrder'],
  spread: Schedule['spread'],
): Schedule {
  return { spread, threadOrder, unroll: 1, subgroupSize, matrix: { unit, stages } };
}

/** The schedule with copies of boxes in a role of its own, where the target has them, before the one where all invocations copy. */
function walkFirst(schedule: Schedule, walk: TileWalk, target: Target): readonly Schedule[] {
  const { matrix } = schedule;
  if (target.tensorCopies !== true || matrix === undefined) return [schedule];
  return [{ ...schedule, matrix: { ...matrix, walk } }, schedule];
}

/** Multiprocessors of a Hopper GPU, which have a tile each at a time. */
const tilesAtOnce = 132;

/**
 * Tiles in x of a block: the tiles that run together read rows·b + columns·(tilesAtOnce / b) rows of operands, the least where both parts
 * are equal.
 */
function blockOf(rows: number, columns: number): TileWalk {
  return { block: Math.round(Math.sqrt((tilesAtOnce * columns) / rows)) };
}

function scheduleProduct(facts: KernelFacts): readonly Schedule[] {
  const extents = new Map(facts.axes.map((axis) => [axis.name, axis.extent]));
  const [rows, columns, depth] = [extents.get('m') as Dim, extents.get('n') as Dim, extents.get('k') as Dim];
  // A pair of columns is one register.
  if (!columns.isMultipleOf(2)) return [];
  const isLarge = (tile: ProductTile): boolean =>
    (rows.constant ?? Infinity) > tile.rows / 2 && (columns.constant ?? Infinity) > tile.columns / 2;
  const tiles = (facts.products ?? 1) > 1 ? pairTiles : productTiles;
  const tile = tiles.find(isLarge) ?? (tiles.at(-1) as ProductTile);
  return [
    matrixSchedule('mma', 4, ['n', 'm', 'n.groups', 'm.groups'], {
      m: spreadRows(tile.rows, tile.subgroupRows),
      n: spreadColumns(tile.columns, tile.subgroupColumns),
      k: spreadShallow(depth, facts),
      ...(extents.has('z') && { z: alone }),
    }),
  ];
}

/** Rows that four subgroups multiply together, and the depth of a swizzled row of 128 bytes. */
const rowsOfWarpgroup = 64;
const depthOfRow = 64;

/** Two groups of four subgroups with 64 rows each, side by side in depth: 128 accumulators an invocation. */
function scheduleSharedProduct(facts: KernelFacts, target: Target): readonly Schedule[] {
  if (target.matrix !== 'wgmma') return [];
  const extents = new Map(facts.axes.map((axis) => [axis.name, axis.extent]));
  const [rows, columns] = [extents.get('m') as Dim, extents.get('n') as Dim];
  const [most, wanted] = [rows.constant ?? Infinity, columns.constant ?? Infinity];
  // Less than half a tile is better shared out in the smaller tiles of fragments.
  if (most <= rowsOfWarpgroup || wanted <= 64 || !columns.isMultipleOf(2)) return [];
  // Two products at once have half the columns each.
  const wide = wanted >= 256 && (facts.products ?? 1) === 1 ? 256 : 128;
  const schedule = matrixSchedule('wgmma', 4, ['n', 'm', 'm.groups'], {
    m: spreadRows(2 * rowsOfWarpgroup, 16),
    n: spreadColumns(wide, wide),
    k: spreadDepth(depthOfRow, facts),
    ...(extents.has('z') && { z: alone }),
  });
  return walkFirst(schedule, blockOf(2 * rowsOfWarpgroup, wide * (facts.products ?? 1)), target);
}

/** 64 queries for four subgroups, two such groups; heads of whole swizzled rows. */
function scheduleSharedAttention(facts: KernelFacts, target: Target): readonly Schedule[] {
  const size = facts.axes.find(({ name }) => name === 'd')?.extent.constant;
  if (target.matrix !== 'wgmma' || size === undefined || size % depthOfRow !== 0 || size > 128) return [];
  // Scores of 128 keys and the mask of each do not fit the registers together.
  const keys = facts.isMasked === true ? 64 : 128;
  const schedule = matrixSchedule('wgmma', 2, ['d', 'm', 'm.groups'], {
    m: spreadRows(2 * rowsOfWarpgroup, 16),
    h: alone,
    z: alone,
    d: spreadColumns(size, size),
    j: { ...spreadColumns(keys, keys), threadsOf: 'd' },
  });
  // All queries of a head, which read the same keys, one after the other.
  return walkFirst(schedule, {}, target);
}

/**
 * A subgroup has all columns of its rows' heads, so that it sums them up by itself. 64 accumulators an invocation: with 128
 * (32 rows of heads of 128) what is made of them spilled on sm_80.
 */
function scheduleHeads(facts: KernelFacts): readonly Schedule[] {
  const extents = new Map(facts.axes.map((axis) => [axis.name, axis.extent]));
  const [rows, size, depth] = [extents.get('m') as Dim, extents.get('d')?.constant, extents.get('k') as Dim];
  if (size === undefined || size % 16 !== 0 || size > 256) return [];
  const ofSubgroup = size <= 64 ? 32 : 16;
  const most = 128 / ofSubgroup;
  const subgroups = (rows.constant ?? Infinity) > 2 * ofSubgroup ? most : 1;
  return [
    matrixSchedule('mma', 4, ['d', 'm', 'm.groups'], {
      m: spreadRows(subgroups * ofSubgroup, ofSubgroup),
      h: alone,
      d: spreadColumns(size, size),
      k: spreadShallow(depth, facts),
    }),
  ];
}

/** 64 rows of a head for four subgroups, two such groups: a row of the accumulators lies in one subgroup. */
function scheduleSharedHeads(facts: KernelFacts, target: Target): readonly Schedule[] {
  const extents = new Map(facts.axes.map((axis) => [axis.name, axis.extent]));
  const [rows, size] = [extents.get('m') as Dim, extents.get('d')?.constant];
  if (target.matrix !== 'wgmma' || size === undefined || size % depthOfRow !== 0 || size > 256) return [];
  if ((rows.constant ?? Infinity) <= rowsOfWarpgroup) return [];
  const schedule = matrixSchedule('wgmma', 4, ['d', 'm', 'm.groups'], {
    m: spreadRows(2 * rowsOfWarpgroup, 16),
    h: alone,
    d: spreadColumns(size, size),
    k: spreadDepth(depthOfRow, facts),
  });
  return walkFirst(schedule, blockOf(2 * rowsOfWarpgroup, size), target);
}

/** 16 queries a subgroup; their scores against a chunk of keys and their outputs stay in registers. */
function scheduleAttention(facts: KernelFacts): readonly Schedule[] {
  const size = facts.axes.find(({ name }) => name === 'd')?.extent.constant;
  // Heads of 16 times a number are whole fragments; wider ones than 256 do not fit the registers.
  if (size === undefined || size % 16 !== 0 || size > 256) return [];
  const keys = size <= 128 ? 64 : 32;
  return [
    matrixSchedule('mma', 2, ['d', 'm', 'm.groups'], {
      m: spreadRows(64, 16),
      h: alone,
      z: alone,
      d: spreadColumns(size, size),
      j: { ...spreadColumns(keys, keys), threadsOf: 'd' },
    }),
  ];
}

function spreadRows(rows: number, ofSubgroup: number): AxisSpread {
  return { groups: rows / ofSubgroup, registers: ofSubgroup / rowsOfLanes, threads: rowsOfLanes, vector: 1 };
}

function spreadColumns(columns: number, ofSubgroup: number): AxisSpread {
  const registers = ofSubgroup / (2 * pairsOfLanes);
  return { groups: columns / ofSubgroup, registers, threads: pairsOfLanes, vector: 2 };
}

/** Depth in numbers of 16 bits; of those of 8 bits as many bytes hold twice as many. */
function spreadDepth(depth: number, { factorBytes = 2 }: KernelFacts): AxisSpread {
  return { threads: 1, registers: (2 * depth) / factorBytes, vector: 1 };
}

/** Two products of fragments a chunk, where there are as many. */
function spreadShallow(depth: Dim, facts: KernelFacts): AxisSpread {
  const two = spreadDepth(32, facts);
  return (depth.constant ?? Infinity) >= two.registers ? two : spreadDepth(16, facts);
}

/** Whether the accumulators' and stages' schedule is one that the target can start. */
function fits(schedule: Schedule, target: Target, facts: KernelFacts): boolean {
  const invocations = workgroupSizeOf(schedule);
  return invocations <= target.maxWorkgroupInvocations && stageBytes(schedule, facts) <= target.workgroupMemory;
}

/** Workgroup memory of the operands' stages: rows with at most a piece of 16 bytes more than they hold. */
function stageBytes({ spread, matrix }: Schedule, { products = 1, factorBytes = 2 }: KernelFacts): number {
  const tile = (axis: string): number => {
    const { groups = 1, threads, registers, vector } = spread[axis] ?? { threads: 0, registers: 0, vector: 1 };
    return groups * threads * registers * vector;
  };
  const rowBytes = (axis: string): number => tile(axis) * factorBytes + 16;
  const columns = spread['n'] === undefined ? tile('d') : products * tile('n');
  const bytes = spread['j'] === undefined ? (tile('m') + columns) * rowBytes('k') : 2 * tile('j') * rowBytes('d');
  return bytes * (matrix?.stages ?? 0);
}
