import type { Target } from '../../backends/target.js';
import type { Dim } from '../../ir/dim.js';
import type { AxisSpread, Schedule } from '../../ir/kernel/tile.js';
import { alone, partsFor } from './axis-spreads.js';
import { depthOfCodes } from './schedule-codes.js';
import type { KernelFacts } from './from-group/facts.js';

/**
 * Schedules for drivers that compute on a processor's vectors: an invocation is a lane, and a workgroup is one subgroup. There a load is
 * a branch and a bounds check for every lane, even where all load the same, and memory of the workgroup is no faster; so what is the
 * same for all lanes is loaded by one of them, which the others take it from. Undefined where the target is not of that kind or the kernel
 * has no products.
 */
export function scheduleSubgroups(facts: KernelFacts, target: Target): Schedule | undefined {
  const { subgroups } = target;
  if (target.stagingPays || subgroups === undefined || subgroups.min !== subgroups.max || subgroups.min < 2)
    return undefined;
  if (facts.family === 'contraction') return scheduleContraction(facts, subgroups.min);
  if (facts.family === 'heads') return scheduleHeads(facts, subgroups.min);
  if (facts.family === 'attention') return scheduleAttention(facts, subgroups.min);
  return undefined;
}

/** Rows and columns of a workgroup's tile: 512 sums, for each of which a product costs 3/32 of a load of a number. */
const tileRows = 16;
/** Of pictures, which have thousands of rows: fewer loads of weights are worth the longer compilation. */
const pictureRows = 32;
const tileColumns = 32;

/** Columns over lanes, rows in registers. Sums that do not fit the processor's registers cost less than the loads of smaller tiles. */
function scheduleContraction(facts: KernelFacts, lanes: number): Schedule {
  const extents = new Map(facts.axes.map((axis) => [axis.name, axis.extent]));
  const [m, n, k] = ['m', 'n', 'k'].map((name) => extents.get(name)) as [Dim, Dim, Dim];
  const columns = columnsOf(n, Math.max(1, Math.floor(tileColumns / (lanes * (facts.products ?? 1)))), lanes);
  const rows = partsFor(m, 1, facts.section === undefined ? tileRows : pictureRows);
  return {
    spread: {
      m: { threads: 1, registers: rows, vector: 1, dealtTo: 'n', rolled: true },
      n: { threads: lanes, registers: columns, vector: 1 },
      k: depthOf(facts, k),
      ...(extents.has('z') && { z: alone }),
    },
    threadOrder: ['n'],
    unroll: 1,
    dots: true,
    ...(facts.inBytes && { widensBytes: true }),
    subgroupSize: lanes,
  };
}

/** A vector of numbers, or of bytes that become some; codes as they are decoded. Rows that no vectors lie in are read number by number. */
function depthOf(facts: KernelFacts, k: Dim): AxisSpread {
  const vector: AxisSpread = { threads: 1, registers: 1, vector: 4 };
  if (facts.inBytes === true) return vector;
  const isNumbers = facts.rightRows === true || !k.isMultipleOf(4);
  return depthOfCodes(facts) ?? (isNumbers ? alone : vector);
}

/**
 * Columns of a lane, at most `most`, so that few of the last tile's are idle. Beside its columns a tile costs what its rows take to load, as
 * much as three quarters of a lane's column.
 */
function columnsOf(n: Dim, most: number, lanes: number): number {
  const wanted = n.constant;
  if (wanted === undefined) return partsFor(n, lanes, most);
  const cost = (columns: number): number => Math.ceil(wanted / (columns * lanes)) * (columns + 0.75);
  const choices = Array.from({ length: most }, (_, at) => most - at);
  return choices.reduce((best, columns) => (cost(columns) < cost(best) ? columns : best), most);
}

/** Heads, whole or in pieces of about as many columns as a plain product's tile has; pairs of neighbours are in one vector. */
function scheduleHeads(facts: KernelFacts, lanes: number): Schedule | undefined {
  const extents = new Map(facts.axes.map((axis) => [axis.name, axis.extent]));
  const [m, size, k] = [extents.get('m') as Dim, extents.get('d')?.constant ?? 0, extents.get('k') as Dim];
  const columns = (facts.products ?? 1) > 1 ? spreadPairs(size, lanes) : spreadHead(size, lanes);
  if (columns === undefined || !k.isMultipleOf(4)) return undefined;
  const { registers, vector } = columns;
  const rows = partsFor(m, 1, registers * vector * (facts.products ?? 1) > 8 ? tileRows / 2 : tileRows);
  return {
    spread: {
      m: { threads: 1, registers: rows, vector: 1, dealtTo: 'd', rolled: true },
      h: alone,
      d: columns,
      k: depthOf(facts, k),
    },
    threadOrder: ['d'],
    unroll: 1,
    dots: true,
    ...(facts.inBytes && { widensBytes: true }),
    subgroupSize: lanes,
  };
}

/** The longest vectors that divide a head among the lanes, and as many of them as a tile of half as much again has room for. */
function spreadHead(size: number, lanes: number): AxisSpread | undefined {
  for (const vector of [4, 2] as const) {
    const whole = size / (lanes * vector);
    if (size === 0 || !Number.isInteger(whole)) continue;
    const most = Math.max(1, Math.floor((1.5 * tileColumns) / (lanes * vector)));
    const registers = Array.from({ length: most }, (_, at) => most - at).find((count) => whole % count === 0) ?? 1;
    return { threads: lanes, registers, vector };
  }
  return undefined;
}

/** Pairs of columns over the lanes, about as many as a plain product's tile has columns. */
function spreadPairs(pairs: number, lanes: number): AxisSpread | undefined {
  const whole = pairs / lanes;
  if (pairs === 0 || !Number.isInteger(whole)) return undefined;
  const most = Math.max(1, Math.floor((1.5 * tileColumns) / (2 * lanes)));
  const registers = Array.from({ length: most }, (_, at) => most - at).find((count) => whole % count === 0) ?? 1;
  return { threads: lanes, registers, vector: 1 };
}

/** Queries over lanes: softmax needs no other lane. Keys and values come one at a time, a part of each from every lane. */
function scheduleAttention(facts: KernelFacts, lanes: number): Schedule | undefined {
  const extents = new Map(facts.axes.map((axis) => [axis.name, axis.extent]));
  const [queries, size] = [extents.get('m') as Dim, extents.get('d')?.constant];
  if (size === undefined || size % 4 !== 0 || size > 256) return undefined;
  // A query and its output are 2 · size numbers of an invocation; drivers take long to compile more than 256 vectors of 8 of them.
  const registers = partsFor(queries, lanes, Math.max(1, Math.floor(1024 / (lanes * size))));
  return {
    spread: {
      m: { threads: lanes, registers, vector: 1 },
      h: alone,
      z: alone,
      d: { threads: 1, registers: size / 4, vector: 4, dealtTo: 'm', rolled: true },
      j: alone,
    },
    threadOrder: ['m'],
    unroll: 1,
    dots: true,
    subgroupSize: lanes,
  };
}
