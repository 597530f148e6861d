/** The picture of the arenas: which temporary lies where, and how long. */
import type { BoundPlan } from '../../../runtime/plan/bound-plan.js';
import { type Content, markup, type Markup } from '../../page/markup.js';
import { formatBytes } from '../format.js';
import { blockLabel, blockOf } from '../label-block.js';
import { type MemoryTimeline, traceMemory } from '../timeline.js';
import { toneOf } from './tones.js';

const WIDTH = 1320;
const LEFT = 76;
const HEIGHT = 520;
const CURVE_HEIGHT = 150;

export function renderMemory(bound: BoundPlan): Content {
  const timeline = traceMemory(bound);
  const { memory } = bound;
  if (timeline.spans.length === 0) return markup`<p class="muted">This function keeps nothing in arenas.</p>`;
  return [
    markup`<p class="muted">
      Time runs to the right, one place a step of the plan; a loop is walked once (shaded), because every iteration uses
      the same places. ${timeline.spans.length} temporaries in ${memory.arenas.length} arenas; colours are blocks of the
      network.
    </p>`,
    markup`<div class="chart">
      <h3>live bytes</h3>
      ${renderCurve(timeline, memory.lowerBoundBytes, memory.arenaBytes)}
    </div>`,
    markup`<div class="chart">
      <h3>places in the arenas</h3>
      ${renderSpans(timeline, memory.arenaBytes, memory.lowerBoundBytes)}
    </div>`,
  ];
}

function timeScale({ steps }: MemoryTimeline): (position: number) => number {
  const width = (WIDTH - LEFT) / Math.max(1, steps.length);
  return (position) => LEFT + position * width;
}

function renderCurve(timeline: MemoryTimeline, bound: number, total: number): Markup {
  const x = timeScale(timeline);
  const y = (bytes: number): number => CURVE_HEIGHT - ((CURVE_HEIGHT - 14) * bytes) / Math.max(1, total);
  const outline = timeline.liveBytes.map(
    (bytes, at) => `L${x(at).toFixed(1)} ${y(bytes).toFixed(1)}L${x(at + 1).toFixed(1)} ${y(bytes).toFixed(1)}`,
  );
  return markup`<svg viewBox="0 0 ${WIDTH} ${CURVE_HEIGHT + 4}">
    ${loopShades(timeline, CURVE_HEIGHT)}${byteTicks(total, y)}
    <path class="live" d="M${LEFT} ${CURVE_HEIGHT}${outline.join('')}L${WIDTH} ${CURVE_HEIGHT}Z" />
    ${boundLine(y(bound), bound)}
  </svg>`;
}

function renderSpans(timeline: MemoryTimeline, total: number, bound: number): Markup {
  const x = timeScale(timeline);
  const y = (bytes: number): number => HEIGHT - ((HEIGHT - 14) * bytes) / Math.max(1, total);
  const rectangles = timeline.spans.map(({ label, first, last, byteOffset, byteLength }) => {
    // Pieces of a split have no name of their own: they belong to the step that makes them.
    const block = blockOf(label) ?? blockOf(timeline.steps[first] ?? '');
    const tip = `${label}\n${formatBytes(byteLength)} at ${formatBytes(byteOffset)}\nstep ${first} to ${last} of ${timeline.steps.length}: ${timeline.steps[first] ?? ''}\nblock ${blockLabel(block)}`;
    const height = y(byteOffset) - y(byteOffset + byteLength);
    return markup`<rect
      class="span tone${toneOf(block?.family ?? 'other')}"
      x="${x(first).toFixed(1)}"
      y="${y(byteOffset + byteLength).toFixed(1)}"
      width="${(x(last + 1) - x(first)).toFixed(1)}"
      height="${Math.max(0.8, height).toFixed(1)}"
      data-tip="${tip}"
    />`;
  });
  const edges = timeline.arenaStarts
    .slice(1, -1)
    .map(
      (start) =>
        markup`<line class="axis" x1="${LEFT}" x2="${WIDTH}" y1="${y(start).toFixed(1)}" y2="${y(start).toFixed(1)}" />`,
    );
  return markup`<svg viewBox="0 0 ${WIDTH} ${HEIGHT + 4}">
    ${loopShades(timeline, HEIGHT)}${byteTicks(total, y)}${edges}${rectangles}${boundLine(y(bound), bound)}
  </svg>`;
}

function boundLine(y: number, bound: number): Markup {
  return markup`<line
    class="bound"
    x1="${LEFT}"
    x2="${WIDTH}"
    y1="${y.toFixed(1)}"
    y2="${y.toFixed(1)}"
    data-tip="${`lower bound: ${formatBytes(bound)}\nthe most that is live at once`}"
  />`;
}

function loopShades(timeline: MemoryTimeline, height: number): Content {
  const x = timeScale(timeline);
  return timeline.loops.map(
    ({ first, last }) =>
      markup`<rect
        class="shade"
        x="${x(first).toFixed(1)}"
        y="0"
        width="${(x(last + 1) - x(first)).toFixed(1)}"
        height="${height}"
      />`,
  );
}

/** Lines at round numbers of bytes. */
function byteTicks(total: number, y: (bytes: number) => number): Content {
  let step = 1;
  while (total / step > 6) step *= 2;
  const ticks: Content[] = [];
  for (let bytes = 0; bytes <= total; bytes += step) {
    const at = y(bytes).toFixed(1);
    ticks.push(
      markup`<line class="axis" x1="${LEFT}" x2="${WIDTH}" y1="${at}" y2="${at}" /><text
          x="${LEFT - 8}"
          y="${at}"
          dy="4"
          text-anchor="end"
          >${formatBytes(bytes)}</text
        >`,
    );
  }
  return ticks;
}
