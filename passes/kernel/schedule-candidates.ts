import type { Target } from '../../backends/target.js';
import type { AxisSpread, Schedule } from '../../ir/kernel/tile.js';
import { chooseSchedule, listSchedules } from './choose-schedule.js';
import type { KernelFacts } from './from-group/facts.js';
import { depthOfCodes } from './schedule-codes.js';
import { scheduleSubgroups } from './schedule-subgroups.js';

/**
 * Schedules worth a try for a kernel, none twice: those that the target, and targets unlike it in one capability, would choose, and the
 * neighbours of `around`, which differ in a step of one or two numbers. Not all of them fit the kernel: `checkSpreads` and `checkSchedule`
 * say which. The chosen schedule is among the first.
 *
 * @param around default: the first that the target would choose if it fits. A tuner begins at the schedule that was chosen, and goes on from the
 *   best so far.
 */
export function listCandidates(facts: KernelFacts, target: Target, around?: Schedule): readonly Schedule[] {
  const chosen = listSchedules(facts, target);
  const others = [
    scheduleSubgroups(facts, { ...target, stagingPays: false }),
    ...[true, false].map((stagingPays) => chooseSchedule(facts, { ...target, stagingPays })),
    chooseSchedule(facts, withoutLoops(target)),
  ];
  const start = around ?? (chosen[0] as Schedule);
  const all = [...chosen, ...others.filter((one) => one !== undefined), ...neighboursOf(start, facts)];
  return [...new Map(all.map((schedule) => [JSON.stringify(schedule), schedule])).values()];
}

function withoutLoops({ loops: _, ...target }: Target): Target {
  return target;
}

/** Fragments have their shapes: only how many stages their operands have, and whether a role of its own copies them, is open. */
function neighboursOf(schedule: Schedule, facts: KernelFacts): readonly Schedule[] {
  const { matrix } = schedule;
  if (matrix?.unit === 'subgroup') return [];
  if (matrix !== undefined) {
    const { walk: _, ...others } = matrix;
    return [
      { ...schedule, matrix: { ...matrix, stages: matrix.stages + 1 } },
      { ...schedule, matrix: { ...matrix, stages: matrix.stages - 1 } },
      { ...schedule, matrix: others },
    ];
  }
  return [
    ...changeOneAxis(schedule),
    ...changeTwoAxes(schedule),
    ...changeOrder(schedule),
    ...changeForm(schedule, facts),
  ];
}

function withSpread(schedule: Schedule, axis: string, change: Partial<AxisSpread>): Schedule {
  const own = schedule.spread[axis] as AxisSpread;
  return { ...schedule, spread: { ...schedule.spread, [axis]: { ...own, ...change } } };
}

/** Twice or half of each number; a vector as so many registers and back; registers as threads and back. */
function changeOneAxis(schedule: Schedule): readonly Schedule[] {
  return Object.entries(schedule.spread).flatMap(([axis, { threads, registers, vector, rolled, section, walked }]) => {
    const changes: Partial<AxisSpread>[] = [
      { registers: 2 * registers },
      { registers: registers / 2 },
      { threads: 2 * threads },
      { threads: threads / 2 },
      { threads: 2 * threads, registers: registers / 2 },
      { threads: threads / 2, registers: 2 * registers },
    ];
    if (vector === 1) changes.push({ vector: 4 }, { vector: 4, registers: registers / 4 });
    else changes.push({ vector: 1 }, { vector: 1, registers: registers * vector });
    // All of a row, or of a loop's chunk, by one invocation.
    if (threads > 2) changes.push({ threads: 1 });
    const counted = changes.filter(
      ({ threads: t = 1, registers: r = 1 }) => Number.isInteger(t) && Number.isInteger(r),
    );
    const changed = counted.map((change) => ordered(withSpread(schedule, axis, change)));
    const without = (field: keyof AxisSpread): Schedule => {
      const { [field]: _, ...others } = schedule.spread[axis] as AxisSpread;
      return { ...schedule, spread: { ...schedule.spread, [axis]: others as AxisSpread } };
    };
    if (rolled === true) changed.push(without('rolled'));
    else if (registers >= 4 && walked !== true) changed.push(withSpread(schedule, axis, { rolled: true }));
    if (section !== undefined) changed.push(without('section'));
    if (walked === true) changed.push(without('walked'));
    return changed;
  });
}

/** A factor of two of the registers, or of the threads, from one axis to another. */
function changeTwoAxes(schedule: Schedule): readonly Schedule[] {
  const axes = Object.entries(schedule.spread);
  return axes
    .flatMap(([from, { registers, threads }]) =>
      axes
        .filter(([to]) => to !== from)
        .flatMap(([to, other]) => [
          ...(registers > 1
            ? [
                withSpread(withSpread(schedule, from, { registers: registers / 2 }), to, {
                  registers: 2 * other.registers,
                }),
              ]
            : []),
          ...(threads > 1
            ? [
                ordered(
                  withSpread(withSpread(schedule, from, { threads: threads / 2 }), to, { threads: 2 * other.threads }),
                ),
              ]
            : []),
        ]),
    )
    .filter(({ spread }) => Object.values(spread).every((own) => own.registers % 1 === 0 && own.threads % 1 === 0));
}

/** An axis that has threads now is the slowest part of the local index. */
function ordered(schedule: Schedule): Schedule {
  const { spread, threadOrder } = schedule;
  const lacking = Object.keys(spread).filter((axis) => (spread[axis]?.threads ?? 1) > 1 && !threadOrder.includes(axis));
  return lacking.length === 0 ? schedule : { ...schedule, threadOrder: [...threadOrder, ...lacking] };
}

function changeOrder(schedule: Schedule): readonly Schedule[] {
  const { threadOrder } = schedule;
  if (threadOrder.length < 2) return [];
  return [{ ...schedule, threadOrder: [...threadOrder].reverse() }];
}

/** Bytes widened once, or multiplied as they are. */
function changeBytes(schedule: Schedule, facts: KernelFacts): readonly Schedule[] {
  const { widensBytes, ...packed } = schedule;
  if (facts.inBytes !== true || schedule.staged === true) return [];
  if (widensBytes === true) return [withSpread(packed, 'k', depthOfCodes(facts) ?? {})];
  return [{ ...withSpread(schedule, 'k', { registers: 1 }), dots: true, widensBytes: true }];
}

/** Loops unrolled more or less, and where there are products, how they are added up. */
function changeForm(schedule: Schedule, facts: KernelFacts): readonly Schedule[] {
  const { family, axes } = facts;
  const { dots: _dots, columnsApart: _apart, ...others } = schedule;
  const { lanesTogether: _together, ...wholeVectors } = schedule;
  const { dots, columnsApart, unroll } = schedule;
  const unrolled = [2 * unroll, unroll / 2].filter(Number.isInteger).map((times) => ({ ...schedule, unroll: times }));
  const loops = axes.some(({ kind }) => kind === 'loop') ? unrolled : [];
  if (family !== 'contraction' && family !== 'heads' && family !== 'attention') return loops;
  return [
    ...loops,
    ...changeBytes(schedule, facts),
    dots === true ? { ...others, ...(columnsApart && { columnsApart }) } : { ...schedule, dots: true },
    columnsApart === true ? { ...others, ...(dots && { dots }) } : { ...schedule, columnsApart: true },
    ...[1, 2, undefined]
      .filter((lanes) => lanes !== schedule.lanesTogether)
      .map(
        (lanesTogether) => (lanesTogether === undefined ? wholeVectors : { ...schedule, lanesTogether }) as Schedule,
      ),
  ];
}
