/** Growth on logarithmic axes: measured points and the polynomials through them, as multiples of the smallest size's. */
import { formatInteger, formatNumber } from '../cli/inspect/format.js';
import type { Markup } from '../cli/page/markup.js';
import { type Content, markup } from '../cli/page/markup.js';
import { renderFigure } from '../cli/page/figure.js';
import { evaluateFit } from './fit-growth.js';
import { type GrowthQuantity, growthQuantities, type GrowthSeries } from './measure-growth.js';

const WIDTH = 1320;
const PANEL_WIDTH = WIDTH / 2;
const PANEL_HEIGHT = 360;
const LEFT = 62;
const RIGHT = 16;
const TOP = 30;
const BOTTOM = 30;
const LEGEND = 30;

const tones: Readonly<Record<GrowthQuantity, number>> = {
  step: 3,
  work: 0,
  launches: 1,
  memory: 2,
  compile: 4,
  instantiate: 6,
};
const titles: Readonly<Record<GrowthQuantity, string>> = {
  step: 'time of a step',
  work: 'work (FLOP)',
  launches: 'launches',
  memory: 'arenas',
  compile: 'compiling',
  instantiate: 'binding sizes',
};

export function renderGrowth(series: readonly GrowthSeries[]): Markup {
  const { height, content } = draw(series);
  return markup`<svg viewBox="0 0 ${WIDTH} ${height}">${content}</svg>`;
}

/** The plot as a file. */
export function growthFigure(series: readonly GrowthSeries[]): string {
  const { height, content } = draw(series);
  return renderFigure(WIDTH, height, content);
}

function draw(series: readonly GrowthSeries[]): { readonly height: number; readonly content: Content } {
  const variables = [...new Set(series.map(({ variable }) => variable))];
  const present = growthQuantities.filter((quantity) => series.some((one) => one.quantity === quantity));
  const panels = variables.map((variable, at) => {
    const own = series.filter((one) => one.variable === variable);
    const place = `translate(${(at % 2) * PANEL_WIDTH} ${LEGEND + Math.floor(at / 2) * PANEL_HEIGHT})`;
    return markup`<g transform="${place}">${drawPanel(variable, own)}</g>`;
  });
  const legend = present.map(
    (quantity, at) =>
      markup`<circle class="tone${tones[quantity]}" cx="${LEFT + 6 + 130 * at}" cy="14" r="5"/><text x="${LEFT + 16 + 130 * at}" y="18">${titles[quantity]}</text>`,
  );
  const note = markup`<text x="${WIDTH - RIGHT}" y="18" text-anchor="end">multiples of the smallest size; lines: a + bn + cn²; dashed: n and n²</text>`;
  return { height: LEGEND + Math.ceil(variables.length / 2) * PANEL_HEIGHT, content: [legend, note, panels] };
}

function drawPanel(variable: string, series: readonly GrowthSeries[]): Content {
  const sizes = series[0]!.points.map(({ n }) => n);
  const [first, last] = [sizes[0]!, sizes.at(-1)!];
  const relative = series.map(({ points }) => points.map(({ value }) => value / points[0]!.value));
  const most = Math.max(10, ...relative.flat()) * 1.2;
  const least = Math.min(0.9, ...relative.flat()) / 1.1;
  const x = (n: number): number => LEFT + 10 + ((PANEL_WIDTH - LEFT - RIGHT - 20) * Math.log(n / first)) / Math.log(last / first); // prettier-ignore
  const y = (value: number): number => TOP + ((PANEL_HEIGHT - TOP - BOTTOM) * Math.log(most / value)) / Math.log(most / least); // prettier-ignore
  const path = (valueAt: (n: number) => number): string =>
    Array.from({ length: 49 }, (_, at) => first * (last / first) ** (at / 48))
      .filter((n) => valueAt(n) <= most && valueAt(n) >= least)
      .map((n, at) => `${at === 0 ? 'M' : 'L'}${x(n).toFixed(1)} ${y(valueAt(n)).toFixed(1)}`)
      .join('');
  const curves = series.map(({ quantity, points, fit }, at) => {
    const tone = tones[quantity];
    const start = points[0]!.value;
    const circles = points.map(
      ({ n, value }, place) =>
        markup`<circle class="span tone${tone}" cx="${x(n).toFixed(1)}" cy="${y(relative[at]![place]!).toFixed(1)}" r="4" data-tip="${titles[quantity]}\n${formatInteger(n)} ${variable}: ${formatNumber(value)}"/>`,
    );
    return [
      markup`<path d="${path((n) => evaluateFit(fit.coefficients, n) / start)}" fill="none" stroke="var(--tone${tone})" stroke-width="1.5"/>`,
      circles,
    ];
  });
  const guides = [1, 2].map((power) => markup`<path class="bound" d="${path((n) => (n / first) ** power)}"/>`);
  return [drawAxes(variable, sizes, [least, most], x, y), guides, curves];
}

function drawAxes(
  variable: string,
  sizes: readonly number[],
  [least, most]: readonly [number, number],
  x: (n: number) => number,
  y: (value: number) => number,
): Content {
  const columns = sizes.map(
    (n) =>
      markup`<line class="axis" x1="${x(n).toFixed(1)}" x2="${x(n).toFixed(1)}" y1="${TOP}" y2="${PANEL_HEIGHT - BOTTOM}"/><text x="${x(n).toFixed(1)}" y="${PANEL_HEIGHT - BOTTOM + 16}" text-anchor="middle">${formatInteger(n)}</text>`,
  );
  const rows: Content[] = [];
  for (let power = 0; 10 ** power <= most; power++) {
    if (10 ** power < least) continue;
    const at = y(10 ** power).toFixed(1);
    rows.push(
      markup`<line class="axis" x1="${LEFT}" x2="${PANEL_WIDTH - RIGHT}" y1="${at}" y2="${at}"/><text x="${LEFT - 8}" y="${at}" dy="4" text-anchor="end">× ${formatInteger(10 ** power)}</text>`,
    );
  }
  return [columns, rows, markup`<text x="${LEFT}" y="${TOP - 8}">${variable}</text>`];
}
