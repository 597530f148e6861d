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
  const most = Math.max(...bars.map(({ time }) => time.thirdQuartile), 1e-9);
  const x = (milliseconds: number): number => LEFT + ((WIDTH - LEFT - RIGHT) * milliseconds) / most;
  const rows = bars.map(({ name, time, note, tone }, at) => {
    const y = at * ROW + 4;
    const middle = y + ROW / 2 - 4;
    const [low, high] = [x(time.firstQuartile), x(time.thirdQuartile)];
    const tip = `${name}\n${formatDuration(time.median)}, middle half ${formatDuration(time.firstQuartile)} to ${formatDuration(time.thirdQuartile)}, best ${formatDuration(time.least)} of ${time.count}\n${note}`;
    return markup`<g data-tip="${tip}"><text x="${LEFT - 10}" y="${middle + 4}" text-anchor="end">${name}</text><rect class="tone${tone}" x="${LEFT}" y="${y}" width="${(x(time.median) - LEFT).toFixed(1)}" height="${ROW - 10}" rx="3"/><path d="M${low.toFixed(1)} ${middle}H${high.toFixed(1)}M${low.toFixed(1)} ${middle - 5}v10M${high.toFixed(1)} ${middle - 5}v10" stroke="var(--text)" fill="none"/><text x="${(high + 8).toFixed(1)}" y="${middle + 4}">${formatDuration(time.median)}</text></g>`;
  });
  return markup`<svg viewBox="0 0 ${WIDTH} ${bars.length * ROW + 4}">${rows}</svg>`;
}
