/** Results as a page: stages, blocks, a roofline of the kernels, all numbers. */
import { formatBytes, formatDuration, formatFlop, formatInteger, formatNumber } from '../cli/inspect/format.js';
import { toneOf } from '../cli/inspect/html/tones.js';
import { type Content, markup } from '../cli/page/markup.js';
import { renderFigure, renderPage, renderShares, renderTable, type TableRow } from '../cli/page/page.js';
import { renderBars } from './plot-bars.js';
import { renderRoofline } from './plot-roofline.js';
import { formatShare, formatSpread, ratesOf } from './report-text.js';
import type { BenchResult, FunctionTiming } from './result.js';

export function renderBenchPage(result: BenchResult): string {
  const { model, device, processor, date, sizes, functions, compiler } = result;
  return renderPage({
    title: `${model} on ${device}`,
    subtitle: `${processor} · ${date} · ${sizes}`,
    tabs: [
      { title: 'overview', body: renderOverview(result) },
      ...functions.map((fn) => ({ title: fn.name, body: renderFunction(fn, result) })),
    ],
    footer: `flux2c ${compiler}. Medians; whiskers and ± show where the middle half of the repetitions lies.`,
  });
}

function renderOverview(result: BenchResult): Content {
  const { ceilings, stages, functions } = result;
  return [
    markup`<div class="figures">${[
      renderFigure(
        'ceiling, f32',
        `${formatNumber(ceilings.gigaflops)} GFLOP/s`,
        'measured: multiply-adds in registers',
      ),
      ...(ceilings.matrixGigaflops === undefined
        ? []
        : [
            renderFigure(
              'ceiling, f16 matrices',
              `${formatNumber(ceilings.matrixGigaflops)} GFLOP/s`,
              'measured: products of factors in registers',
            ),
          ]),
      renderFigure('ceiling, memory', `${formatNumber(ceilings.gigabytes)} GB/s`, 'measured: a copy, read and written'),
      ...functions.map(({ name, isStep, times, work }) =>
        renderFigure(
          isStep ? `${name}, one step` : name,
          formatDuration(times.wall.median),
          `${formatNumber(ratesOf(work, times.wall.median, result).gigaflops)} GFLOP/s, ${formatSpread(times.wall)}`,
        ),
      ),
    ]}</div>`,
    stages.length === 0
      ? ''
      : [
          markup`<h2>stages <span class="muted">from inputs in memory to results in memory</span></h2>`,
          markup`<div class="chart">${renderBars(stages.map(({ name, times: { wall, cpu } }) => ({ name, time: wall, note: `processor time ${formatDuration(cpu.median)}`, tone: 0 })))}</div>`,
        ],
  ];
}

function renderFunction(fn: FunctionTiming, result: BenchResult): Content {
  const { work, times, blocks, kernels, isStep } = fn;
  const rates = ratesOf(work, times.wall.median, result);
  return [
    markup`<div class="figures">${[
      renderFigure(isStep ? 'one step' : 'all launches', formatDuration(times.wall.median), formatSpread(times.wall)),
      renderFigure('processor time', formatDuration(times.cpu.median), 'of all threads of this process'),
      renderFigure(
        'work',
        formatFlop(work.flop),
        `${formatInteger(work.launches)} launches, ${formatBytes(work.bytes)}`,
      ),
      renderFigure(
        'rate',
        `${formatNumber(rates.gigaflops)} GFLOP/s`,
        `${formatShare(rates.flopShare)} of the ceiling`,
      ),
      renderFigure(
        'traffic',
        `${formatNumber(rates.gigabytes)} GB/s`,
        `${formatShare(rates.byteShare)} of the ceiling`,
      ),
    ]}</div>`,
    renderShares(
      blocks.map(({ family, count, time, launches }) => ({
        name: count > 1 ? `${count} × ${family}` : family,
        value: time.median,
        note: `${formatDuration(time.median)}, ${formatInteger(launches)} launches`,
        tone: toneOf(family),
      })),
    ),
    markup`<h2>roofline <span class="muted">every kernel by its intensity and rate; areas are time</span></h2>`,
    markup`<div class="chart">${renderRoofline(kernels, result.ceilings)}</div>`,
    markup`<h2>kernels</h2>`,
    renderKernelTable(fn, result),
  ];
}

function renderKernelTable({ kernels }: FunctionTiming, result: BenchResult): Content {
  const total = kernels.reduce((sum, { time }) => sum + time.median, 0);
  const rows = kernels.map((kernel): TableRow => {
    const { time, launches } = kernel;
    const { gigaflops, gigabytes, flopShare, byteShare } = ratesOf(kernel, time.median, result);
    return {
      cells: [
        { text: markup`<code>${kernel.kernel}</code>` },
        { text: formatInteger(launches), sort: launches },
        { text: formatDuration(time.median), sort: time.median },
        { text: formatSpread(time) },
        { text: formatShare(time.median / total), sort: time.median },
        { text: formatNumber(gigaflops), sort: gigaflops },
        { text: formatShare(flopShare), sort: flopShare },
        { text: formatNumber(gigabytes), sort: gigabytes },
        { text: formatShare(byteShare), sort: byteShare },
        { text: kernel.label },
      ],
    };
  });
  const numeric = ['launches', 'median', 'spread', 'of time', 'GFLOP/s', 'of ceiling', 'GB/s', 'of ceiling'];
  return renderTable(
    [
      { title: 'kernel', numeric: false },
      ...numeric.map((title) => ({ title, numeric: true })),
      { title: 'first launch', numeric: false },
    ],
    rows,
  );
}
