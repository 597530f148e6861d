/** The report as text. */
import { describeBuild } from '../../runtime/artifact/choose-build.js';
import { describeSizes, type PictureSizes } from './sizes.js';
import {
  type Column,
  formatBytes,
  formatCount,
  formatFlop,
  formatInteger,
  formatNumber,
  formatTable,
} from './format.js';
import type { FunctionReport, InspectReport, KernelReport, Work } from './report.js';

const left = (title: string): Column => ({ title, align: 'left' });
const right = (title: string): Column => ({ title, align: 'right' });

/** Few kernels of each function when there are several functions. */
export function formatReport(report: InspectReport, sizes: PictureSizes): string {
  const mostKernels = report.functions.length > 1 ? 6 : Infinity;
  const { name, source, target, components } = report;
  const limits = `bindings up to ${formatBytes(target.maxBindingBytes)}, buffers up to ${formatBytes(target.maxBufferBytes)}`;
  const lines = [
    `${name}: ${source === 'configuration' ? 'configuration without weights' : source}, for ${target.backend} (${limits})`,
    ...describeBuilds(report),
    '',
    ...formatTable(
      [left('component'), right('parameters'), right('bytes'), right('tensors'), left('stored as')],
      components.map((component) => [
        component.name,
        formatCount(component.parameters),
        formatBytes(component.bytes),
        `${component.tensors}`,
        component.storedAs.join(', '),
      ]),
    ),
  ];
  for (const fn of report.functions) lines.push('', ...formatFunction(fn, sizes, mostKernels));
  for (const { name, reason } of report.misfits) {
    lines.push('', `${name}  ${describeSizes(name, sizes)}`, ...reason.split('\n').map((line) => `  ${line}`));
  }
  return `${lines.join('\n')}\n`;
}

/** For GPUs, which build the rest is about and how to see the others. */
export function describeBuilds({ build, builds }: Pick<InspectReport, 'build' | 'builds'>): readonly string[] {
  if (builds.every(({ architectures }) => architectures.length === 0)) return [];
  const listed = builds.map((one) => {
    const which = one.name === build ? 'this one' : `--build ${one.name}`;
    return `${describeBuild(one.name, one)}${builds.length > 1 ? ` (${which})` : ''}`;
  });
  return [`${builds.length > 1 ? 'builds' : 'build'}: ${listed.join('; ')}`];
}

function formatFunction(fn: FunctionReport, sizes: PictureSizes, mostKernels: number): readonly string[] {
  const { memory, steps, once, step } = fn;
  const excess = memory.lowerBoundBytes === 0 ? 0 : (memory.arenaBytes / memory.lowerBoundBytes - 1) * 100;
  const launches =
    steps === 0
      ? `${formatInteger(once.launches)} launches`
      : `${formatInteger(step.launches)} launches a step, ${formatInteger(once.launches)} around the loop`;
  const perStep = steps > 0;
  const unit = chooseUnit(perStep ? step : once);
  const tableOf = (title: string, ofStep: boolean): readonly string[] => {
    const kernels = fn.kernels.filter((kernel) => pick(kernel, ofStep).launches > 0);
    const left = kernels.length - mostKernels;
    const more = left > 0 ? [`  and ${left} more: --component ${fn.name} shows all`] : [];
    return [...formatKernels(title, kernels.slice(0, mostKernels), ofStep, unit), ...more];
  };
  return [
    `${fn.name}  ${describeSizes(fn.name, sizes)}`,
    `  takes    ${fn.inputs.join(', ')}`,
    `  gives    ${fn.results.join(', ')}`,
    `  plan     ${fn.kernels.length} kernels, ${launches}, ${fn.copies} copies, ${fn.hostSteps} host steps`,
    `  work     ${describeWork(perStep ? step : once)}${perStep ? ` a step, ${describeWork(once)} around the loop` : ''}`,
    `  traffic  ${describeTraffic(perStep ? step : once, fn.leastBytes)}`,
    ...describeProducts(fn.kernels, perStep),
    `  weights  ${formatCount(fn.parameters)} parameters, ${formatBytes(memory.weightBytes)} on the device`,
    `  memory   ${formatBytes(memory.arenaBytes)} in ${memory.arenas.length} arenas (lower bound ${formatBytes(memory.lowerBoundBytes)}, ` +
      `${excess < 0.05 ? 'reached' : `+${excess.toFixed(1)} %`}), ${formatBytes(memory.boundaryBytes)} for inputs and results`,
    `  largest binding ${formatBytes(fn.largestBinding.bytes)}: ${fn.largestBinding.label}`,
    '',
    ...formatTable(
      [left(perStep ? 'blocks of a step' : 'blocks'), right('launches'), right(unit.title), right('MB')],
      fn.blocks.map(({ family, count, work }) => [
        count > 1 ? `${count} × ${family}` : family,
        ...workCells(work, unit),
      ]),
    ),
    '',
    ...tableOf(perStep ? 'kernels of a step' : 'kernels', perStep),
    ...(perStep ? ['', ...tableOf('around the loop', false)] : []),
  ];
}

interface Unit {
  readonly title: string;
  readonly flop: number;
}

function chooseUnit({ flop }: Work): Unit {
  return flop >= 1e10 ? { title: 'GFLOP', flop: 1e9 } : { title: 'MFLOP', flop: 1e6 };
}

function formatKernels(
  title: string,
  kernels: readonly KernelReport[],
  perStep: boolean,
  unit: Unit,
): readonly string[] {
  return formatTable(
    [
      left(title),
      right('launches'),
      right(unit.title),
      right('MB'),
      right('workgroup'),
      right('registers'),
      left('computes'),
      left('schedule'),
    ],
    kernels.map((kernel) => [
      kernel.name,
      ...workCells(pick(kernel, perStep), unit),
      `${kernel.workgroupSize}`,
      kernel.registers === undefined || kernel.registers === 0 ? '' : `${kernel.registers}`,
      kernel.what === '' ? (kernel.labels[0] ?? '') : kernel.what,
      kernel.scheduleText === '' ? '' : `${kernel.origin ?? ''}: ${kernel.scheduleText}`,
    ]),
  );
}

function pick({ once, step }: KernelReport, perStep: boolean): Work {
  return perStep ? step : once;
}

function workCells({ launches, flop, bytes }: Work, unit: Unit): readonly string[] {
  return [formatInteger(launches), formatNumber(flop / unit.flop), formatNumber(bytes / 1e6)];
}

function describeWork({ flop, bytes }: Work): string {
  return `${formatFlop(flop)} on ${formatBytes(bytes)}`;
}

/** How much of the work are products, and of factors of which type; nothing where there are none, and for artifacts. */
function describeProducts(kernels: readonly KernelReport[], perStep: boolean): readonly string[] {
  const flopOf = new Map<string, number>();
  let all = 0;
  for (const kernel of kernels) {
    const { flop } = pick(kernel, perStep);
    all += flop;
    if (kernel.factors !== undefined && flop > 0) flopOf.set(kernel.factors, (flopOf.get(kernel.factors) ?? 0) + flop);
  }
  const shares = [...flopOf].sort(([, a], [, b]) => b - a);
  const texts = shares.map(
    ([factors, flop]) => `${((100 * flop) / all).toFixed(1)} % of the work with factors in ${factors}`,
  );
  return texts.length === 0 ? [] : [`  products ${texts.join(', ')}`];
}

function describeTraffic({ bytes }: Work, leastBytes: number): string {
  if (leastBytes === 0) return `${formatBytes(bytes)}, no products`;
  const ratio = formatNumber(bytes / leastBytes);
  return `${formatBytes(bytes)}, ${ratio} × what products and attentions read and write (${formatBytes(leastBytes)})`;
}
