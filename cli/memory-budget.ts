/** What memory options mean on the machine at hand. */
import { freemem } from 'node:os';
import type { MemoryBudget } from '../models/flux2/memory-shares.js';
import type { Device } from '../runtime/device.js';
import { printBudget } from '../runtime/memory/byte-budget.js';
import type { MemoryOptions } from './memory-options.js';
import { contradiction } from './options.js';

/** Of free memory of a device, what is left to drivers' own needs and to what else grows meanwhile. */
const spareOfDevice = 0.08;
/** Of free host memory, what weights may take: files that are read want room in the system's cache, too. */
const shareOfHost = 0.6;

/**
 * The budget that the options ask for, none without `--memory-budget`. Where host memory is not limited by an option, it is by what is
 * free. F2C703 for a budget of host memory alone.
 */
export function resolveMemory(
  { memoryBudget, hostBudget }: MemoryOptions,
  device: Device,
  notice: (sentence: string) => void,
): MemoryBudget | undefined {
  if (memoryBudget === undefined) {
    if (hostBudget === undefined) return undefined;
    throw contradiction(
      '--host-budget is for weights that are streamed, and all are on the device',
      'Take it together with --memory-budget.',
    );
  }
  const hostBytes = hostBudget ?? Math.floor(freemem() * shareOfHost);
  if (memoryBudget !== 'auto') return { deviceBytes: memoryBudget, hostBytes };
  const free = freeBytesOf(device);
  if (free === undefined) {
    notice(
      'WebGPU does not say how much memory is free: everything goes to the device. --memory-budget 8GiB sets a limit.',
    );
    return undefined;
  }
  const deviceBytes = Math.floor(free * (1 - spareOfDevice));
  notice(`Memory budget: ${printBudget(deviceBytes)} of the ${printBudget(free)} that are free.`);
  return { deviceBytes, hostBytes };
}

function freeBytesOf(device: Device): number | undefined {
  if (device.freeBytes !== undefined) return device.freeBytes();
  // Where staging in memory of workgroups does not pay, the processor computes, and its memory is the host's.
  return device.target.stagingPays ? undefined : freemem();
}
