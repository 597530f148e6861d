import type { Target } from '../../backends/target.js';
import { Flux2cError } from '../../ir/diagnostics.js';
import type { Dim } from '../../ir/dim.js';
import type { AxisSpread, Schedule } from '../../ir/kernel/tile.js';
import { alone, partsFor, partsThatDivide } from './axis-spreads.js';
import type { AxisFacts, KernelFacts } from './from-group/facts.js';
import { depthOfCodes } from './schedule-codes.js';
import { scheduleRows, scheduleVectorAttention, sectionOf } from './schedule-vectors.js';
import { scheduleFactors } from './schedule-factors.js';
import { scheduleMatrices } from './schedule-matrices.js';
import { scheduleStaged } from './schedule-staged.js';
import { scheduleSubgroups } from './schedule-subgroups.js';

/**
 * Schedules for a kernel, the best first: those that multiply matrix fragments fit only operands of 16 bits in rows, which is
 * seen when the kernel is built; the last one fits any.
 */
export function listSchedules(facts: KernelFacts, target: Target): readonly Schedule[] {
  return [
    ...listMatrices(facts, target),
    ...scheduleStaged(facts, target),
    scheduleSubgroups(facts, target) ?? chooseSchedule(facts, target),
  ];
}

function listMatrices(facts: KernelFacts, target: Target): readonly Schedule[] {
  if (target.matrix === undefined || (facts.family === 'heads' && (facts.products ?? 1) > 1)) return [];
  return target.matrix === 'subgroup' ? scheduleFactors(facts, target) : scheduleMatrices(facts, target);
}

/**
 * Chooses how a kernel's axes are spread over invocations, registers and lanes, from its extents and the target's
 * capabilities. Choosing is apart from applying: what comes back can be printed, overridden and tuned.
 */
export function chooseSchedule(facts: KernelFacts, target: Target): Schedule {
  const extents = new Map(facts.axes.map((axis) => [axis.name, axis.extent]));
  const extent = (name: string): Dim => extents.get(name) as Dim;
  switch (facts.family) {
    case 'map': {
      const vector = vectorOf(extent('n'));
      const columns = partsFor(extent('n'), vector, 16);
      const rows = partsFor(extent('m'), 1, Math.max(1, 64 / columns));
      return schedule({ m: spread(rows, 1, 1), n: spread(columns, 1, vector) }, ['n', 'm']);
    }
    case 'row': {
      const vector = vectorOf(extent('c'));
      const together = target.workgroupMemory > 0 && target.stagingPays ? partsFor(extent('c'), vector, 64) : 1;
      const most = together === 1 ? 32 : 128 / together;
      const c = spread(together, 1, vector);
      if (!extents.has('h')) {
        return schedule({ m: spread(partsFor(extent('m'), 1, most), 1, 1), c }, ['c', 'm']);
      }
      // Of rows that are kept apart this axis has few, often one: invocations for more would do nothing.
      const rows = partsThatDivide(extent('m'), most);
      return schedule({ m: spread(rows, 1, 1), h: alone, c }, ['c', 'm']);
    }
    case 'contraction':
      return scheduleContraction(facts, target);
    case 'heads':
      return target.stagingPays && target.workgroupMemory > 0
        ? scheduleHeads(facts, target)
        : scheduleHeadPieces(facts, target);
    case 'attention': {
      const size = extent('d').constant;
      if (size === undefined) {
        throw new Flux2cError('F2C303', 'the head size of an attention must be a number', { found: extent('d').text });
      }
      const shared = scheduleSharedHeads(extent('m'), size, target);
      if (shared !== undefined) return shared;
      if (target.loops !== undefined && size % 4 === 0)
        return scheduleVectorAttention(extent('m'), size, target.loops.vectorRegisters);
      const vector = vectorOf(extent('d'));
      // Keys are unrolled for a GPU's latency; software drivers compile every load to a branch, in seconds for hundreds.
      // A query and its output live in the registers of one invocation: 2 · size floats.
      const rows = partsFor(extent('m'), 1, 32);
      return schedule(
        {
          m: spread(rows, 1, 1),
          h: alone,
          z: alone,
          d: spread(1, size / vector, vector),
          j: spread(1, target.stagingPays ? 4 : 1, 1),
        },
        ['m', 'h', 'z'],
      );
    }
    case 'moments':
      return scheduleMoments(extent('m'), extent('g'), extent('r'), target);
    case 'combination':
      // Sums over a picture's rows are shorter than what a software driver needs for barriers.
      if (target.stagingPays) return scheduleReduction(extent('r'), target);
      return schedule({ m: spread(lanesFor(extent('m'), target), 1, 1), r: alone }, ['m', 'r']);
    case 'reduction':
      return scheduleReduction(extent('r'), target);
  }
}

function scheduleReduction(r: Dim, target: Target): Schedule {
  const vector = vectorOf(r);
  const together = target.workgroupMemory > 0 ? partsFor(r, vector, 64) : 1;
  return schedule({ m: alone, r: spread(together, 1, vector) }, ['r', 'm']);
}

/** Groups are neighbours in memory: four of them read whole cache lines, where one reads a vector of each. */
function scheduleMoments(m: Dim, g: Dim, r: Dim, target: Target): Schedule {
  const vector = vectorOf(r);
  const groups = partsFor(g, 1, 4);
  if (target.workgroupMemory > 0 && target.stagingPays) {
    const together = partsFor(r, vector, 64 / groups);
    const spreads = { m: alone, g: spread(groups, 1, 1), r: spread(together, 1, vector) };
    return schedule(spreads, ['r', 'g', 'm']);
  }
  // In software a row is long enough for one invocation: with barriers it took several times as long (lavapipe). Drivers take long to
  // compile a load, and load no cache lines.
  const each = target.workgroupMemory > 0 ? 1 : groups;
  const spreads = { m: spread(lanesFor(m, target), 1, 1), g: spread(1, each, 1), r: spread(1, 1, vector) };
  return schedule(spreads, ['m', 'g', 'r']);
}

/**
 * A query's head over the 32 lanes of a subgroup, which add up its scores by exchanges: heads too wide for the registers of one
 * invocation. Four queries a subgroup read a key once.
 */
function scheduleSharedHeads(queries: Dim, size: number, { matrix, subgroups }: Target): Schedule | undefined {
  if (matrix === undefined || (matrix === 'subgroup' && (subgroups?.min !== 32 || subgroups.max !== 32)))
    return undefined;
  const vector = size % 128 === 0 ? 4 : size % 64 === 0 ? 2 : undefined;
  if (vector === undefined) return undefined;
  const spreads = {
    m: spread(partsFor(queries, 4, 4), 4, 1),
    h: alone,
    z: alone,
    d: spread(32, size / (32 * vector), vector),
    j: alone,
  };
  // Only CUDA says which invocation is which lane.
  return { ...schedule(spreads, ['d', 'm']), subgroupSize: 32, ...(matrix === 'subgroup' && { bySubgroups: true }) };
}

/**
 * 4 or 2 rows × 4 columns an invocation; partial sums run along k where it is a multiple of 4. Two products have 2 columns each, or 4 a lane
 * at a time, so that there are as many sums at once as of one. `inPairs`: neighbouring columns are in one vector.
 */
function scheduleContraction(facts: KernelFacts, target: Target, inPairs = false): Schedule {
  const extents = new Map(facts.axes.map((axis) => [axis.name, axis.extent]));
  const m = extents.get('m') as Dim;
  const n = extents.get('n') as Dim;
  const k = extents.get('k') as Dim;
  if (target.loops !== undefined && facts.rightRows === true && vectorOf(n) === 4) return scheduleRows(facts);
  const depth = vectorOf(k);
  const products = facts.products ?? 1;
  // A number of the right factor that is widened serves four rows then: fewer are.
  const isTall = target.loops !== undefined && facts.widensRight === true && products === 1 && !facts.section;
  // Decoding costs as much as several products, so that one column of more rows is best.
  const isDecoded = target.loops !== undefined && facts.encoding !== undefined && !inPairs;
  // Sums of few lanes at a time fill the registers of a processor, and what is made of them are whole vectors.
  const apart = target.loops !== undefined && (isTall || products > 1) && vectorOf(n) === 4 && vectorOf(k) === 4;
  const few = !apart && products > 1 && vectorOf(n) === 4 ? 2 : vectorOf(n);
  const columns = isDecoded && !apart ? 1 : few;
  // A CPU has 16 vector registers: 2 × 4 partial sums at once and their operands fit, as 4 × 2 do, 4 × 4 spill (measured: half the
  // speed in WebAssembly, 0.8 of it and twice the compile time in a software Vulkan driver).
  const wanted = target.stagingPays || apart ? 4 : 2;
  const rows = isDecoded ? Math.max(1, Math.floor(8 / products)) : wanted;
  const rowRegisters = m.constant !== undefined && m.constant < 4 ? 1 : rows;
  // On a processor a tile's columns past the end are work like others.
  const whole = target.loops === undefined || !n.isMultipleOf(columns) ? undefined : n.divideExactly(columns);
  const columnThreads =
    whole !== undefined && whole.isMultipleOf(2) ? partsThatDivide(whole, 8) : partsFor(n, columns, 8);
  const rowThreads = partsFor(
    m,
    rowRegisters,
    Math.min(isDecoded ? 4 : 8, target.maxWorkgroupInvocations / columnThreads),
  );
  const batch = extents.has('z') ? { z: alone } : {};
  const batched = extents.has('z') ? ['z'] : [];
  const chosen = schedule(
    {
      m: spread(rowThreads, rowRegisters, 1),
      n: spread(columnThreads, 1, columns),
      k: depthOfCodes(facts) ?? { ...spread(1, 1, depth), ...(target.loops !== undefined && sectionOf(facts, depth)) },
      ...batch,
    },
    target.stagingPays ? ['n', 'm', ...batched] : ['m', 'n', ...batched],
    target.stagingPays ? 2 : 1,
  );
  return apart ? { ...chosen, lanesTogether: products > 1 || isDecoded ? 1 : 2 } : chosen;
}

/**
 * Whole heads a workgroup: invocations side by side have 4 columns of a head each (or as many more as are left), so that
 * neighbours are in one vector, and sum up squares through workgroup memory.
 */
function scheduleHeads(facts: KernelFacts, target: Target): Schedule {
  const extents = new Map(facts.axes.map((axis) => [axis.name, axis.extent]));
  const [m, d, k] = ['m', 'd', 'k'].map((name) => extents.get(name)) as [Dim, Dim, Dim];
  const size = d.constant ?? 0;
  const vectors = size / 4;
  let together = 1;
  while (together < 32 && vectors % (2 * together) === 0) together *= 2;
  const rowThreads = partsFor(m, 4, Math.min(8, target.maxWorkgroupInvocations / together));
  return schedule(
    {
      m: spread(rowThreads, m.constant !== undefined && m.constant < 4 ? 1 : 4, 1),
      h: alone,
      d: spread(together, vectors / together, 4),
      k: depthOfCodes(facts) ?? spread(1, 1, vectorOf(k)),
    },
    ['d', 'm'],
    2,
  );
}

/**
 * Heads in pieces of as many columns as a plain product's invocation has: a software driver's registers do not hold a head, and its
 * barriers cost more than reading sums back. No two invocations share a head.
 */
function scheduleHeadPieces(facts: KernelFacts, target: Target): Schedule {
  const axes = facts.axes
    .filter(({ name }) => name !== 'h')
    .map((axis): AxisFacts => (axis.name === 'd' ? { ...axis, name: 'n', kind: 'grid_y' } : axis));
  const { spread: spreads, ...product } = scheduleContraction({ ...facts, family: 'contraction', axes }, target, true);
  const { m, n, k } = spreads as Readonly<Record<'m' | 'n' | 'k', AxisSpread>>;
  const order = product.threadOrder.filter((name) => name !== 'n');
  return { ...product, spread: { m, h: alone, d: { ...n, threads: 1 }, k }, threadOrder: order };
}

function spread(threads: number, registers: number, vector: 1 | 2 | 4): AxisSpread {
  return { threads, registers, vector };
}

function schedule(spreads: Readonly<Record<string, AxisSpread>>, threadOrder: readonly string[], unroll = 1): Schedule {
  return { spread: spreads, threadOrder, unroll };
}

function vectorOf(extent: Dim): 1 | 4 {
  return extent.isMultipleOf(4) ? 4 : 1;
}

/** Invocations that a driver in software computes as a vector; without workgroup memory they are iterations of a loop. */
function lanesFor(extent: Dim, target: Target): number {
  return target.workgroupMemory > 0 ? partsFor(extent, 1, 8) : 1;
}
