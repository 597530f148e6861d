/** Errors of weights as bars. */
import { markup, type Markup } from '../../cli/page/markup.js';
import { formatBytes } from '../../cli/inspect/format.js';
import { formatError } from './report-text.js';
import type { WeightGroup } from './result.js';

const WIDTH = 1320;
const LEFT = 330;
const RIGHT = 80;
const ROW = 22;

/** A bar for each group; networks have colours of their own. */
export function renderWeightBars(groups: readonly WeightGroup[]): Markup {
  const most = Math.max(...groups.map(({ relativeL2 }) => relativeL2), 1e-9);
  const networks = [...new Set(groups.map(networkOf))];
  const rows = groups.map((group, at) => {
    const { name, relativeL2, bitsPerWeight, originalBytes, otherBytes } = group;
    const width = ((WIDTH - LEFT - RIGHT) * relativeL2) / most;
    const middle = at * ROW + ROW / 2;
    const tip = `${name}\nrelative L2 ${formatError(relativeL2)}\n${formatBytes(originalBytes)} become ${formatBytes(otherBytes)}, ${bitsPerWeight.toFixed(2)} bits a weight`;
    return markup`<g data-tip="${tip}"><text x="${LEFT - 10}" y="${middle + 4}" text-anchor="end">${name}</text><rect class="tone${networks.indexOf(networkOf(group)) % 10}" x="${LEFT}" y="${middle - 7}" width="${width.toFixed(1)}" height="14" rx="3"/><text x="${(LEFT + width + 8).toFixed(1)}" y="${middle + 4}">${formatError(relativeL2)}</text></g>`;
  });
  return markup`<svg viewBox="0 0 ${WIDTH} ${groups.length * ROW}">${rows}</svg>`;
}

function networkOf({ name }: WeightGroup): string {
  return name.split(' ')[0]!;
}
