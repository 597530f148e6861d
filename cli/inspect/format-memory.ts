/** What functions need in memory, as people read it. */
import { printBudget } from '../../runtime/memory/byte-budget.js';
import { type Column, formatBytes, formatDuration, formatTable } from './format.js';
import type { FunctionMemory } from './memory-report.js';
import type { InspectReport } from './report.js';
import { describeSizes, type PictureSizes } from './sizes.js';

/** All functions, and what a picture needs that goes through them one after the other. */
export function formatMemories(
  memories: readonly FunctionMemory[],
  { functions, misfits }: Pick<InspectReport, 'functions' | 'misfits'>,
  sizes: PictureSizes,
): string {
  const lines = memories.flatMap((memory) => {
    const steps = functions.find(({ name }) => name === memory.name)?.steps ?? 0;
    return [...formatMemory(memory, `${memory.name}  ${describeSizes(memory.name, sizes)}`, steps > 0), ''];
  });
  for (const { name, reason } of misfits) {
    lines.push(`${name}  ${describeSizes(name, sizes)}`, ...reason.split('\n').map((line) => `  ${line}`), '');
  }
  const needs = memories.map(({ name, leastBytes, tiles }) => ({
    name,
    bytes: tiles.at(-1)?.leastBytes ?? leastBytes,
  }));
  const largest = needs.reduce<(typeof needs)[number] | undefined>((most, one) => (most !== undefined && most.bytes >= one.bytes ? most : one), undefined); // prettier-ignore
  if (memories.length > 1 && largest !== undefined) {
    lines.push(
      `A picture, whose functions have the memory one after the other, needs ${printBudget(largest.bytes)}, for ${largest.name}.`,
    );
  }
  return `${lines.join('\n').trimEnd()}\n`;
}

const left = (title: string): Column => ({ title, align: 'left' });
const right = (title: string): Column => ({ title, align: 'right' });

function formatMemory(
  { wholeBytes, leastBytes, tiles, arenaBytes, boundaryBytes, costs, budgets }: FunctionMemory,
  title: string,
  hasSteps: boolean,
): readonly string[] {
  return [
    title,
    `  all on the device  ${formatBytes(wholeBytes)}: weights ${formatBytes(wholeBytes - arenaBytes - boundaryBytes)}, arenas ${formatBytes(arenaBytes)}, inputs and results ${formatBytes(boundaryBytes)}`,
    `  smallest budget    ${printBudget(leastBytes)}`,
    ...tiles.map(({ size, leastBytes: bytes }) => `    in tiles of ${size} tokens a side  ${printBudget(bytes)}`),
    `  predicted for      ${formatRate(costs.flop / 1e12)} TFLOP/s, ${formatRate(costs.uploadBytes / 1e9)} GB/s to the device, ${formatRate(costs.diskBytes / 1e9)} GB/s from files`,
    '',
    ...formatTable(
      [
        left('budget'),
        right('taken'),
        right('weights that stay'),
        right('ring'),
        right(hasSteps ? 'streamed a step' : 'streamed'),
        right('in host memory'),
        ...(hasSteps ? [right('launches'), right('step'), right('of the least')] : []),
        right('load'),
        right('run'),
      ],
      budgets.map((one) => [
        one.budgetBytes === wholeBytes ? 'all' : printBudget(one.budgetBytes),
        formatBytes(one.deviceBytes),
        formatBytes(one.residentBytes),
        formatBytes(one.ringBytes),
        formatBytes(one.streamedBytes),
        formatBytes(one.hostBytes),
        ...(hasSteps
          ? [
              `${one.launches}`,
              formatDuration(one.stepSeconds * 1e3),
              `${(one.stepSeconds / one.idealStepSeconds).toFixed(2)} ×`,
            ]
          : []),
        formatDuration(one.loadSeconds * 1e3),
        formatDuration(one.seconds * 1e3),
      ]),
    ),
  ];
}

function formatRate(value: number): string {
  return Number(value.toPrecision(3)).toString();
}
