/** A comparison as tables in Markdown, for docs/performance.md: a column for each work. */
import { formatDuration, formatNumber } from '../../cli/inspect/format.js';
import { nameOf } from './contestants.js';
import { describeRun, left, right, type Table, tablesOfGoals } from './report.js';
import { type ContestantResult, isRanked, type PeersResult, type WorkResult } from './result.js';
import { printPlace, printWork } from './works.js';

export function formatPeersMarkdown(result: PeersResult): string {
  const groups = new Map<string, WorkResult[]>();
  for (const work of result.works) {
    const key = `${work.place} ${work.numbers}`;
    groups.set(key, [...(groups.get(key) ?? []), work]);
  }
  const tables = [...[...groups.values()].map(tableOfPlace), ...tablesOfStarts(result.works), ...tablesOfGoals(result)];
  return `${[describeRun(result), ...tables.map(formatMarkdown)].join('\n\n')}\n`;
}

function formatMarkdown({ title, columns, rows, notes }: Table): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const rule = columns.map(({ align }) => (align === 'right' ? '---:' : '---'));
  const table = [line(columns.map((column) => column.title)), line(rule), ...rows.map(line)].join('\n');
  return [`**${title}**`, table, ...notes].join('\n\n');
}

/** All works of one place in the same numbers. */
function tableOfPlace(works: readonly WorkResult[]): Table {
  const contestants = new Map(works.flatMap((work) => work.contestants.map((one) => [one.id, one] as const)));
  const calm = works.reduce((sum, { calmRounds }) => sum + calmRounds, 0);
  const rounds = works.reduce((sum, work) => sum + work.rounds, 0);
  const [{ place = '', numbers = 'f32', hardware = false } = {}] = works;
  const what = `On ${printPlace(place)}${numbers === 'f32' ? '' : `, weights and inputs in ${numbers}`}`;
  const times = hardware
    ? 'wall time, in brackets TFLOP/s'
    : 'processor time divided by threads, in brackets wall time';
  return {
    title: `${what}: ${times}`,
    columns: [left('stack'), ...works.map(({ work }) => right(printWork(work)))],
    rows: [...contestants.values()].map((contestant) => [
      nameOf(contestant),
      ...works.map((work) =>
        cellOf(
          work.contestants.find(({ id }) => id === contestant.id),
          work,
        ),
      ),
    ]),
    notes: [`${calm} of ${rounds} rounds were undisturbed.`],
  };
}

function cellOf(one: ContestantResult | undefined, { hardware, flop }: WorkResult): string {
  if (one === undefined) return '';
  const { wall, cpu } = one;
  if (wall === undefined || cpu === undefined) return 'failed';
  const times = hardware
    ? `${formatDuration(wall.median)} (${formatNumber(flop / wall.median / 1e9)})`
    : `${formatDuration(cpu.median)} (${formatAlike(wall.median, cpu.median)})`;
  return isRanked(one) ? times : `wrong: ${times}`;
}

/** Without the unit where it is that of the time beside it. */
function formatAlike(time: number, beside: number): string {
  const [number, unit] = formatDuration(time).split(' ');
  return formatDuration(beside).endsWith(` ${unit}`) ? `${number}` : `${number} ${unit}`;
}

function tablesOfStarts(works: readonly WorkResult[]): readonly Table[] {
  return works
    .filter(({ contestants }) => contestants.some(({ coldStart }) => coldStart !== undefined))
    .map(({ work, place, contestants }) => ({
      title: `First results: ${printWork(work)}`,
      columns: [left('stack'), right('compile'), right('cold start'), right('warm start')],
      rows: contestants.flatMap((one) => {
        const { coldStart, compileTime } = one;
        if (coldStart === undefined) return [];
        const times = [compileTime, coldStart.empty, coldStart.warm];
        const cells = times.map((time) => (time === undefined ? '' : formatDuration(time)));
        return [[`${nameOf(one)}, on ${printPlace(place)}`, ...cells]];
      }),
      notes: [],
    }));
}
