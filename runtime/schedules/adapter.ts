import type { Target } from '../../backends/target.js';
import type { Device } from '../device.js';

/** What a device is known by, and what schedules for it rely on: those that were tuned on one are for no other. */
export interface AdapterIdentity {
  readonly backend: Target['backend'];
  /** As WebGPU has them; empty where they are not known. */
  readonly vendor: string;
  readonly architecture: string;
  /** Name and, as far as it says so, driver with its version. */
  readonly description: string;
  readonly limits: AdapterLimits;
}

/** The capabilities that schedules are chosen by. */
export type AdapterLimits = Pick<
  Target,
  | 'f16'
  | 'fp8'
  | 'subgroups'
  | 'workgroupMemory'
  | 'stagingPays'
  | 'matrix'
  | 'subgroupProduct'
  | 'tensorCopies'
  | 'loops'
  | 'maxWorkgroupInvocations'
>;

export function identifyAdapter({
  target,
  description,
  adapter,
}: Pick<Device, 'target' | 'description' | 'adapter'>): AdapterIdentity {
  const { f16, fp8, subgroups, workgroupMemory, stagingPays, matrix, subgroupProduct, tensorCopies, loops } = target;
  return {
    backend: target.backend,
    vendor: adapter?.vendor ?? '',
    architecture: adapter?.architecture ?? '',
    description,
    limits: {
      f16,
      ...(fp8 !== undefined && { fp8 }),
      ...(subgroups && { subgroups }),
      workgroupMemory,
      stagingPays,
      ...(matrix && { matrix }),
      ...(subgroupProduct && { subgroupProduct }),
      ...(tensorCopies !== undefined && { tensorCopies }),
      ...(loops && { loops }),
      maxWorkgroupInvocations: target.maxWorkgroupInvocations,
    },
  };
}
