/** A comparison as one picture: bars for every work. */
import { formatDuration, formatNumber } from '../../cli/inspect/format.js';
import { markup } from '../../cli/page/markup.js';
import { renderFigure } from '../../cli/page/figure.js';
import { type Bar, renderBarRows } from '../plot-bars.js';
import { nameOf } from './contestants.js';
import { type ContestantResult, isRanked, type PeersResult, printTask, type WorkResult } from './result.js';

const WIDTH = 1320;
const TITLE = 30;
const GAP = 18;
const NAMES = 340;

/** An SVG file of its own. */
export function renderPeersPlot({ works }: PeersResult): string {
  let top = 0;
  const parts = works.map((result) => {
    const { rows, height } = renderBarRows(
      result.contestants.flatMap((one) => barOf(one, result)),
      NAMES,
    );
    const title = printTask(result);
    const part = markup`<g transform="translate(0 ${top})"><text class="title" x="4" y="18">${title}</text><g transform="translate(0 ${TITLE})">${rows}</g></g>`;
    top += TITLE + height + GAP;
    return part;
  });
  return renderFigure(WIDTH, top, parts);
}

function barOf(one: ContestantResult, { flop, hardware }: WorkResult): readonly Bar[] {
  const { wall, cpu } = one;
  if (wall === undefined || cpu === undefined) return [];
  const rate = `${formatNumber(flop / wall.median / 1e6)} GFLOP/s`;
  return [
    {
      name: isRanked(one) ? nameOf(one) : `${nameOf(one)} (wrong)`,
      time: wall,
      note: hardware ? rate : `${rate}, processor time ${formatDuration(cpu.median)}`,
      tone: one.own ? 1 : isRanked(one) ? 0 : 8,
    },
  ];
}
