/** Errors of residual streams from block to block: a line for each step, image and text apart. */
import { type Content, markup, type Markup } from '../../cli/page/markup.js';
import { streamNames } from '../../models/flux2/residual-streams.js';
import { formatError } from './report-text.js';
import type { BlockQuality } from './result.js';

const WIDTH = 1320;
const PANEL_WIDTH = WIDTH / 2;
const HEIGHT = 340;
const LEFT = 70;
const RIGHT = 20;
const TOP = 44;
const BOTTOM = 60;
/** Names of blocks that fit below the axis. */
const MOST_NAMES = 14;
const tones: readonly number[] = [0, 1, 2];

/** Relative L2 errors of the hidden states behind each block, a series for each step. */
export function renderBlocks(blocks: readonly BlockQuality[]): Markup {
  const steps = [...new Set(blocks.map(({ step }) => step))];
  const most = Math.max(...blocks.map(({ relativeL2 }) => relativeL2), 1e-9) * 1.05;
  const legend = steps.map(
    (step, at) =>
      markup`<circle class="tone${tones[at]}" cx="${LEFT + 6 + 110 * at}" cy="12" r="5"/><text x="${LEFT + 16 + 110 * at}" y="16">step ${step + 1}</text>`,
  );
  const panels = streamNames.map((stream, at) => {
    const own = blocks.filter((one) => one.stream === stream);
    return markup`<g transform="translate(${at * PANEL_WIDTH} 0)">${drawPanel(stream, own, steps, most)}</g>`;
  });
  return markup`<svg viewBox="0 0 ${WIDTH} ${HEIGHT}">${legend}${panels}</svg>`;
}

function drawPanel(stream: string, blocks: readonly BlockQuality[], steps: readonly number[], most: number): Content {
  const names = [...new Set(blocks.map(({ block }) => block))];
  const x = (at: number): number =>
    LEFT + 12 + ((PANEL_WIDTH - LEFT - RIGHT - 24) * at) / Math.max(1, names.length - 1);
  const y = (value: number): number => HEIGHT - BOTTOM - ((HEIGHT - TOP - BOTTOM) * value) / most;
  const lines = steps.map((step, place) => {
    const tone = tones[place]!;
    const own = blocks.filter((one) => one.step === step);
    const path = own.map(({ relativeL2 }, at) => `${at === 0 ? 'M' : 'L'}${x(at).toFixed(1)} ${y(relativeL2).toFixed(1)}`); // prettier-ignore
    const points = own.map(
      ({ block, relativeL2 }, at) =>
        markup`<circle class="span tone${tone}" cx="${x(at).toFixed(1)}" cy="${y(relativeL2).toFixed(1)}" r="4" data-tip="${block} ${stream}, step ${step + 1}\n${formatError(relativeL2)}"/>`,
    );
    return [markup`<path d="${path.join('')}" fill="none" stroke="var(--tone${tone})" stroke-width="1.5"/>`, points];
  });
  const stride = Math.ceil(names.length / MOST_NAMES);
  const labels = names.map((name, at) => {
    if (at % stride !== 0) return '';
    const place = `${x(at).toFixed(1)} ${HEIGHT - BOTTOM + 14}`;
    return markup`<text transform="translate(${place}) rotate(-35)" text-anchor="end">${name}</text>`;
  });
  const rows = chooseTicks(most).map((value) => {
    return markup`<line class="axis" x1="${LEFT}" x2="${PANEL_WIDTH - RIGHT}" y1="${y(value).toFixed(1)}" y2="${y(value).toFixed(1)}"/><text x="${LEFT - 8}" y="${y(value).toFixed(1)}" dy="4" text-anchor="end">${formatError(value)}</text>`;
  });
  return [rows, lines, labels, markup`<text x="${LEFT}" y="${TOP - 10}">${stream} stream, relative L2</text>`];
}

/** From 0 up to `most`, by 1, 2 or 5 times a power of ten. */
function chooseTicks(most: number): readonly number[] {
  const power = 10 ** Math.floor(Math.log10(most / 5));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => most / candidate <= 6)!;
  return Array.from({ length: Math.floor(most / step) + 1 }, (_, at) => at * step);
}
