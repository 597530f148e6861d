/** A comparison as tables: for terminals, and in Markdown for docs/performance.md. */
import { formatDuration, formatNumber, formatTable, type Column } from '../../cli/inspect/format.js';
import { nameOf } from './contestants.js';
import { type GoalOutcome, isReached, judgeGoals } from './goals.js';
import { type ContestantResult, isRanked, ownRival, type PeersResult, ratioOf, type WorkResult } from './result.js';
import { printWork } from './works.js';

interface Table {
  readonly title: string;
  readonly columns: readonly Column[];
  readonly rows: readonly (readonly string[])[];
  readonly notes: readonly string[];
}

const right = (title: string): Column => ({ title, align: 'right' });
const left = (title: string): Column => ({ title, align: 'left' });

/** For a terminal. */
export function formatPeers(result: PeersResult): string {
  const blocks = tablesOf(result).map(({ title, columns, rows, notes }) =>
    [title, ...formatTable(columns, rows), ...notes.map((note) => `  ${note}`)].join('\n'),
  );
  return `${[describe(result), ...blocks].join('\n\n')}\n`;
}

/** A section of a page, without a title. */
export function formatPeersMarkdown(result: PeersResult): string {
  const blocks = tablesOf(result).map(({ title, columns, rows, notes }) => {
    const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
    const rule = columns.map(({ align }) => (align === 'right' ? '---:' : '---'));
    const table = [line(columns.map((column) => column.title)), line(rule), ...rows.map(line)].join('\n');
    return [`**${title}**`, table, ...notes].join('\n\n');
  });
  return `${[describe(result), ...blocks].join('\n\n')}\n`;
}

function describe({ date, processor, packages }: PeersResult): string {
  const versions = Object.entries(packages).map(([name, version]) => `${name} ${version}`);
  return `${date.slice(0, 10)}, ${processor}; ${versions.join(', ')}.`;
}

function tablesOf(result: PeersResult): readonly Table[] {
  const goals = result.works.flatMap(judgeGoals);
  return [...result.works.map(tableOfWork), ...(goals.length > 0 ? [tableOfGoals(goals)] : [])];
}

function tableOfWork(result: WorkResult): Table {
  const { work, place, flop, rounds, calmRounds, contestants } = result;
  const hasColdStart = contestants.some(({ coldStart }) => coldStart !== undefined);
  const columns = [
    left('stack'),
    right('wall'),
    right('processor'),
    right('GFLOP/s'),
    right('× flux2c: wall, processor'),
    right('error'),
    right('compile'),
    ...(hasColdStart ? [right('cold start'), right('warm start')] : []),
  ];
  const failures = contestants.filter(({ failure }) => failure !== undefined);
  return {
    title: `${printWork(work)} on ${place === 'processor' ? 'the processor' : place}`,
    columns,
    rows: contestants
      .filter(({ failure }) => failure === undefined)
      .map((one) => rowOf(one, ownRival(result, one), flop, hasColdStart)),
    notes: [
      `${calmRounds} of ${rounds} rounds were undisturbed.`,
      ...contestants.filter((one) => one.wall !== undefined && !isRanked(one)).map(describeWrong),
      ...failures.map((one) => `${nameOf(one)} failed: ${firstLine(one.failure ?? '')}`),
    ],
  };
}

function rowOf(
  one: ContestantResult,
  own: ContestantResult | undefined,
  flop: number,
  hasColdStart: boolean,
): readonly string[] {
  const { wall, cpu, error = Infinity, compileTime, coldStart } = one;
  const duration = (time: number | undefined): string => (time === undefined ? '' : formatDuration(time));
  const rate = wall === undefined ? '' : formatNumber(flop / wall.median / 1e6);
  const ratios = one.own ? '' : `${formatRatio(ratioOf(own, one, 'wall'))}, ${formatRatio(ratioOf(own, one, 'cpu'))}`;
  const name = nameOf(one);
  return [
    isRanked(one) ? name : `${name} (wrong)`,
    duration(wall?.median),
    duration(cpu?.median),
    rate,
    ratios,
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
