import type { Target } from '../../backends/target.js';
import { Flux2cError } from '../../ir/diagnostics.js';
import type { Axis, AxisSpread, Schedule, TileKernel, TileStatement } from '../../ir/kernel/tile.js';
import { flattenTileStatements } from '../../ir/kernel/tile-walk.js';
import { withTiles } from './from-group/build-kernel.js';
import { canMultiplyMatrices } from './lower/can-multiply.js';
import { lowerTile, workgroupSizeOf } from './lower/lower-tile.js';

/**
 * Checks a schedule that was not chosen here (a tuner's, a user's) against the kernel it is for.
 *
 * @throws F2C304 an axis without a spread, a vector that does not divide its extent, an axis spread over invocations that
 *   or groups that the thread order lacks, more invocations than the target has, a reduced axis that is not first or no power of two,
 *   products of matrices that the target or the kernel does not have, tiles in memory that the target lacks, sections that do not divide
 *   an axis
 */
export function checkSchedule(kernel: TileKernel, schedule: Schedule, target: Target): void {
  const reject = (axis: string, message: string, expected: string, found: string): never => {
    throw new Flux2cError('F2C304', message, {
      where: [`kernel ${kernel.name}`, `axis ${axis}`],
      expected,
      found,
      hint: 'Leave the schedule out to get the chosen one.',
    });
  };
  const reduced = new Set(kernel.body.flatMap(reducedAxes));
  for (const axis of kernel.axes) {
    const spread = schedule.spread[axis.name];
    if (spread === undefined) return reject(axis.name, 'the schedule lacks an axis', 'a spread', 'none');
    const { threads, registers, vector, groups = 1, threadsOf } = spread;
    if (!axis.extent.isMultipleOf(vector)) {
      reject(axis.name, 'vectors do not divide an extent', `a divisor of ${axis.extent.text}`, `${vector}`);
    }
    if (axis.kind === 'whole' && axis.extent.constant !== groups * threads * registers * vector) {
      const tile = groups * threads * registers * vector;
      reject(axis.name, 'the tile of an axis must be all of it', axis.extent.text, `${tile}`);
    }
    checkLoops(axis, spread, target, (message, expected, found) => reject(axis.name, message, expected, found));
    const order = schedule.threadOrder;
    if (groups > 1 && !order.includes(`${axis.name}.groups`)) {
      reject(axis.name, 'the thread order lacks the groups of an axis', `${axis.name}.groups`, order.join(', '));
    }
    if (threads === 1) continue;
    const place = order.indexOf(threadsOf ?? axis.name);
    if (place < 0) reject(axis.name, 'the thread order lacks an axis', axis.name, order.join(', '));
    if (!reduced.has(axis.name) || schedule.subgroupSize !== undefined) continue;
    if (place !== 0 || (threads & (threads - 1)) !== 0) {
      reject(axis.name, 'invocations cannot add up along an axis', 'a power of two, first in order', `${threads}`);
    }
    if (target.workgroupMemory === 0) {
      reject(axis.name, 'the target has no workgroup memory to add up in', '1 thread', `${threads}`);
    }
  }
  const invocations = workgroupSizeOf(schedule);
  if (invocations > target.maxWorkgroupInvocations) {
    reject('', 'too many invocations in a workgroup', `at most ${target.maxWorkgroupInvocations}`, `${invocations}`);
  }
  checkMatrices(kernel, schedule, target, (message, expected, found) => reject('', message, expected, found));
}

/** Tiles in memory and sections of a loop. */
function checkLoops(
  { kind, extent, name }: Axis,
  { threads, registers, vector, walked, section }: AxisSpread,
  target: Target,
  reject: Reject,
): void {
  if (walked === true && (kind !== 'whole' || threads > 1)) {
    reject('only a whole axis of one thread can be walked', 'a whole axis', `${kind}, ${threads} threads`);
  }
  if (walked === true && target.loops === undefined) {
    reject('the target has no memory of an invocation for tiles', 'registers', `tiles over ${name} in memory`);
  }
  if (section === undefined) return;
  const chunk = threads * registers * vector;
  if (kind !== 'loop' || section < 1 || section % chunk !== 0 || !extent.isMultipleOf(section)) {
    reject('an axis has no such sections', `a multiple of ${chunk} that divides ${extent.text}`, `${section}`);
  }
}

type Reject = (message: string, expected: string, found: string) => never;

/** Fragments of a subgroup of 32: rows over 8 lanes, columns over 4 lanes in pairs, a depth of 16. */
function checkMatrices(kernel: TileKernel, schedule: Schedule, target: Target, reject: Reject): void {
  const { matrix, subgroupSize } = schedule;
  if (matrix === undefined) return;
  if (target.matrix === undefined || (matrix.unit === 'wgmma' && target.matrix !== 'wgmma')) {
    reject('the target multiplies no matrices so', target.matrix ?? 'a schedule without matrices', matrix.unit);
  }
  if (matrix.walk !== undefined && (target.tensorCopies !== true || matrix.unit !== 'wgmma')) {
    reject(
      'the target copies no boxes of tensors for this',
      'a schedule that does not walk',
      `${matrix.unit}, walking`,
    );
  }
  const { stages, walk } = matrix;
  if (!Number.isInteger(stages) || stages < 2 || subgroupSize !== 32) {
    const found = `${stages} stages, subgroups of ${subgroupSize ?? 'any size'}`;
    reject('products of matrices lack stages or subgroups', '2 stages or more, subgroups of 32', found);
  }
  const { block = 1 } = walk ?? {};
  if (!Number.isInteger(block) || block < 1) reject('a walk has no such block of tiles', '1 tile or more', `${block}`);
  const multiplies = [...flattenTileStatements(kernel.body)].some(({ kind }) => kind === 'contract');
  if (!multiplies || !canMultiplyMatrices(withTiles(kernel, schedule), schedule, target)) {
    const expected = 'operands of 16 bits (or 8) whose rows are aligned, spread as fragments are';
    reject('the kernel multiplies no matrices that this schedule could', expected, describeContractions(kernel));
  }
  const { shared } = lowerTile(withTiles(kernel, schedule), schedule);
  const bytes = shared.reduce((sum, { type, length }) => sum + 4 * type.lanes * length, 0);
  if (bytes > target.workgroupMemory) {
    reject('stages of operands do not fit the workgroup memory', `at most ${target.workgroupMemory} bytes`, `${bytes}`);
  }
}

function describeContractions({ body }: TileKernel): string {
  const over = body.flatMap(reducedAxes);
  return over.length === 0 ? 'no contraction' : `sums over ${over.join(', ')}`;
}

function reducedAxes(statement: TileStatement): readonly string[] {
  if (statement.kind === 'for') return statement.body.flatMap(reducedAxes);
  return statement.kind === 'reduce' || statement.kind === 'contract' ? [statement.over] : [];
}
