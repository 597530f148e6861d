import type { Target } from '../../backends/target.js';
import type { Dim } from '../../ir/dim.js';
import type { AxisSpread, Schedule } from '../../ir/kernel/tile.js';
import { alone } from './axis-spreads.js';
import type { KernelFacts } from './from-group/facts.js';
import { workgroupSizeOf } from './lower/lower-tile.js';
import type { ProductTile } from './schedule-matrices.js';

/**
 * The largest first: a subgroup's 64 rows and columns read a factor four times from its registers. On an H200 it reached 1.6 times the rate of
 * 64 by 32. Small outputs get small tiles, so that more workgroups share them.
 */
const productTiles: readonly ProductTile[] = [
  { rows: 128, columns: 128, subgroupRows: 64, subgroupColumns: 64 },
  { rows: 64, columns: 64, subgroupRows: 32, subgroupColumns: 32 },
  { rows: 32, columns: 32, subgroupRows: 16, subgroupColumns: 16 },
];

/** Of two products at once: half the columns each, so as many sums in all. */
const pairTiles: readonly ProductTile[] = [
  { rows: 128, columns: 64, subgroupRows: 64, subgroupColumns: 32 },
  { rows: 64, columns: 32, subgroupRows: 32, subgroupColumns: 16 },
  { rows: 32, columns: 16, subgroupRows: 16, subgroupColumns: 8 },
];

const chunk = 32;
/** Invocations side by side over a row: vectors of 32 columns, those of a slab. */
const mostThreads = 8;

/** Schedules that multiply matrices of subgroups, the best first; none for kernels without a product, and for targets without. */
export function scheduleFactors(facts: KernelFacts, target: Target): readonly Schedule[] {
  const { subgroups, subgroupProduct: product } = target;
  // A lane's number in matrices is known where all subgroups have one size.
  if (product === undefined || subgroups === undefined || subgroups.min !== subgroups.max) return [];
  const size = subgroups.max;
  return listCandidates(facts, size)
    .map((one): Schedule => ({
      ...one,
      unroll: 1,
      subgroupSize: size,
      bySubgroups: true,
      matrix: { unit: 'subgroup', stages: 1, product, slab: slabOf(one) },
    }))
    .filter((one) => fits(one, target));
}

type Spreads = Pick<Schedule, 'spread' | 'threadOrder'>;

function listCandidates(facts: KernelFacts, subgroup: number): readonly Spreads[] {
  const extents = new Map(facts.axes.map((axis) => [axis.name, axis.extent]));
  const extent = (name: string): Dim => extents.get(name) as Dim;
  switch (facts.family) {
    case 'contraction': {
      const [rows, columns] = [extent('m'), extent('n')];
      if (!columns.isMultipleOf(4)) return [];
      const isLarge = (tile: ProductTile): boolean =>
        (rows.constant ?? Infinity) > tile.rows / 2 && (columns.constant ?? Infinity) > tile.columns / 2;
      const tiles = (facts.products ?? 1) > 1 ? pairTiles : productTiles;
      const first = tiles.findIndex(isLarge);
      // Larger ones, too, where matrices are no part of a smaller one.
      const at = first < 0 ? tiles.length - 1 : first;
      return [...tiles.slice(at), ...tiles.slice(0, at).reverse()].map((tile) => ({
        spread: {
          ...spreadTile('m', 'n', tile, subgroup),
          k: depthOf(chunk),
          ...(extents.has('z') && { z: alone }),
        },
        threadOrder: ['n', 'm', 'n.groups', 'm.groups'],
      }));
    }
    case 'heads': {
      const size = extent('d').constant ?? 0;
      // A subgroup has all columns of its rows' heads, so that it sums them up by itself.
      const rowsOf = size <= 64 ? [64, 32, 16] : [32, 16];
      return rowsOf.map((rows) => ({
        spread: {
          ...spreadTile(
            'm',
            'd',
            { rows: 4 * rows, columns: size, subgroupRows: rows, subgroupColumns: size },
            subgroup,
          ),
          h: alone,
          k: depthOf(chunk),
        },
        threadOrder: ['d', 'm', 'm.groups'],
      }));
    }
    case 'attention': {
      const size = extent('d').constant ?? 0;
      // Fewer queries and keys where workgroup memory is small.
      return (
        [
          [64, chunk, mostThreads],
          [32, chunk / 2, mostThreads / 2],
        ] as const
      ).map(([queries, keys, most]) => {
        const tile = { rows: queries, columns: size, subgroupRows: 16, subgroupColumns: size };
        const spread = spreadTile('m', 'd', tile, subgroup, most);
        const threads = spread['d']?.threads ?? 1;
        const j: AxisSpread = { threads, registers: keys / (4 * threads), vector: 4, threadsOf: 'd' };
        return { spread: { ...spread, h: alone, z: alone, j }, threadOrder: ['d', 'm', 'm.groups'] };
      });
    }
    default:
      return [];
  }
}

/** A subgroup's invocations side by side over vectors of its columns, as far as there are some and at most so many, then over its rows. */
function spreadTile(
  rows: string,
  columns: string,
  { rows: tall, columns: wide, subgroupRows, subgroupColumns }: ProductTile,
  subgroup: number,
  most = mostThreads,
): Record<string, AxisSpread> {
  const threads = Math.min(most, subgroup, subgroupColumns / 4);
  const others = subgroup / threads;
  return {
    [rows]: { groups: tall / subgroupRows, registers: subgroupRows / others, threads: others, vector: 1 },
    [columns]: { groups: wide / subgroupColumns, registers: subgroupColumns / (4 * threads), threads, vector: 4 },
  };
}

function depthOf(numbers: number): AxisSpread {
  return { threads: 1, registers: numbers, vector: 1 };
}

/**
 * Workgroups that run at once share a multiprocessor's workgroup memory: on an H200 a pair of products whose slabs have 32 columns came to 0.72
 * of the rate that it has without any slab, a product whose slabs have 64 to 0.67.
 */
const mostSlabColumns = 32;

function slabOf({ spread }: Spreads): number {
  const { registers = 1, threads = 1, vector = 1 } = spread['n'] ?? spread['d'] ?? {};
  return Math.min(registers * threads * vector, mostSlabColumns);
}

/** Whether the spreads are whole numbers, as of matrices of the product's size, and the target can start so many invocations. */
function fits(schedule: Schedule, target: Target): boolean {
  const numbers = Object.values(schedule.spread).flatMap(({ threads, registers, groups = 1 }) => [threads, registers, groups]); // prettier-ignore
  if (numbers.some((number) => !Number.isInteger(number) || number < 1)) return false;
  return workgroupSizeOf(schedule) <= target.maxWorkgroupInvocations;
}
