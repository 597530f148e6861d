/** Kernels under the two ceilings of a device, on logarithmic axes. */
import { formatDuration, formatNumber } from '../cli/inspect/format.js';
import { type Content, markup, type Markup } from '../cli/page/markup.js';
import { type Ceilings, mostGigaflops } from './calibrate.js';
import type { KernelTiming } from './result.js';

const WIDTH = 1320;
const HEIGHT = 420;
const LEFT = 70;
const BOTTOM = 34;
const TOP = 14;
interface Kind {
  readonly name: string;
  /** What kernels of the kind have in their names. */
  readonly pattern: RegExp;
  readonly tone: number;
}
const kinds: readonly Kind[] = [
  { name: 'attention', pattern: /attention/, tone: 3 },
  { name: 'contraction', pattern: /matmul|conv2d/, tone: 0 },
  { name: 'rows', pattern: /norm|moments|softmax|reduce/, tone: 2 },
  { name: 'elementwise', pattern: /(?:)/, tone: 1 },
];

export function renderRoofline(kernels: readonly KernelTiming[], ceilings: Ceilings): Markup {
  const points = kernels
    .filter(({ flop, bytes, time }) => flop > 0 && bytes > 0 && time.median > 0)
    .map((kernel) => ({ kernel, intensity: kernel.flop / kernel.bytes, rate: kernel.flop / kernel.time.median / 1e6 }));
  const ridge = mostGigaflops(ceilings) / ceilings.gigabytes;
  const [left, right] = decades([ridge, ...points.map(({ intensity }) => intensity)]);
  const [low, high] = decades([mostGigaflops(ceilings), ...points.map(({ rate }) => rate)]);
  const x = (value: number): number => LEFT + ((WIDTH - LEFT - 20) * (Math.log10(value) - left)) / (right - left);
  const y = (value: number): number => TOP + (HEIGHT - BOTTOM - TOP) * (1 - (Math.log10(value) - low) / (high - low));
  const floor = 10 ** low / ceilings.gigabytes;
  const start = Math.max(10 ** left, floor);
  const roof = `M${x(start)} ${y(start * ceilings.gigabytes)}L${x(ridge)} ${y(mostGigaflops(ceilings))}H${WIDTH - 20}`;
  const total = points.reduce((sum, { kernel }) => sum + kernel.time.median, 0);
  const circles = points.map(({ kernel, intensity, rate }) => {
    const roofHere = Math.min(mostGigaflops(ceilings), intensity * ceilings.gigabytes);
    const tip = `${kernel.kernel}\n${formatDuration(kernel.time.median)} in ${kernel.launches} launches\n${formatNumber(rate)} GFLOP/s at ${formatNumber(intensity)} FLOP a byte: ${((100 * rate) / roofHere).toFixed(0)} % of the ceiling there`;
    const radius = 3 + 26 * Math.sqrt(kernel.time.median / total);
    const tone = kinds.find(({ pattern }) => pattern.test(kernel.kernel))?.tone ?? 8;
    return markup`<circle class="span tone${tone}" fill-opacity=".75" cx="${x(intensity).toFixed(1)}" cy="${y(rate).toFixed(1)}" r="${radius.toFixed(1)}" data-tip="${tip}"/>`;
  });
  return markup`<svg viewBox="0 0 ${WIDTH} ${HEIGHT}">${ticks(left, right, low, high, x, y)}<path class="bound" d="${roof}"/>${circles}<text x="${WIDTH - 20}" y="${HEIGHT - 2}" text-anchor="end">FLOP a byte</text><text x="${LEFT + 6}" y="${TOP - 3}">GFLOP/s</text>${kinds.map(({ name, tone }, at) => markup`<circle class="tone${tone}" cx="${LEFT + 20 + 110 * at}" cy="${HEIGHT - 6}" r="5"/><text x="${LEFT + 30 + 110 * at}" y="${HEIGHT - 2}">${name}</text>`)}</svg>`;
}

/** Whole powers of ten around the values. */
function decades(values: readonly number[]): readonly [number, number] {
  const logs = values.map((value) => Math.log10(value));
  const low = Math.floor(Math.min(...logs) - 0.1);
  return [low, Math.max(low + 1, Math.ceil(Math.max(...logs) + 0.1))];
}

function ticks(
  left: number,
  right: number,
  low: number,
  high: number,
  x: (value: number) => number,
  y: (value: number) => number,
): Content {
  const lines: Content[] = [];
  for (let power = left; power <= right; power++) {
    const at = x(10 ** power).toFixed(1);
    lines.push(
      markup`<line class="axis" x1="${at}" x2="${at}" y1="${TOP}" y2="${HEIGHT - BOTTOM}"/><text x="${at}" y="${HEIGHT - BOTTOM + 16}" text-anchor="middle">${formatNumber(10 ** power)}</text>`,
    );
  }
  for (let power = low; power <= high; power++) {
    const at = y(10 ** power).toFixed(1);
    lines.push(
      markup`<line class="axis" x1="${LEFT}" x2="${WIDTH - 20}" y1="${at}" y2="${at}"/><text x="${LEFT - 8}" y="${at}" dy="4" text-anchor="end">${formatNumber(10 ** power)}</text>`,
    );
  }
  return lines;
}
