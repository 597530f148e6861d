/** What memory options mean on the machine at hand. */
import { freemem } from 'node:os';
import type { MemoryBudget } from '../models/flux2/memory-shares.js';
import type { ArtifactMemory } from '../runtime/artifact.js';
import type { Device } from '../runtime/device.js';
import { formatBytes, formatDuration } from './inspect/format.js';
import type { PlannedMemory } from '../runtime/memory/plan-memory.js';
import { printBudget } from '../runtime/memory/byte-budget.js';
import type { MemoryOptions } from './memory-options.js';

/** Of free memory of a device, what is left to drivers' own needs and to what else grows meanwhile. */
const spareOfDevice = 0.08;
/** Of free host memory, what weights may take: files that are read want room in the system's cache, too. */
const shareOfHost = 0.6;

/**
 * The budget that the options ask for, or that an artifact was compiled for. Without one everything goes to the device, and what turns
 * out not to fit is streamed. Where host memory is not limited by them, it is by what is free.
 */
export function resolveMemory(
  options: MemoryOptions,
  device: Device,
  notice: (sentence: string) => void,
  recorded?: ArtifactMemory,
): MemoryBudget {
  const { memoryBudget = recorded?.deviceBytes, hostBudget = recorded?.hostBytes } = options;
  const hostBytes = hostBudget ?? Math.floor(freemem() * shareOfHost);
  const onPlan: MemoryBudget['onPlan'] = (name, planned) => {
    const sentence = describePlan(name, planned);
    if (sentence !== undefined) notice(sentence);
  };
  if (options.memoryBudget === undefined && recorded !== undefined) {
    notice(`Memory budget: ${printBudget(recorded.deviceBytes)}, which the artifact was compiled for.`);
  }
  const onShrink = (bytes: number): void => notice(`Not everything fits: going on with ${printBudget(bytes)} of the device's memory.`); // prettier-ignore
  if (typeof memoryBudget === 'number') return { deviceBytes: memoryBudget, hostBytes, onPlan };
  const free = freeBytesOf(device);
  // A device that does not say what is free shows it when it has no more.
  const deviceBytes = free === undefined ? Infinity : Math.floor(free * (1 - spareOfDevice));
  const guess = { deviceBytes, hostBytes, onPlan, onShrink, isGuess: true };
  if (memoryBudget === undefined) return { ...guess, triesWhole: true };
  if (free !== undefined)
    notice(`Memory budget: ${printBudget(deviceBytes)} of the ${printBudget(free)} that are free.`);
  return guess;
}

/** What of a function streams; undefined where nothing does. Times are predicted for GPUs, whose kind says what they reach. */
function describePlan(name: string, { bound, prediction }: PlannedMemory): string | undefined {
  if (bound.streamed === undefined) return undefined;
  const loop = bound.steps.find((step) => step.kind === 'loop');
  const { streamedBytes, stepSeconds, seconds } = prediction;
  const stay = `${name}: ${formatBytes(bound.memory.weightBytes)} of weights stay on the device`;
  const stream = `${formatBytes(streamedBytes)} are streamed${loop === undefined ? '' : ' in every step'}`;
  const time = loop === undefined ? seconds : stepSeconds;
  const predicted =
    bound.target.matrix === undefined
      ? ''
      : `, about ${formatDuration(time * 1e3)}${loop === undefined ? '' : ' a step'}`;
  return `${stay}, ${stream}${predicted}.`;
}

function freeBytesOf(device: Device): number | undefined {
  if (device.freeBytes !== undefined) return device.freeBytes();
  // Where staging in memory of workgroups does not pay, the processor computes, and its memory is the host's.
  return device.target.stagingPays ? undefined : freemem();
}
