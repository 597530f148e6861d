/** Times as bars with whiskers at the quartiles. */
import { formatDuration } from '../cli/inspect/format.js';
import { markup, type Markup } from '../cli/page/markup.js';
import type { Summary } from './statistics.js';

export interface Bar {
  readonly name: string;
  /** Milliseconds. */
  readonly time: Summary;
  readonly note: string;
  /** One of the page's tones, 0 to 9. */
  readonly tone: number;
}

const WIDTH = 1320;
const LEFT = 170;
const RIGHT = 90;
const ROW = 30;

export function renderBars(bars: readonly Bar[]): Markup {
  const { rows, height } = renderBarRows(bars, LEFT);
  return markup`<svg viewBox="0 0 ${WIDTH} ${height}">${rows}</svg>`;
}

/** The bars for a picture of 1320 units across, with `left` of them for names, and how high they are together. */
export function renderBarRows(
  bars: readonly Bar[],
  left: number,
): { readonly rows: readonly Markup[]; readonly height: number } {
  const most = Math.max(...bars.map(({ time }) => time.thirdQuartile), 1e-9);
  const x = (milliseconds: number): number => left + ((WIDTH - left - RIGHT) * milliseconds) / most;
  const rows = bars.map(({ name, time, note, tone }, at) => {
    const y = at * ROW + 4;
    const middle = y + ROW / 2 - 4;
    const [low, high] = [x(time.firstQuartile), x(time.thirdQuartile)];
    const tip = `${name}\n${formatDuration(time.median)}, middle half ${formatDuration(time.firstQuartile)} to ${formatDuration(time.thirdQuartile)}, best ${formatDuration(time.least)} of ${time.count}\n${note}`;
    return markup`<g data-tip="${tip}"><text x="${left - 10}" y="${middle + 4}" text-anchor="end">${name}</text><rect class="tone${tone}" x="${left}" y="${y}" width="${(x(time.median) - left).toFixed(1)}" height="${ROW - 10}" rx="3"/><path d="M${low.toFixed(1)} ${middle}H${high.toFixed(1)}M${low.toFixed(1)} ${middle - 5}v10M${high.toFixed(1)} ${middle - 5}v10" stroke="var(--text)" fill="none"/><text x="${(high + 8).toFixed(1)}" y="${middle + 4}">${formatDuration(time.median)}</text></g>`;
  });
  return { rows, height: bars.length * ROW + 4 };
}
