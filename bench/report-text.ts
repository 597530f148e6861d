/** Results as text. */
import {
  type Column,
  formatBytes,
  formatDuration,
  formatFlop,
  formatInteger,
  formatNumber,
  formatTable,
} from '../cli/inspect/format.js';
import { type Ceilings, mostGigaflops } from './calibrate.js';
import type { Comparison, ComparedResults } from './compare.js';
import type { BenchResult, FunctionTiming, TimedWork } from './result.js';
import { spreadOf, type Summary } from './statistics.js';

const left = (title: string): Column => ({ title, align: 'left' });
const right = (title: string): Column => ({ title, align: 'right' });

/** `124 GFLOP/s f32, 57 GB/s copied`. */
function formatCeilings({ gigaflops, matrixGigaflops, gigabytes }: Ceilings): string {
  const matrices = matrixGigaflops === undefined ? [] : [`${formatNumber(matrixGigaflops)} GFLOP/s f16 matrices`];
  return [`${formatNumber(gigaflops)} GFLOP/s f32`, ...matrices, `${formatNumber(gigabytes)} GB/s copied`].join(', ');
}

/** How fast work was done, against the ceilings. */
export interface Rates {
  readonly gigaflops: number;
  readonly gigabytes: number;
  /** Of the ceilings, 0..1. */
  readonly flopShare: number;
  readonly byteShare: number;
}

export function ratesOf({ flop, bytes }: TimedWork, milliseconds: number, { ceilings }: BenchResult): Rates {
  const gigaflops = flop / milliseconds / 1e6;
  const gigabytes = bytes / milliseconds / 1e6;
  return {
    gigaflops,
    gigabytes,
    flopShare: gigaflops / mostGigaflops(ceilings),
    byteShare: gigabytes / ceilings.gigabytes,
  };
}

export function formatResult(result: BenchResult, mostKernels: number): string {
  const { model, device, processor, date, sizes, ceilings, stages } = result;
  const lines = [
    `${model} on ${device}`,
    `  ${processor}, ${date}, ${sizes}`,
    `  ceilings measured here: ${formatCeilings(ceilings)}`,
  ];
  if (stages.length > 0) {
    lines.push(
      '',
      ...formatTable(
        [left('stage'), right('median'), right('spread'), right('cpu'), right('best')],
        stages.map(({ name, times: { wall, cpu } }) => [
          name,
          formatDuration(wall.median),
          formatSpread(wall),
          formatDuration(cpu.median),
          formatDuration(wall.least),
        ]),
      ),
    );
  }
  for (const fn of result.functions) lines.push('', ...formatFunction(fn, result, mostKernels));
  return `${lines.join('\n')}\n`;
}

function formatFunction(fn: FunctionTiming, result: BenchResult, mostKernels: number): readonly string[] {
  const { name, isStep, work, times, blocks, kernels } = fn;
  const rates = ratesOf(work, times.wall.median, result);
  const columns = [right('launches'), right('median'), right('spread'), right('GFLOP/s'), right('of ceiling'), right('GB/s'), right('of ceiling')]; // prettier-ignore
  const cells = (timed: TimedWork & { readonly time: Summary }): readonly string[] => {
    const { gigaflops, flopShare, gigabytes, byteShare } = ratesOf(timed, timed.time.median, result);
    return [
      formatInteger(timed.launches),
      formatDuration(timed.time.median),
      formatSpread(timed.time),
      formatNumber(gigaflops),
      formatShare(flopShare),
      formatNumber(gigabytes),
      formatShare(byteShare),
    ];
  };
  return [
    `${name}${isStep ? ', one step' : ''}: ${formatDuration(times.wall.median)} (spread ${formatSpread(times.wall)}, cpu ${formatDuration(times.cpu.median)})`,
    `  ${formatInteger(work.launches)} launches, ${formatFlop(work.flop)} at ${formatNumber(rates.gigaflops)} GFLOP/s (${formatShare(rates.flopShare)} of the ceiling), ${formatBytes(work.bytes)} at ${formatNumber(rates.gigabytes)} GB/s`,
    '',
    ...formatTable(
      [left('blocks'), ...columns],
      blocks.map((block) => [block.count > 1 ? `${block.count} × ${block.family}` : block.family, ...cells(block)]),
    ),
    '',
    ...formatTable(
      [left('kernel'), ...columns],
      kernels.slice(0, mostKernels).map((kernel) => [kernel.kernel, ...cells(kernel)]),
    ),
    ...(kernels.length > mostKernels ? [`  and ${kernels.length - mostKernels} more, in --json and --html`] : []),
  ];
}

/** The middle half's width, in percent of the median. */
export function formatSpread(summary: Summary): string {
  return summary.median === 0 ? '' : `±${((50 * spreadOf(summary)) / summary.median).toFixed(0)} %`;
}

export function formatShare(share: number): string {
  return `${(100 * share).toFixed(share < 0.095 ? 1 : 0)} %`;
}

/** Rows that moved first; the others only where `all`. */
export function formatComparison(compared: ComparedResults, all: boolean): string {
  const { rows, ceilings, onlyBefore, onlyAfter } = compared;
  const shown = rows.filter(({ moved }) => moved || all);
  const lines = [
    `calibration after / before: ${formatNumber(ceilings.gigaflops)} of the GFLOP/s, ${formatNumber(ceilings.gigabytes)} of the GB/s`,
    `${rows.filter(({ moved }) => moved).length} of ${rows.length} times moved by more than their spread`,
  ];
  if (shown.length > 0) {
    lines.push(
      '',
      ...formatTable(
        [left('what'), right('before'), right('after'), right('ratio'), left('')],
        shown.map(comparisonCells),
      ),
    );
  }
  if (onlyBefore.length > 0) lines.push('', `only before: ${shorten(onlyBefore)}`);
  if (onlyAfter.length > 0) lines.push('', `only after: ${shorten(onlyAfter)}`);
  return `${lines.join('\n')}\n`;
}

/** The first names; a part that was left out takes all its kernels along. */
function shorten(names: readonly string[]): string {
  const most = 8;
  const more = names.length > most ? ` and ${names.length - most} more` : '';
  return `${names.slice(0, most).join(', ')}${more}`;
}

function comparisonCells({ name, before, after, ratio, moved }: Comparison): readonly string[] {
  const verdict = !moved ? '' : ratio < 1 ? 'faster' : 'slower';
  return [name, formatDuration(before), formatDuration(after), ratio.toFixed(2), verdict];
}
