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

/** What kernels for all of the architectures may rely on. */
export function cudaTarget(architectures: readonly CudaArchitecture[]): Target {
  return {
    backend: 'cuda',
    f16: true,
    subgroups: { min: 32, max: 32 },
    workgroupMemory: Math.min(...architectures.map((name) => blockMemory[name])),
    stagingPays: true,
    // What one of them lacks, kernels for all of them do without.
    matrix: architectures.every((name) => name === 'sm_90a') ? 'wgmma' : 'mma',
    asyncCopy: true,
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
