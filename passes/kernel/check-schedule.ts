import type { Target } from '../../backends/target.js';
import { bytesOfVector } from '../../ir/kernel/bytes.js';
import type { SubgroupProduct, ThreadKernel } from '../../ir/kernel/thread.js';
import { storageBytes } from '../../ir/kernel/thread-interpret-memory.js';
import type { Schedule, TileExpression, TileKernel, TileStatement } from '../../ir/kernel/tile.js';
import { expressionsOfTile, flattenTileStatements, walkTileExpressions } from '../../ir/kernel/tile-walk.js';
import { type Reject, rejectFor } from './check-spreads.js';
import { canMultiply } from './lower/can-multiply.js';
import { lowerTile } from './lower/lower-tile.js';
import { threadsOfPart } from '../../ir/kernel/tile.js';

/** Numbers that an invocation holds of a tile, and products in the body of a loop: more only keep compilers busy. */
const mostRegisters = 1024;
const mostProducts = 16384;

/**
 * Checks a kernel that was built under a schedule that was not chosen here, after `checkSpreads`. What is accepted computes what the
 * chosen schedule does.
 *
 * @throws F2C304 vectors along an axis that is not the last of a tile, partners that are not in one vector, invocations that cannot add
 *   up, products of matrices that the target or the kernel does not have, bytes by another number than 16, stores of less than a word,
 *   more registers or memory than there are
 */
export function checkSchedule(kernel: TileKernel, schedule: Schedule, target: Target): void {
  const reject = rejectFor(kernel.name);
  checkTiles(kernel, schedule, reject);
  if (schedule.staged === true) checkStaged(kernel, schedule, reject);
  checkBytes(kernel, schedule, reject);
  if (schedule.matrix === undefined) {
    checkSums(kernel, schedule, target, reject);
    checkWalks(kernel, schedule, reject);
  } else checkMatrices(kernel, schedule, target, reject);
  const thread = lowerTile(kernel, schedule);
  checkStores(thread, target, reject);
  checkMemory(thread, schedule, target, reject);
}

function checkTiles({ axes, body }: TileKernel, schedule: Schedule, reject: Reject): void {
  const { spread, unroll, matrix } = schedule;
  const stores = [...flattenTileStatements(body)].filter((statement) => statement.kind === 'store');
  for (const { name, kind, tile, extent } of axes) {
    const { vector = 1 } = spread[name] ?? {};
    if (!extent.isMultipleOf(vector) && stores.some((store) => store.axes.includes(name))) {
      reject(name, 'vectors do not divide an extent', `a divisor of ${extent.text}`, `${vector}`);
    }
    if (tile === 1 || !kind.startsWith('grid') || stores.every((store) => store.axes.includes(name))) continue;
    reject(name, 'a workgroup has one place of an axis that no tile is over', '1', `${tile}`);
  }
  const tiles = new Map<string, readonly string[]>();
  for (const statement of flattenTileStatements(body)) {
    if (statement.kind === 'tile') tiles.set(statement.name, statement.axes);
    // What is added up along another axis is one number, not a vector.
    const summed = statement.kind === 'reduce' && matrix === undefined ? (tiles.get(statement.name) ?? []) : [];
    for (const axis of summed) {
      const { vector = 1 } = spread[axis] ?? {};
      if (vector > 1) reject(axis, 'vectors lie along another axis than sums', '1 lane', `${vector}`);
    }
    walkTileExpressions(expressionsOfTile(statement), (part: TileExpression) => {
      if (part.kind !== 'exchange' || matrix !== undefined) return;
      const vector = spread[part.axis]?.vector ?? 1;
      if (part.mask >= vector) {
        reject(part.axis, 'partners are not in one vector', `more than ${part.mask} lanes`, `${vector}`);
      }
    });
    if (statement.kind !== 'tile' && statement.kind !== 'store') continue;
    for (const axis of statement.axes.slice(0, -1)) {
      const vector = spread[axis]?.vector ?? 1;
      if (vector > 1) reject(axis, 'vectors lie along another axis', `1 lane`, `${vector}`);
    }
    const held = product(
      statement.axes.filter((axis) => spread[axis]?.walked !== true).map((axis) => numbersOf(schedule, axis)),
    );
    if (held > mostRegisters)
      reject('', 'an invocation has not so many registers', `at most ${mostRegisters}`, `${held}`);
    const deepest = Math.max(1, ...contractedAxes(body).map((axis) => numbersOf(schedule, axis)));
    if (held * deepest * unroll > mostProducts) {
      reject('', 'a loop has too many products', `at most ${mostProducts}`, `${held * deepest * unroll}`);
    }
  }
}

/** Vectors of bytes are four neighbouring registers of an invocation, and a chunk is whole vectors that the axis has room for. */
function checkBytes({ axes, body }: TileKernel, { spread, widensBytes, dots, staged }: Schedule, reject: Reject): void {
  const step = widensBytes === true ? 4 : bytesOfVector;
  for (const statement of flattenTileStatements(body)) {
    if (statement.kind !== 'contract' || statement.inBytes !== true) continue;
    if (widensBytes === true && (dots !== true || staged === true)) {
      reject('', 'bytes are widened for sums of dot products alone', 'dots, not staged', 'others');
    }
    const { over } = statement;
    const { threads = 1, registers = 1, vector = 1, section, rolled, walked, dealtTo } = spread[over] ?? {};
    const extent = axes.find(({ name }) => name === over)?.extent;
    const tile = registers * vector;
    const isOdd = section !== undefined || rolled === true || walked === true || dealtTo !== undefined;
    if (threads === 1 && vector === 4 && tile % step === 0 && extent?.isMultipleOf(tile) === true && !isOdd) continue;
    const expected = `1 thread, vectors of 4, registers that are multiples of ${step / 4} and divide ${extent?.text ?? 'the axis'}`;
    reject(over, 'bytes are multiplied in other vectors', expected, `${threads} threads, ${registers} registers of ${vector}${isOdd ? ', in sections or walked' : ''}`); // prettier-ignore
  }
}

/** Factors in workgroup memory are vectors along a contracted axis that one invocation has, and all of a chunk are multiplied in one loop. */
function checkStaged(kernel: TileKernel, schedule: Schedule, reject: Reject): void {
  const { spread, matrix, columnsApart, lanesTogether, unroll, dots } = schedule;
  const odd = Object.entries(spread).find(
    ([, { rolled, walked, section, dealtTo, groups }]) => rolled ?? walked ?? section ?? dealtTo ?? groups,
  );
  const isApart = columnsApart === true || lanesTogether !== undefined;
  if (matrix !== undefined || isApart || unroll !== 1 || dots !== true || odd !== undefined) {
    reject(odd?.[0] ?? '', 'factors in workgroup memory go with sums of dot products alone', 'nothing else', 'more');
  }
  for (const axis of contractedAxes(kernel.body)) {
    const { threads = 1, vector = 1 } = spread[axis] ?? {};
    if (threads > 1 || vector !== 4) {
      reject(axis, 'factors in workgroup memory are vectors of one invocation', '1 thread, vectors of 4', `${threads} threads, ${vector} lanes`); // prettier-ignore
    }
  }
  if (contractedAxes(kernel.body).length === 0 || !canMultiply(kernel, schedule, { workgroupMemory: Infinity })) {
    reject('', 'the kernel has no factors that workgroup memory could hold', 'vectors along an axis of known length', describeContractions(kernel)); // prettier-ignore
  }
}

function numbersOf({ spread }: Schedule, axis: string): number {
  const { registers = 1, vector = 1 } = spread[axis] ?? {};
  return registers * vector;
}

function product(factors: readonly number[]): number {
  return factors.reduce((all, factor) => all * factor, 1);
}

/** Invocations add up in a subgroup, or through workgroup memory once a kernel: its barriers do not part one round of a loop from the next. */
function checkSums({ body }: TileKernel, schedule: Schedule, target: Target, reject: Reject): void {
  const { spread, threadOrder, subgroupSize = 1 } = schedule;
  for (const { over, inLoop } of sumsOf(body, false)) {
    const { threads = 1 } = spread[over] ?? {};
    if (threads === 1) continue;
    const place = threadOrder.indexOf(over);
    const isPower = (threads & (threads - 1)) === 0;
    const stride = product(threadOrder.slice(0, place).map((part) => threadsOfPart(schedule, part)));
    if (isPower && (stride & (stride - 1)) === 0 && stride * threads <= subgroupSize) continue;
    if (place !== 0 || !isPower) {
      reject(over, 'invocations cannot add up along an axis', 'a power of two, first in order', `${threads}`);
    }
    if (target.workgroupMemory === 0) {
      reject(over, 'the target has no workgroup memory to add up in', '1 thread', `${threads}`);
    }
    if (inLoop) reject(over, 'invocations cannot add up in a loop', '1 thread', `${threads}`);
  }
}

function sumsOf(
  body: readonly TileStatement[],
  inLoop: boolean,
): readonly { readonly over: string; readonly inLoop: boolean }[] {
  return body.flatMap((statement) => {
    if (statement.kind === 'for') return sumsOf(statement.body, true);
    return statement.kind === 'reduce' || statement.kind === 'contract' ? [{ over: statement.over, inLoop }] : [];
  });
}

function contractedAxes(body: readonly TileStatement[]): readonly string[] {
  return [...flattenTileStatements(body)].flatMap((statement) =>
    statement.kind === 'contract' ? [statement.over] : [],
  );
}

/** Tiles in memory are multiplied along the walked axis or across it, and sections are of what a product adds up. */
function checkWalks({ axes, body }: TileKernel, { spread }: Schedule, reject: Reject): void {
  const contracted = contractedAxes(body);
  for (const { name, kind } of axes) {
    const { walked, section, dealtTo } = spread[name] ?? {};
    if (walked === true && !contracted.includes(name)) {
      reject(name, 'only an axis that products are added up along is walked', contracted.join(', '), name);
    }
    if (section !== undefined && !contracted.includes(name)) {
      reject(name, 'only an axis that products are added up along has sections', contracted.join(', '), name);
    }
    if (dealtTo !== undefined && kind === 'loop') {
      reject(name, 'a loop deals no registers out', 'a tile that is all of the axis', 'a part of it');
    }
  }
}

/** Where memory is made of words, nothing less is stored. */
function checkStores({ buffers }: ThreadKernel, { narrowStores }: Target, reject: Reject): void {
  for (const { name, storage, lanes, access } of buffers) {
    if (access === 'read' || narrowStores === true || lanes * storageBytes(storage) >= 4) continue;
    reject('', `a store to ${name} is narrower than a word`, `${4 / storageBytes(storage)} lanes`, `${lanes}`);
  }
}

function checkMemory({ shared }: ThreadKernel, schedule: Schedule, target: Target, reject: Reject): void {
  const bytes = shared.reduce((sum, { type, length }) => sum + 4 * type.lanes * length, 0);
  const isWalked = Object.values(schedule.spread).some(({ walked }) => walked === true);
  const most = isWalked ? (target.loops?.memoryBytes ?? 0) : target.workgroupMemory;
  if (bytes <= most) return;
  const what = schedule.matrix === undefined ? 'tiles and sums' : 'stages of operands';
  reject('', `${what} do not fit the workgroup memory`, `at most ${most} bytes`, `${bytes}`);
}

/** Fragments of a subgroup of 32: rows over 8 lanes, columns over 4 lanes in pairs, a depth of 16. */
function checkMatrices(kernel: TileKernel, schedule: Schedule, target: Target, rejectAxis: Reject): void {
  const reject = (message: string, expected: string, found: string): never => rejectAxis('', message, expected, found);
  const { matrix } = schedule;
  if (matrix === undefined) return;
  const isOther = target.matrix === 'subgroup' ? matrix.unit !== 'subgroup' : matrix.unit === 'subgroup';
  if (target.matrix === undefined || isOther || (matrix.unit === 'wgmma' && target.matrix !== 'wgmma')) {
    reject('the target multiplies no matrices so', target.matrix ?? 'a schedule without matrices', matrix.unit);
  }
  if (matrix.walk !== undefined && (target.tensorCopies !== true || matrix.unit !== 'wgmma')) {
    reject(
      'the target copies no boxes of tensors for this',
      'a schedule that does not walk',
      `${matrix.unit}, walking`,
    );
  }
  if (matrix.unit === 'subgroup') checkFactors(schedule, target, reject);
  else checkStages(schedule, reject);
  const multiplies = [...flattenTileStatements(kernel.body)].some(({ kind }) => kind === 'contract');
  if (!multiplies || !canMultiply(kernel, schedule, target)) {
    const expected = 'operands of 16 bits (or 8) whose rows are aligned, spread as fragments are';
    reject('the kernel multiplies no matrices that this schedule could', expected, describeContractions(kernel));
  }
}

type RejectAll = (message: string, expected: string, found: string) => never;

/** Matrices of a subgroup of the target's size, as it multiplies them. */
function checkFactors({ matrix, subgroupSize, bySubgroups }: Schedule, target: Target, reject: RejectAll): void {
  const { subgroups, subgroupProduct } = target;
  const sizeOf = (product: SubgroupProduct | undefined): string =>
    product === undefined ? 'none' : `${product.rows}x${product.columns}x${product.depth}`;
  if (sizeOf(matrix?.product) !== sizeOf(subgroupProduct)) {
    reject('the target multiplies no matrices of this size', sizeOf(subgroupProduct), sizeOf(matrix?.product));
  }
  if (bySubgroups !== true) reject('matrices of subgroups are found by their numbers', 'bySubgroups', 'none');
  if (subgroups?.min !== subgroupSize || subgroups?.max !== subgroupSize || matrix?.stages !== 1) {
    const found = `${matrix?.stages ?? 0} stages, subgroups of ${subgroupSize ?? 'any size'}`;
    reject(
      'products of matrices have other stages or subgroups',
      `1 stage, subgroups of ${subgroups?.max ?? 0}`,
      found,
    );
  }
}

function checkStages({ matrix, subgroupSize }: Schedule, reject: RejectAll): void {
  const { stages = 0, walk } = matrix ?? {};
  if (!Number.isInteger(stages) || stages < 2 || subgroupSize !== 32) {
    const found = `${stages} stages, subgroups of ${subgroupSize ?? 'any size'}`;
    reject('products of matrices lack stages or subgroups', '2 stages or more, subgroups of 32', found);
  }
  const { block = 1 } = walk ?? {};
  if (!Number.isInteger(block) || block < 1) reject('a walk has no such block of tiles', '1 tile or more', `${block}`);
}

function describeContractions({ body }: TileKernel): string {
  const over = sumsOf(body, false).map((sum) => sum.over);
  return over.length === 0 ? 'no contraction' : `sums over ${over.join(', ')}`;
}
