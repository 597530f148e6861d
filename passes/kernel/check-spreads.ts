import type { Target } from '../../backends/target.js';
import { Flux2cError } from '../../ir/diagnostics.js';
import { type AxisSpread, type Schedule, threadsOfPart } from '../../ir/kernel/tile.js';
import type { AxisFacts, KernelFacts } from './from-group/facts.js';
import { workgroupSizeOf } from './lower/lower-tile.js';

/** Throws F2C304 about an axis, or about all of them (''). */
export type Reject = (axis: string, message: string, expected: string, found: string) => never;

export function rejectFor(kernel: string): Reject {
  return (axis, message, expected, found) => {
    throw new Flux2cError('F2C304', message, {
      where: [`kernel ${kernel}`, ...(axis === '' ? [] : [`axis ${axis}`])],
      expected,
      found,
      hint: 'Leave the schedule out to get the chosen one.',
    });
  };
}

/** A workgroup's tile is small; more registers, steps or threads than these only keep compilers busy. */
const mostOfAxis = 4096;
const mostUnrolled = 64;

/**
 * Checks what a schedule that was not chosen here (a tuner's, a user's) says of its axes, before a kernel is built under it.
 *
 * @throws F2C304 an axis too many or without a spread, numbers that are none, vectors that do not divide an extent, a tile that is not all
 *   of an axis that must be whole, a thread order that does not fit, more invocations than the target has, fields that do not go together
 */
export function checkSpreads(facts: KernelFacts, schedule: Schedule, target: Target, kernel: string): void {
  const reject = rejectFor(kernel);
  const { spread, threadOrder, unroll, matrix } = schedule;
  const names = facts.axes.map(({ name }) => name);
  const unknown = Object.keys(spread).find((name) => !names.includes(name));
  if (unknown !== undefined) reject(unknown, 'the kernel has no such axis', names.join(', '), unknown);
  for (const axis of facts.axes) {
    const own = spread[axis.name];
    if (own === undefined) return reject(axis.name, 'the schedule lacks an axis', 'a spread', 'none');
    checkNumbers(axis, own, reject);
    // Heads may be walked in pieces, what attention keeps of a query may not.
    if (axis.kind === 'whole' && facts.family !== 'heads' && axis.extent.constant !== tileOf(own)) {
      reject(axis.name, 'the tile of an axis must be all of it', axis.extent.text, `${tileOf(own)}`);
    }
  }
  if (!Number.isInteger(unroll) || unroll < 1 || unroll > mostUnrolled) {
    reject('', 'a loop cannot be unrolled so often', `1 to ${mostUnrolled} times`, `${unroll}`);
  }
  checkOrder(names, schedule, reject);
  const invocations = workgroupSizeOf(schedule);
  if (invocations > target.maxWorkgroupInvocations) {
    reject('', 'too many invocations in a workgroup', `at most ${target.maxWorkgroupInvocations}`, `${invocations}`);
  }
  if (schedule.bySubgroups === true) checkCounting(schedule, reject);
  if (matrix === undefined) checkSubgroups(schedule, target, reject);
  for (const axis of facts.axes) checkFields(axis, facts, schedule, target, reject);
  const isWalked = Object.values(spread).some(({ walked }) => walked === true);
  if (isWalked && (invocations > 1 || threadOrder.some((name) => spread[name]?.rolled === true))) {
    reject('', 'what is walked is in memory of one invocation', 'one invocation', `${invocations} invocations`);
  }
}

function tileOf({ groups = 1, threads, registers, vector }: AxisSpread): number {
  return groups * threads * registers * vector;
}

function checkNumbers({ name, kind, extent }: AxisFacts, own: AxisSpread, reject: Reject): void {
  const { threads, registers, vector, groups = 1 } = own;
  for (const [what, value] of Object.entries({ threads, registers, groups })) {
    if (!Number.isInteger(value) || value < 1 || value > mostOfAxis) {
      reject(name, `an axis has no such number of ${what}`, `1 to ${mostOfAxis}`, `${value}`);
    }
  }
  if (![1, 2, 4].includes(vector)) reject(name, 'there are no such vectors', '1, 2 or 4 lanes', `${vector}`);
  // Along a loop, lanes past the end are looked at one by one.
  if (kind !== 'loop' && !extent.isMultipleOf(vector)) {
    reject(name, 'vectors do not divide an extent', `a divisor of ${extent.text}`, `${vector}`);
  }
}

function checkOrder(names: readonly string[], { spread, threadOrder, matrix }: Schedule, reject: Reject): void {
  const parts = names.flatMap((name) => [name, `${name}.groups`]);
  const order = threadOrder.join(', ');
  for (const part of threadOrder) {
    if (!parts.includes(part)) reject('', 'the thread order has what is no axis', names.join(', '), part);
  }
  if (new Set(threadOrder).size < threadOrder.length) reject('', 'the thread order repeats itself', 'each once', order);
  for (const name of names) {
    const { threads = 1, groups = 1, threadsOf } = spread[name] ?? {};
    if (groups > 1 && !threadOrder.includes(`${name}.groups`)) {
      reject(name, 'the thread order lacks the groups of an axis', `${name}.groups`, order);
    }
    if (threads > 1 && !threadOrder.includes(threadsOf ?? name)) {
      reject(name, 'the thread order lacks an axis', name, order);
    }
    if (matrix === undefined && (groups > 1 || threadsOf !== undefined)) {
      reject(name, 'groups and shared threads are of matrix fragments', 'neither', `groups ${groups}`);
    }
  }
}

/** Parts that are counted by lanes are all of a subgroup, and the others are counted by subgroups. */
function checkCounting(schedule: Schedule, reject: Reject): void {
  const { threadOrder, subgroupSize = 0 } = schedule;
  let lanes = 1;
  for (const part of threadOrder) if (lanes < subgroupSize) lanes *= threadsOfPart(schedule, part);
  const grouped = threadOrder.findIndex((part) => part.endsWith('.groups'));
  const before = (grouped < 0 ? threadOrder : threadOrder.slice(0, grouped)).reduce((all, part) => all * threadsOfPart(schedule, part), 1); // prettier-ignore
  if (lanes === subgroupSize && (grouped < 0 || before >= subgroupSize)) return;
  reject('', 'a part of the thread order reaches past a subgroup', `parts of ${subgroupSize} lanes, then others`, threadOrder.join(', ')); // prettier-ignore
}

/** Lanes exchange numbers where the target's subgroups have one size, and where a lane's number is known. */
function checkSubgroups(schedule: Schedule, target: Target, reject: Reject): void {
  const { spread, threadOrder, subgroupSize } = schedule;
  const { subgroups } = target;
  const dealt = Object.entries(spread).flatMap(([axis, { dealtTo }]) =>
    dealtTo === undefined ? [] : [{ axis, dealtTo }],
  );
  if (subgroupSize === undefined) {
    const [first] = dealt;
    if (first) reject(first.axis, 'registers are dealt out without a subgroup', 'a subgroup size', 'none');
    return;
  }
  if (subgroups === undefined || subgroups.min !== subgroups.max || subgroups.max !== subgroupSize) {
    const expected = subgroups === undefined ? 'none' : `${subgroups.min} to ${subgroups.max}`;
    reject('', 'the target has no subgroups of one such size', expected, `${subgroupSize}`);
  }
  const threads = [...new Set(threadOrder.filter((part) => (spread[part]?.threads ?? 1) > 1))];
  for (const { axis, dealtTo } of dealt) {
    const lanes = spread[dealtTo]?.threads;
    if (lanes !== subgroupSize || threads.length > 1) {
      const found = `${dealtTo} of ${lanes ?? 'no'} threads, of ${threads.join(', ')}`;
      reject(axis, 'registers are dealt to what is no subgroup', `an axis of ${subgroupSize} threads, alone`, found);
    }
    if (spread[axis]?.threads !== 1) reject(axis, 'dealt registers are of one thread', '1', `${spread[axis]?.threads}`);
  }
  // Elsewhere lanes may have other numbers than invocations.
  const isCounted = schedule.bySubgroups === true || target.matrix === 'mma' || target.matrix === 'wgmma';
  if (dealt.length === 0 && !isCounted) {
    reject('', 'the target does not say which invocation is which lane', 'no subgroup size', `${subgroupSize}`);
  }
}

function checkFields(
  axis: AxisFacts,
  { encoding }: KernelFacts,
  schedule: Schedule,
  target: Target,
  reject: Reject,
): void {
  const { name, kind, extent } = axis;
  const own = schedule.spread[name] as AxisSpread;
  const { dealtTo, rolled, walked, section } = own;
  const special = Object.entries({ dealtTo, rolled, walked, section }).filter(([, value]) => value !== undefined);
  if (special.length === 0) return;
  const [[field]] = special as [[string, unknown]];
  if (schedule.matrix !== undefined) reject(name, 'matrix fragments have no such axis', `no ${field}`, field);
  if (dealtTo !== undefined && kind === 'loop') reject(name, 'a loop deals no registers out', 'no dealtTo', dealtTo);
  if (walked === true) {
    if (target.loops === undefined) reject(name, 'the target has no memory of an invocation', 'not walked', 'walked');
    const fits = kind === 'whole' && own.threads === 1 && rolled !== true && dealtTo === undefined;
    if (!fits) reject(name, 'only a whole axis of one thread is walked', 'threads 1, nothing else', kind);
  }
  if (section === undefined) return;
  const others = Object.values(schedule.spread).some((spread) => spread.dealtTo !== undefined);
  const tile = tileOf(own);
  const fits = Number.isInteger(section) && section > 0 && section % tile === 0 && extent.isMultipleOf(section);
  if (kind !== 'loop' || own.threads !== 1 || !fits) {
    reject(name, 'sections do not divide a loop', `of a multiple of ${tile} that divides ${extent.text}`, `${section}`);
  }
  // In a branch on what one lane sees, others could not give it anything; nothing is guarded in products with encoded weights.
  if (others && encoding === undefined)
    reject(name, 'sections do not go with registers that are dealt out', 'no section', `${section}`);
}
