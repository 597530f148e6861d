/** All kernels of a function with their texts. */
import { type Content, markup } from '../../page/markup.js';
import { renderTable, renderTabs, type TableColumn, type TableRow } from '../../page/page.js';
import { kernelText } from '../emit.js';
import { formatInteger, formatNumber } from '../format.js';
import type { FunctionReport, KernelReport, Work } from '../report.js';
import type { InspectedFunction, InspectedKernel } from '../subject.js';

export function renderKernels({ kernels, steps }: FunctionReport, compiled: InspectedFunction): Content {
  const looped = steps > 0;
  const total = kernels.reduce((sum, { once, step }) => sum + (looped ? step : once).flop, 0);
  const unit = total >= 1e10 ? { title: 'GFLOP', flop: 1e9 } : { title: 'MFLOP', flop: 1e6 };
  const columns: TableColumn[] = [
    { title: 'kernel', numeric: false },
    ...(looped ? [{ title: 'launches a step', numeric: true }] : []),
    { title: looped ? 'around the loop' : 'launches', numeric: true },
    { title: unit.title, numeric: true },
    { title: 'share', numeric: true },
    { title: 'MB', numeric: true },
    { title: 'FLOP / byte', numeric: true },
    { title: 'workgroup', numeric: true },
    { title: 'registers', numeric: true },
    { title: 'computes', numeric: false },
  ];
  const rows = kernels.map((kernel): TableRow => {
    const { once, step, registers, what, labels } = kernel;
    const work = looped ? step : once;
    return {
      cells: [
        { text: markup`<code>${kernel.name}</code>` },
        ...(looped ? [count(step)] : []),
        count(once),
        { text: formatNumber(work.flop / unit.flop), sort: work.flop },
        { text: `${((100 * work.flop) / Math.max(1, total)).toFixed(1)} %`, sort: work.flop },
        { text: formatNumber(work.bytes / 1e6), sort: work.bytes },
        { text: formatNumber(work.flop / Math.max(1, work.bytes)), sort: work.flop / Math.max(1, work.bytes) },
        { text: kernel.workgroupSize },
        { text: registers === undefined || registers === 0 ? '' : registers },
        { text: what === '' ? (labels[0] ?? '') : what },
      ],
      more: renderKernel(kernel, compiled.kernels.get(kernel.name)),
    };
  });
  const scope = looped ? 'Work is that of one step; kernels that only run around the loop have none.' : '';
  return [
    markup`<p class="muted">
      A click on a kernel shows its text. ${scope} Registers: elements of the largest tile in the registers of one
      invocation.
    </p>`,
    renderTable(columns, rows),
  ];
}

function count({ launches }: Work): TableRow['cells'][number] {
  return { text: formatInteger(launches), sort: launches };
}

function renderKernel(report: KernelReport, kernel: InspectedKernel | undefined): Content {
  const shared = report.sharedBytes === 0 ? '' : `, ${report.sharedBytes} bytes of workgroup memory`;
  const spread = report.scheduleText === '' ? '' : ` Schedule (${report.origin ?? ''}): ${report.scheduleText}.`;
  const facts = markup`<p>${report.buffers} buffers${shared}.${spread}</p>
    <p class="muted">Makes ${report.labels.join(', ')}${report.labels.length === 3 ? ', …' : ''}</p>`;
  if (kernel === undefined) return facts;
  const texts = (['tile', 'source', 'thread'] as const).flatMap((stage) => {
    const text = kernelText(kernel, stage);
    return text === undefined ? [] : [{ title: stage, body: markup`<pre>${text}</pre>` }];
  });
  return [facts, renderTabs(texts, 'text')];
}
