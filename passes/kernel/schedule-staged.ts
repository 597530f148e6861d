import type { Target } from '../../backends/target.js';
import type { Dim } from '../../ir/dim.js';
import { bytesOfVector } from '../../ir/kernel/bytes.js';
import type { AxisSpread, Schedule } from '../../ir/kernel/tile.js';
import { alone } from './axis-spreads.js';
import type { KernelFacts } from './from-group/facts.js';
import { vectorPitch } from './lower/share-rows.js';

/** Numbers along the contracted axis that are in workgroup memory at once. */
const chunk = 16;
const perInvocation = 8;

/**
 * A GPU's products in f32: 8 by 8 sums an invocation, whose factors all invocations bring into workgroup memory together. So a number is read from
 * memory once for 64 or 128 rows, and from workgroup memory once for 8. Neighbouring invocations have neighbouring columns.
 *
 * Only where two workgroups have room at once, so that one computes while the other waits: not for the 16 KiB of adapters that nobody knows,
 * which may be drivers in software (lavapipe compiled the embedded model's kernels for five times as long).
 */
export function scheduleStaged(facts: KernelFacts, target: Target): readonly Schedule[] {
  if (!target.stagingPays) return [];
  return listStaged(facts, target).filter(
    (one) => 2 * memoryOf(one, facts) <= target.workgroupMemory && hasManyWorkgroups(one, facts),
  );
}

/** All such schedules that a target can start, the largest first, whether they pay or not. */
export function listStaged(facts: KernelFacts, target: Target): readonly Schedule[] {
  // Heads of two halves are for targets that stage nothing.
  if (facts.encoding !== undefined || (facts.family === 'heads' && (facts.products ?? 1) > 1)) return [];
  const candidates =
    facts.family === 'heads' ? stageHeads(facts) : facts.family === 'contraction' ? stageProduct(facts) : [];
  return candidates
    .map((one): Schedule => ({ ...one, unroll: 1, dots: true, staged: true }))
    .filter((one) => invocationsOf(one) <= target.maxWorkgroupInvocations)
    .filter((one) => memoryOf(one, facts) <= target.workgroupMemory);
}

type Spreads = Pick<Schedule, 'spread' | 'threadOrder'>;

/** Coordinates of a chunk, as many vectors of numbers as of bytes; fewer of these where they do not divide the axis. */
function chunkOf({ inBytes, axes }: KernelFacts): number {
  if (inBytes !== true) return chunk;
  const extent = axes.find(({ name }) => name === 'k')?.extent;
  return [4, 2].map((vectors) => vectors * bytesOfVector).find((size) => extent?.isMultipleOf(size)) ?? bytesOfVector;
}

function depthOf(facts: KernelFacts): AxisSpread {
  return { threads: 1, registers: chunkOf(facts) / 4, vector: 4 };
}

/** Whole heads a workgroup, neighbours of each in one vector, so that it sums up squares and turns pairs by itself. */
function stageHeads(facts: KernelFacts): readonly Spreads[] {
  const extents = new Map(facts.axes.map((axis) => [axis.name, axis.extent]));
  const [rows, size] = [extents.get('m') as Dim, extents.get('d')?.constant ?? 0];
  const threads = size / perInvocation;
  if (!Number.isInteger(threads) || (threads & (threads - 1)) !== 0 || threads > 32) return [];
  return [8, 4].flatMap((together): readonly Spreads[] => {
    if ((rows.constant ?? Infinity) <= (together * perInvocation) / 2) return [];
    const spread = {
      m: { threads: together, registers: perInvocation, vector: 1 } as const,
      h: alone,
      d: { threads, registers: perInvocation / 4, vector: 4 } as const,
      k: depthOf(facts),
    };
    return [{ spread, threadOrder: ['d', 'm'] }];
  });
}

function stageProduct(facts: KernelFacts): readonly Spreads[] {
  const extents = new Map(facts.axes.map((axis) => [axis.name, axis.extent]));
  const [rows, columns] = [extents.get('m') as Dim, extents.get('n') as Dim];
  const products = facts.products ?? 1;
  if (perInvocation % products !== 0) return [];
  return [128, 64, 32].flatMap((size): readonly Spreads[] => {
    const wide = size / products;
    if ((rows.constant ?? Infinity) <= size / 2 || (columns.constant ?? Infinity) <= wide / 2) return [];
    const threads = size / perInvocation;
    const spread = (registers: number): AxisSpread => ({ threads, registers, vector: 1 });
    const spreads = { m: spread(perInvocation), n: spread(perInvocation / products), k: depthOf(facts) };
    return [{ spread: { ...spreads, ...(extents.has('z') && { z: alone }) }, threadOrder: ['n', 'm'] }];
  });
}

/** Tiles of 64 rows or more, and columns for eight of them: of tokens large tiles of few columns would be few. Of pictures there are rows enough. */
function hasManyWorkgroups({ spread }: Schedule, { axes, section }: KernelFacts): boolean {
  const { threads, registers } = spread['n'] ?? { threads: 0, registers: 0 };
  if (spread['n'] === undefined) return true;
  if (threads < 8) return false;
  const columns = axes.find(({ name }) => name === 'n')?.extent.constant ?? Infinity;
  return columns >= (section === undefined ? 8 : 1) * threads * registers;
}

function invocationsOf({ spread, threadOrder }: Schedule): number {
  return threadOrder.reduce((all, axis) => all * (spread[axis]?.threads ?? 1), 1);
}

/** Bytes of workgroup memory. */
function memoryOf(schedule: Schedule, facts: KernelFacts): number {
  const { products = 1, inBytes } = facts;
  const { spread } = schedule;
  const vectors = chunkOf(facts) / (inBytes === true ? bytesOfVector : 4);
  const tile = (axis: string): number => {
    const { threads, registers, vector } = spread[axis] ?? { threads: 0, registers: 0, vector: 1 };
    return threads * registers * vector;
  };
  // Sums of squares pass through it, too: of each row a number an invocation, of up to two norms.
  const sums = spread['d'] === undefined ? 0 : 2 * perInvocation * 4 * invocationsOf(schedule);
  return 16 * vectorPitch(4 * vectors) * (tile('m') + products * tile('n') + tile('d')) + sums;
}
