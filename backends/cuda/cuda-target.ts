import type { Target } from '../target.js';

/** GPU architectures that kernels are compiled for. `sm_90a` has wgmma and the tensor memory accelerator. */
export const cudaArchitectures = ['sm_80', 'sm_86', 'sm_89', 'sm_90a', 'sm_120'] as const;
export type CudaArchitecture = (typeof cudaArchitectures)[number];

/** Workgroup memory that one block may ask for, bytes: CUDA C++ Programming Guide, table of compute capabilities. */
const blockMemory: Readonly<Record<CudaArchitecture, number>> = {
  sm_80: 163 * 1024,
  sm_86: 99 * 1024,
  sm_89: 99 * 1024,
  sm_90a: 227 * 1024,
  sm_120: 99 * 1024,
};

/**
 * The architectures by what their kernels can be: those of a group differ in 8-bit floats, which either all or none of an artifact's
 * kernels may rely on, and in the most workgroup memory. That is no reason for kernels of their own: schedules of `mma` need 64 KiB,
 * and there are 99.
 */
export function groupArchitectures(
  architectures: readonly CudaArchitecture[],
): readonly (readonly CudaArchitecture[])[] {
  const groups = new Map<string, CudaArchitecture[]>();
  for (const name of architectures) {
    const { fp8: _, ...others } = cudaTarget([name]);
    const kind = JSON.stringify({ ...others, workgroupMemory: 0 });
    groups.set(kind, [...(groups.get(kind) ?? []), name]);
  }
  return [...groups.values()];
}

/** What kernels for all of the architectures may rely on. */
export function cudaTarget(architectures: readonly CudaArchitecture[]): Target {
  // What one of them lacks, kernels for all of them do without.
  const isHopper = architectures.every((name) => name === 'sm_90a');
  return {
    backend: 'cuda',
    f16: true,
    subgroups: { min: 32, max: 32 },
    workgroupMemory: Math.min(...architectures.map((name) => blockMemory[name])),
    stagingPays: true,
    matrix: isHopper ? 'wgmma' : 'mma',
    asyncCopy: true,
    ...(isHopper ? { tensorCopies: true } : {}),
    narrowStores: true,
    tileWalks: true,
    mixedAccess: true,
    ...(architectures.every((name) => name !== 'sm_80' && name !== 'sm_86') && { fp8: true }),
    maxWorkgroupInvocations: 1024,
    maxWorkgroupsPerDimension: 65535,
    // Pointers have 64 bits: what an allocation holds, a kernel reaches.
    maxBindingBytes: 2 ** 40,
    maxBufferBytes: 2 ** 40,
    // 4 KiB of kernel arguments, a pointer each, and the sizes.
    maxStorageBuffers: 64,
    bindingAlignment: 256,
  };
}
