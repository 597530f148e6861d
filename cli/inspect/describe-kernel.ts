/** What a kernel does and how it is spread, from its tile form. */
import type { Schedule, TileKernel } from '../../ir/kernel/tile.js';
import { describeSchedule } from '../describe-schedule.js';
import { flattenTileStatements } from '../../ir/kernel/tile-walk.js';
import type { InspectedKernel } from './subject.js';

export interface KernelFacts {
  /** `contraction over k = 6144 of f32 and bf16, factors in f16`; empty for kernels of artifacts. */
  readonly what: string;
  /** What a kernel of products multiplies: `f32`, or what its factors are rounded to. Undefined for others and for kernels of artifacts. */
  readonly factors: string | undefined;
  readonly workgroupSize: number;
  /** Bytes of workgroup memory. */
  readonly sharedBytes: number;
  /** Elements of the largest tile that one invocation holds in registers; undefined without a schedule. */
  readonly registers: number | undefined;
  /** The schedule for people (`describeSchedule`); empty for kernels of artifacts. */
  readonly scheduleText: string;
  readonly buffers: number;
}

export function describeKernel({ tile, schedule, thread }: InspectedKernel): KernelFacts {
  return {
    what: tile === undefined ? '' : describeTile(tile),
    factors: tile && factorsOf(tile),
    workgroupSize: thread.workgroupSize,
    sharedBytes: thread.shared.reduce((sum, { type, length }) => sum + 4 * type.lanes * length, 0),
    registers: tile === undefined || schedule === undefined ? undefined : countRegisters(tile, schedule),
    scheduleText: schedule === undefined ? '' : describeSchedule(schedule),
    buffers: thread.buffers.length,
  };
}

function describeTile(tile: TileKernel): string {
  const statements = [...flattenTileStatements(tile.body)];
  const storages = [
    ...new Set(tile.buffers.filter(({ access }) => access === 'read').map(({ storage }) => storage)),
  ].join(' and ');
  const extent = (name: string): string =>
    `${name} = ${tile.axes.find((axis) => axis.name === name)?.extent.text ?? '?'}`;
  const contractions = statements.filter((statement) => statement.kind === 'contract');
  const reductions = statements.filter((statement) => statement.kind === 'reduce');
  const stored = new Set(statements.flatMap((statement) => (statement.kind === 'store' ? [statement.buffer] : [])));
  const results = stored.size === 1 ? '' : `, ${stored.size} results`;
  const of = storages === '' ? '' : ` of ${storages}`;
  const [contraction] = contractions;
  // Scores are multiplied, and the largest is looked for, inside the walk over keys.
  const isAttention = statements.some(
    (statement) =>
      statement.kind === 'for' && statement.body.some((inner) => inner.kind === 'reduce' && inner.operator === 'max'),
  );
  const factors = factorsOf(tile);
  const multiplied = factors === undefined || factors === 'f32' ? '' : `, factors in ${factors}`;
  if (isAttention && contraction !== undefined) return `attention${of}${multiplied}${results}`;
  if (contraction !== undefined) {
    const normalised = reductions.length > 0 ? ', rows normalised' : '';
    return `contraction over ${extent(contraction.over)}${of}${multiplied}${normalised}${results}`;
  }
  const [reduction] = reductions;
  if (reduction !== undefined) {
    const passes = reductions.length === 1 ? '' : `, ${reductions.length} reductions`;
    return `rows over ${extent(reduction.over)}${of}${passes}${results}`;
  }
  return `elementwise${of}${results}`;
}

/** All products of a kernel round theirs alike. */
function factorsOf({ body, buffers }: TileKernel): string | undefined {
  const contraction = [...flattenTileStatements(body)].find((statement) => statement.kind === 'contract');
  if (contraction?.kind !== 'contract') return undefined;
  // Left ones may be in a tile.
  const { b } = contraction;
  if (b.kind === 'convert') return b.to;
  const storage = b.kind === 'load' ? buffers.find(({ name }) => name === b.buffer)?.storage : undefined;
  return storage === 'f8e4m3' || storage === 'i8' ? storage : 'f32';
}

function countRegisters(tile: TileKernel, schedule: Schedule): number {
  let most = 0;
  for (const statement of flattenTileStatements(tile.body)) {
    if (statement.kind !== 'tile') continue;
    const each = statement.axes.map((axis) => {
      const spread = schedule.spread[axis];
      return spread === undefined ? 1 : spread.registers * spread.vector;
    });
    most = Math.max(
      most,
      each.reduce((product, count) => product * count, 1),
    );
  }
  return most;
}
