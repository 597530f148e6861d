/** The picture of a plan that streams weights: what copies and launches do when, and what is where in the ring. */
import { type DeviceCosts } from '../../../runtime/memory/device-costs.js';
import type { PlannedMemory } from '../../../runtime/memory/plan-memory.js';
import { simulate, type TimelineEvent } from '../../../runtime/memory/simulate.js';
import type { BoundPlan } from '../../../runtime/plan/bound-plan.js';
import { type Content, markup, type Markup } from '../../page/markup.js';
import { renderFigure } from '../../page/page.js';
import { formatBytes, formatDuration } from '../format.js';
import { blockOf } from '../label-block.js';
import { toneOf } from './tones.js';

const WIDTH = 1320;
const LEFT = 76;
const LANE = 34;
const RING_HEIGHT = 300;

const lanes = [
  { lane: 'compute', title: 'launches' },
  { lane: 'upload', title: 'to device' },
  { lane: 'read', title: 'from files' },
] as const;

/** What a plan within a budget does over time: its launches, its uploads and its reads, and how long each waits for the other. */
export function renderStream(
  { bound, prediction, deviceBytes }: PlannedMemory,
  costs: DeviceCosts,
  isBeside: boolean,
): Content {
  if (bound.streamed === undefined) {
    return markup`<p class="muted">Everything is on the device: ${formatBytes(deviceBytes)}. Nothing is streamed.</p>`;
  }
  const events = record(bound, costs, isBeside);
  const end = Math.max(...events.map((event) => event.end));
  const hasLoop = bound.steps.some(({ kind }) => kind === 'loop');
  const used = lanes.filter(({ lane }) => events.some((event) => event.lane === lane));
  return [
    markup`<div class="figures">
      ${[
        renderFigure(
          'on the device',
          formatBytes(deviceBytes),
          `${formatBytes(bound.memory.weightBytes)} of weights stay`,
        ),
        renderFigure(
          'ring',
          formatBytes(bound.memory.ringBytes ?? 0),
          `${new Set(bound.streamed.map(({ weight, segment }) => `${weight} ${segment}`)).size} pieces take turns`,
        ),
        renderFigure(
          hasLoop ? 'streamed a step' : 'streamed',
          formatBytes(prediction.streamedBytes),
          `${formatBytes(costs.uploadBytes)}/s to the device`,
        ),
        renderFigure(
          hasLoop ? 'step, predicted' : 'run, predicted',
          formatDuration(prediction.stepSeconds * 1e3),
          `at least ${formatDuration(prediction.idealStepSeconds * 1e3)}; launches alone ${formatDuration(prediction.computeSeconds * 1e3)}`,
        ),
      ]}
    </div>`,
    markup`<p class="muted">
      ${hasLoop ? 'The way into the loop and its first iterations' : 'The whole run'}, as simulated; colours are blocks of the network.
      In the ring a piece is pale while it arrives and after its last use, until another takes its place.
    </p>`,
    markup`<div class="chart"><h3>who is busy</h3>${renderLanes(events, used, end)}</div>`,
    markup`<div class="chart"><h3>places in the ring</h3>${renderRing(bound, events, end)}</div>`,
  ];
}

function record(bound: BoundPlan, costs: DeviceCosts, isBeside: boolean): readonly TimelineEvent[] {
  const events: TimelineEvent[] = [];
  // Two iterations and the way into them: more cannot be told apart in a picture.
  const steps = bound.steps.map((step) => (step.kind === 'loop' ? { ...step, count: Math.min(step.count, 2) } : step));
  simulate({ ...bound, steps }, { costs, isBeside, onEvent: (event) => events.push(event) });
  return events;
}

function xOf(end: number): (seconds: number) => number {
  return (seconds) => LEFT + ((WIDTH - LEFT) * seconds) / end;
}

function toneOfLabel(label: string): number {
  return toneOf(blockOf(label)?.family ?? 'other');
}

function renderLanes(events: readonly TimelineEvent[], used: readonly (typeof lanes)[number][], end: number): Markup {
  const x = xOf(end);
  const rows = used.map(({ lane, title }, row) => {
    const own = events.filter((event) => event.lane === lane);
    return [
      markup`<text x="${LEFT - 8}" y="${row * LANE + 20}" text-anchor="end">${title}</text>`,
      own.map(
        ({ label, start, end: stop }) => markup`<rect
        class="tone${toneOfLabel(label)}"
        x="${x(start).toFixed(2)}"
        y="${row * LANE + 3}"
        width="${Math.max(0.3, x(stop) - x(start)).toFixed(2)}"
        height="${LANE - 8}"
        data-tip="${`${label}\n${formatDuration((stop - start) * 1e3)} from ${formatDuration(start * 1e3)} on`}"
      />`,
      ),
    ];
  });
  return markup`<svg viewBox="0 0 ${WIDTH} ${used.length * LANE + 20}">${rows}${timeTicks(end, used.length * LANE)}</svg>`;
}

interface Stay {
  readonly piece: number;
  readonly label: string;
  readonly start: number;
  readonly arrived: number;
  lastUse: number;
  end: number;
}

function renderRing(bound: BoundPlan, events: readonly TimelineEvent[], end: number): Markup {
  const x = xOf(end);
  const rings = bound.buffers.flatMap(({ kind, byteLength }, buffer) =>
    kind === 'ring' ? [{ buffer, byteLength }] : [],
  );
  const total = rings.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const starts = new Map<number, number>();
  rings.reduce((start, { buffer, byteLength }) => (starts.set(buffer, start), start + byteLength), 0);
  const y = (bytes: number): number => RING_HEIGHT - ((RING_HEIGHT - 6) * bytes) / total;
  const bars = findStays(bound, events, end).map((stay) => {
    const { buffer, byteOffset, byteLength } = bound.streamed![stay.piece]!;
    const top = y(starts.get(buffer)! + byteOffset + byteLength);
    const height = Math.max(0.8, y(starts.get(buffer)! + byteOffset) - top);
    const tip = `${stay.label}\n${formatBytes(byteLength)} at ${formatBytes(byteOffset)}\nhere from ${formatDuration(stay.arrived * 1e3)}, used until ${formatDuration(stay.lastUse * 1e3)}`;
    const bar = (from: number, to: number, opacity: number): Markup => markup`<rect
      class="tone${toneOfLabel(stay.label)}"
      opacity="${opacity}"
      x="${x(from).toFixed(2)}"
      y="${top.toFixed(2)}"
      width="${Math.max(0, x(to) - x(from)).toFixed(2)}"
      height="${height.toFixed(2)}"
      data-tip="${tip}"
    />`;
    return [bar(stay.start, stay.arrived, 0.35), bar(stay.arrived, stay.lastUse, 1), bar(stay.lastUse, stay.end, 0.18)];
  });
  const edges = [0, total].map(
    (bytes) =>
      markup`<text x="${LEFT - 8}" y="${(y(bytes) + (bytes === 0 ? 0 : 8)).toFixed(1)}" text-anchor="end">${formatBytes(bytes)}</text>`,
  );
  return markup`<svg viewBox="0 0 ${WIDTH} ${RING_HEIGHT + 20}">${edges}${bars}${timeTicks(end, RING_HEIGHT)}</svg>`;
}

/** From the begin of each upload until another comes into the place. */
function findStays({ streamed = [] }: BoundPlan, events: readonly TimelineEvent[], end: number): readonly Stay[] {
  const stays: Stay[] = [];
  const present = new Set<Stay>();
  for (const event of events) {
    if (event.lane === 'upload' && event.piece !== undefined) {
      const place = streamed[event.piece]!;
      for (const stay of present) {
        const other = streamed[stay.piece]!;
        const meet = other.buffer === place.buffer && other.byteOffset < place.byteOffset + place.byteLength && place.byteOffset < other.byteOffset + other.byteLength; // prettier-ignore
        if (!meet) continue;
        stay.end = event.start;
        present.delete(stay);
      }
      const stay = {
        piece: event.piece,
        label: event.label,
        start: event.start,
        arrived: event.end,
        lastUse: event.end,
        end,
      };
      stays.push(stay);
      present.add(stay);
    }
    for (const { buffer, byteOffset } of event.launch?.bindings ?? []) {
      for (const stay of present) {
        const place = streamed[stay.piece]!;
        const reads = place.buffer === buffer && place.byteOffset <= byteOffset && byteOffset < place.byteOffset + place.byteLength; // prettier-ignore
        if (reads) stay.lastUse = Math.max(stay.lastUse, event.end);
      }
    }
  }
  return stays;
}

function timeTicks(end: number, height: number): Content {
  const x = xOf(end);
  let step = 10 ** Math.floor(Math.log10(end));
  if (end / step < 3) step /= 4;
  const ticks = Array.from({ length: Math.floor(end / step) + 1 }, (_, index) => index * step);
  return ticks.map((seconds) => [
    markup`<line class="axis" x1="${x(seconds).toFixed(1)}" x2="${x(seconds).toFixed(1)}" y1="0" y2="${height}" />`,
    markup`<text x="${x(seconds).toFixed(1)}" y="${height + 14}" text-anchor="middle">${formatDuration(seconds * 1e3)}</text>`,
  ]);
}
