import type { Target } from '../../backends/target.js';
import type { PlannedLaunch } from '../plan/bound-plan.js';

/** What a device and the machine around it take for work, for predictions. All per second. */
export interface DeviceCosts {
  /** Floating-point operations of products. */
  readonly flop: number;
  /** Bytes that kernels read and write in device memory. */
  readonly memoryBytes: number;
  /** From host memory to the device. */
  readonly uploadBytes: number;
  /** From files to host memory. */
  readonly diskBytes: number;
  /** Launches that do nothing. */
  readonly launches: number;
}

const giga = 1e9;

/**
 * Orders of magnitude for devices that nobody has measured: a GPU with matrix units on 16 lanes of PCIe 4, a graphics adapter, a
 * processor or a driver in software.
 */
export function usualCosts({ backend, matrix, stagingPays }: Target): DeviceCosts {
  const diskBytes = 2 * giga;
  if (backend === 'cuda') {
    const flop = matrix === 'wgmma' ? 600e12 : 150e12;
    return { flop, memoryBytes: matrix === 'wgmma' ? 3000 * giga : 800 * giga, uploadBytes: 25 * giga, diskBytes, launches: 3e5 }; // prettier-ignore
  }
  // What an H200 came to through Vulkan, halved: most GPUs are smaller.
  if (matrix === 'subgroup') return { flop: 60e12, memoryBytes: 1000 * giga, uploadBytes: 10 * giga, diskBytes, launches: 1e5 }; // prettier-ignore
  if (stagingPays) return { flop: 10e12, memoryBytes: 400 * giga, uploadBytes: 10 * giga, diskBytes, launches: 1e5 };
  return { flop: 50e9, memoryBytes: 10 * giga, uploadBytes: 4 * giga, diskBytes, launches: 1e4 };
}

/** Seconds of a launch. */
export function launchSeconds({ flop, bytes }: Pick<PlannedLaunch, 'flop' | 'bytes'>, costs: DeviceCosts): number {
  return Math.max(flop / costs.flop, bytes / costs.memoryBytes) + 1 / costs.launches;
}
