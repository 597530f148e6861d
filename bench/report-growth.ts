/** Growth as text, JSON and a page. */
import { formatBytes, formatFlop, formatInteger, formatTable } from '../cli/inspect/format.js';
import { markup } from '../cli/page/markup.js';
import { renderPage, renderTable } from '../cli/page/page.js';
import type { GrowthFit } from './fit-growth.js';
import type { GrowthQuantity, GrowthSeries } from './measure-growth.js';
import { renderGrowth } from './plot-growth.js';

export interface GrowthResult {
  readonly model: string;
  readonly device: string;
  readonly processor: string;
  /** ISO 8601. */
  readonly date: string;
  readonly compiler: string;
  readonly series: readonly GrowthSeries[];
}

const columns = [
  { title: 'over', align: 'left' },
  { title: 'of', align: 'left' },
  { title: 'from', align: 'right' },
  { title: 'to', align: 'right' },
  { title: 'fit', align: 'left' },
  { title: 'off by', align: 'right' },
  { title: 'exponent', align: 'right' },
  { title: 'verdict', align: 'left' },
] as const;

export function formatGrowth({ model, device, processor, date, series }: GrowthResult): string {
  const worse = series.filter(({ isWorse }) => isWorse).length;
  return [
    `${model} on ${device}`,
    `  ${processor}, ${date}, times of the processor`,
    '',
    ...formatTable(columns, series.map(cellsOf)),
    '',
    worse === 0 ? 'Nothing grows faster than it may.' : `${worse} of ${series.length} grow faster than they may.`,
    '',
  ].join('\n');
}

export function renderGrowthPage(result: GrowthResult): string {
  const { model, device, processor, date, compiler, series } = result;
  const table = renderTable(
    columns.map(({ title, align }) => ({ title, numeric: align === 'right' })),
    series.map((one) => ({ cells: cellsOf(one).map((text) => ({ text })) })),
  );
  return renderPage({
    title: `growth of ${model} on ${device}`,
    subtitle: `${processor} · ${date}`,
    tabs: [{ title: 'growth', body: markup`<div class="card">${renderGrowth(series)}</div>${table}` }],
    footer: `flux2c ${compiler}. Times of the processor, medians; fits by relative errors; exponents between the two largest sizes.`,
  });
}

function cellsOf({ variable, quantity, points, fit, degree, isWorse }: GrowthSeries): readonly string[] {
  const [first, last] = [points[0]!, points.at(-1)!];
  return [
    `${formatInteger(first.n)} to ${formatInteger(last.n)} ${variable}`,
    quantity,
    formatQuantity(quantity, first.value),
    formatQuantity(quantity, last.value),
    formatFit(quantity, fit),
    `${(100 * fit.worstResidual).toFixed(0)} %`,
    fit.exponent.toFixed(2),
    isWorse ? `WORSE than ${powerName(degree)}` : `at most ${powerName(degree)}`,
  ];
}

function powerName(degree: GrowthSeries['degree']): string {
  return (['constant', 'linear', 'quadratic'] as const)[degree];
}

function formatFit(quantity: GrowthQuantity, { coefficients }: GrowthFit): string {
  const terms = coefficients
    .map((value, power) => (value === 0 ? '' : `${formatQuantity(quantity, value)}${['', ' n', ' n²'][power]}`))
    .filter((term) => term !== '');
  return terms.length === 0 ? '0' : terms.join(' + ');
}

function formatQuantity(quantity: GrowthQuantity, value: number): string {
  switch (quantity) {
    case 'work':
      return formatFlop(value);
    case 'memory':
      return formatBytes(value);
    case 'launches':
      return `${Number(value.toPrecision(3))}`;
    default:
      return value >= 0.1 ? `${value.toFixed(value >= 100 ? 0 : 1)} ms` : `${Number((value * 1000).toPrecision(2))} µs`;
  }
}
