/** A comparison as tables for terminals: everything that is known. */
import { formatDuration, formatNumber, formatTable, type Column } from '../../cli/inspect/format.js';
import { nameOf } from './contestants.js';
import { type GoalOutcome, isReached, judgeAll } from './goals.js';
import {
  clocks,
  type ContestantResult,
  isRanked,
  ownRival,
  type PeersResult,
  printTask,
  ratioOf,
  type WorkResult,
} from './result.js';

export interface Table {
  readonly title: string;
  readonly columns: readonly Column[];
  readonly rows: readonly (readonly string[])[];
  readonly notes: readonly string[];
}

export const right = (title: string): Column => ({ title, align: 'right' });
export const left = (title: string): Column => ({ title, align: 'left' });

/** For a terminal. */
export function formatPeers(result: PeersResult): string {
  const blocks = tablesOf(result).map(({ title, columns, rows, notes }) =>
    [title, ...formatTable(columns, rows), ...notes.map((note) => `  ${note}`)].join('\n'),
  );
  return `${[describeRun(result), ...blocks].join('\n\n')}\n`;
}

/** When, where and what was measured. */
export function describeRun({ date, processor, packages }: PeersResult): string {
  const versions = Object.entries(packages).map(([name, version]) => `${name} ${version}`);
  return `${[`${date.slice(0, 10)}, ${processor}`, ...versions].join(', ')}.`;
}

function tablesOf(result: PeersResult): readonly Table[] {
  return [...result.works.map(tableOfWork), ...tablesOfGoals(result)];
}

function tableOfWork(result: WorkResult): Table {
  const { hardware, rounds, calmRounds, contestants } = result;
  const hasColdStart = contestants.some(({ coldStart }) => coldStart !== undefined);
  const columns = [
    left('stack'),
    right('wall'),
    ...(hardware ? [] : [right('processor')]),
    right('GFLOP/s'),
    right(hardware ? '× flux2c' : '× flux2c: wall, processor'),
    right('error'),
    right('compile'),
    ...(hasColdStart ? [right('cold start'), right('warm start')] : []),
  ];
  const failures = contestants.filter(({ failure }) => failure !== undefined);
  return {
    title: printTask(result),
    columns,
    rows: contestants.filter(({ failure }) => failure === undefined).map((one) => rowOf(one, result, hasColdStart)),
    notes: [
      `${calmRounds} of ${rounds} rounds were undisturbed.`,
      ...contestants.filter((one) => one.wall !== undefined && !isRanked(one)).map(describeWrong),
      ...failures.map((one) => `${nameOf(one)} failed: ${firstLine(one.failure ?? '')}`),
    ],
  };
}

function rowOf(one: ContestantResult, result: WorkResult, hasColdStart: boolean): readonly string[] {
  const { flop, hardware } = result;
  const { wall, cpu, error = Infinity, compileTime, coldStart } = one;
  const duration = (time: number | undefined): string => (time === undefined ? '' : formatDuration(time));
  const rate = wall === undefined ? '' : formatNumber(flop / wall.median / 1e6);
  const own = ownRival(result, one);
  const ratios = (hardware ? (['wall'] as const) : clocks).map((clock) => formatRatio(ratioOf(own, one, clock)));
  const name = nameOf(one);
  return [
    isRanked(one) ? name : `${name} (wrong)`,
    duration(wall?.median),
    ...(hardware ? [] : [duration(cpu?.median)]),
    rate,
    own === one ? '' : ratios.join(', '),
    error.toExponential(1),
    duration(compileTime),
    ...(hasColdStart ? [duration(coldStart?.empty), duration(coldStart?.warm)] : []),
  ];
}

function formatRatio(ratio: number | undefined): string {
  return ratio === undefined ? '-' : ratio.toFixed(2);
}

function describeWrong(one: ContestantResult): string {
  return `${nameOf(one)} is off by ${(one.error ?? Infinity).toExponential(1)} and not ranked.`;
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0] ?? '';
}

/** One table, or none without goals. */
export function tablesOfGoals({ works }: PeersResult): readonly Table[] {
  const goals = judgeAll(works);
  return goals.length === 0 ? [] : [tableOfGoals(goals)];
}

function tableOfGoals(goals: readonly GoalOutcome[]): Table {
  const verdict = (goal: GoalOutcome): string => {
    const [wall, cpu] = [isReached(goal, 'wall'), isReached(goal, 'cpu')];
    if (wall === undefined) return 'not known';
    if (cpu === undefined || wall === cpu) return wall ? 'yes' : 'no';
    return wall ? 'by wall time only' : 'by processor time only';
  };
  return {
    title: 'Goals',
    columns: [left('what'), right('goal'), right('wall'), right('processor'), left('reached'), left('rival')],
    rows: goals.map((goal) => [
      goal.what,
      `${goal.goal}`,
      formatRatio(goal.wall),
      formatRatio(goal.cpu),
      verdict(goal),
      goal.rival,
    ]),
    notes: [],
  };
}
