/** The page of `inspect --html`: one tab a function, with everything there is to see of it. */
import { type Content, markup } from '../../page/markup.js';
import { renderFigure, renderPage, renderShares, renderTable, renderTabs } from '../../page/page.js';
import type { BoundPlan } from '../../../runtime/plan/bound-plan.js';
import { formatBytes, formatCount, formatFlop, formatInteger, formatNumber } from '../format.js';
import type { PassRecorder } from '../pass-recorder.js';
import type { FunctionReport, InspectReport } from '../report.js';
import type { InspectedFunction } from '../subject.js';
import { renderGraph } from './graph-section.js';
import { renderKernels } from './kernels-section.js';
import type { ReportedMemory } from '../memory-report.js';
import { renderMemory } from './memory-section.js';
import { renderPasses } from './passes-section.js';
import { renderStream } from './stream-section.js';
import { describeBuilds } from '../summary.js';
import { toneOf } from './tones.js';
import { renderWeights } from './weights-section.js';

export interface InspectPageInput {
  readonly report: InspectReport;
  readonly functions: readonly PageFunction[];
  /** What the sizes are, by function. */
  readonly sizes: ReadonlyMap<string, string>;
  readonly version: string;
}

export interface PageFunction {
  readonly report: FunctionReport;
  readonly compiled: InspectedFunction;
  readonly bound: BoundPlan;
  readonly recorder: PassRecorder;
  /** Where it was asked for: a plan within a budget, as of the last of them. */
  readonly memory?: ReportedMemory | undefined;
}

export function renderInspectPage({ report, functions, sizes, version }: InspectPageInput): string {
  const { target } = report;
  return renderPage({
    title: `${report.name}, compiled`,
    subtitle: `${report.source === 'configuration' ? 'configuration without weights' : report.source} · for ${target.backend}: bindings up to ${formatBytes(target.maxBindingBytes)}, buffers up to ${formatBytes(target.maxBufferBytes)}, workgroups of up to ${[target.maxWorkgroupInvocations, ...describeBuilds(report)].join(' · ')}`,
    tabs: [
      { title: 'overview', body: renderOverview(report, functions, sizes) },
      ...functions.map((one) => ({ title: one.report.name, body: renderFunction(one, sizes) })),
    ],
    footer: `flux2c ${version}`,
  });
}

function renderOverview(
  { components, misfits }: InspectReport,
  functions: readonly PageFunction[],
  sizes: ReadonlyMap<string, string>,
): Content {
  const table = renderTable(
    [
      { title: 'component', numeric: false },
      { title: 'parameters', numeric: true },
      { title: 'bytes', numeric: true },
      { title: 'tensors', numeric: true },
      { title: 'stored as', numeric: false },
    ],
    components.map(({ name, parameters, bytes, tensors, storedAs }) => ({
      cells: [
        { text: name },
        { text: formatCount(parameters), sort: parameters },
        { text: formatBytes(bytes), sort: bytes },
        { text: tensors },
        { text: storedAs.join(', ') },
      ],
    })),
  );
  return [
    markup`<h2>networks</h2>`,
    table,
    functions.map(({ report }) => [
      markup`<h2>${report.name} <span class="muted">${sizes.get(report.name)}</span></h2>`,
      renderFigures(report),
      renderBlockShares(report),
    ]),
    misfits.map(({ name, reason }) => [
      markup`<h2>${name} <span class="muted">${sizes.get(name)}</span></h2>`,
      markup`<pre>${reason}</pre>`,
    ]),
  ];
}

function renderFunction(
  { report, compiled, bound, recorder, memory }: PageFunction,
  sizes: ReadonlyMap<string, string>,
): Content {
  return [
    markup`<p class="muted">${sizes.get(report.name)}</p>`,
    renderFigures(report),
    renderBlockShares(report),
    renderTabs(
      [
        { title: 'kernels', body: renderKernels(report, compiled) },
        ...(recorder.result === undefined
          ? []
          : [
              { title: 'graph', body: renderGraph(recorder.result, compiled.plan) },
              { title: 'passes', body: renderPasses(recorder) },
            ]),
        { title: 'memory', body: renderMemory(bound) },
        ...(memory === undefined
          ? []
          : [{ title: 'streaming', body: renderStream(memory.planned, memory.memory.costs, memory.isBeside) }]),
        { title: 'weights', body: renderWeights(compiled.plan) },
      ],
      'sub',
    ),
  ];
}

function renderFigures({
  steps,
  step,
  once,
  kernels,
  memory,
  largestBinding,
  parameters,
  hostSteps,
}: FunctionReport): Content {
  const looped = steps > 0;
  const work = looped ? step : once;
  const around = looped ? `and ${formatInteger(once.launches)} around the loop` : `${hostSteps} host steps before`;
  const excess = memory.lowerBoundBytes === 0 ? 0 : memory.arenaBytes / memory.lowerBoundBytes - 1;
  const bound = `lower bound ${formatBytes(memory.lowerBoundBytes)}${excess < 0.0005 ? ', reached' : `, +${(100 * excess).toFixed(1)} %`}`;
  return markup`<div class="figures">
    ${[
      renderFigure(looped ? 'launches a step' : 'launches', formatInteger(work.launches), around),
      renderFigure('kernels', `${kernels.length}`, 'distinct'),
      renderFigure(
        looped ? 'work a step' : 'work',
        formatFlop(work.flop),
        `${formatBytes(work.bytes)}, ${formatNumber(work.flop / Math.max(1, work.bytes))} FLOP a byte`,
      ),
      renderFigure('weights', formatBytes(memory.weightBytes), `${formatCount(parameters)} parameters`),
      renderFigure('arenas', formatBytes(memory.arenaBytes), bound),
      renderFigure('largest binding', formatBytes(largestBinding.bytes), largestBinding.label),
    ]}
  </div>`;
}

function renderBlockShares({ blocks }: FunctionReport): Content {
  return renderShares(
    blocks.map(({ family, count, work }) => ({
      name: count > 1 ? `${count} × ${family}` : family,
      value: work.flop,
      note: `${formatFlop(work.flop)}, ${formatInteger(work.launches)} launches`,
      tone: toneOf(family),
    })),
  );
}
