import type { SubgroupProduct } from '../ir/kernel/thread.js';

/**
 * What a device can do. Schedules and plans look at these fields only, never at a name, so a new device needs no new code.
 */
export interface Target {
  readonly backend: 'webgpu' | 'cpu' | 'cuda';
  /** f16 arithmetic and storage in kernels (WebGPU `shader-f16`). */
  readonly f16: boolean;
  /**
   * Conversions of e4m3 numbers in kernels, which are stored a byte at a time: products may have 8-bit operands. With `matrix`, its
   * products of them (32 deep), too.
   */
  readonly fp8?: boolean;
  /**
   * Kernels multiply signed bytes four at a time (`dot_bytes`: WGSL's language feature `packed_4x8_integer_dot_product`): products may have
   * factors of quantised integers.
   */
  readonly packedDots?: boolean;
  /** Subgroup operations with a size in this range; absent when there are none. */
  readonly subgroups?: { readonly min: number; readonly max: number };
  /** Bytes of workgroup memory; 0 means no workgroup memory and no barriers. */
  readonly workgroupMemory: number;
  /** Whether staging operands in workgroup memory pays (it does on GPUs, not on software drivers). */
  readonly stagingPays: boolean;
  /**
   * How matrices are multiplied from fragments in registers; absent where each invocation multiplies its own numbers.
   * - `mma`: a subgroup multiplies 16×16 by 16×8 (`mma.sync`), its operands in its registers
   * - `wgmma`: four subgroups multiply 64×16 by 16×N, operands in workgroup memory
   * - `subgroup`: a subgroup multiplies matrices of the size `subgroupProduct`, f16 with sums in f32, whose layout in its registers only the
   *   driver knows (WebGPU `chromium-experimental-subgroup-matrix`)
   */
  readonly matrix?: 'mma' | 'wgmma' | 'subgroup';
  /** With `subgroup`. */
  readonly subgroupProduct?: SubgroupProduct;
  /** Copies into workgroup memory run beside the computation (`cp.async`). */
  readonly asyncCopy?: boolean;
  /**
   * One invocation copies boxes of tensors into workgroup memory, which arrive at barriers there (`cp.async.bulk.tensor`, `mbarrier`),
   * and roles of a workgroup share its registers out among themselves (`setmaxnreg`).
   */
  readonly tensorCopies?: boolean;
  /** Elements narrower than a word can be stored one at a time: memory is not made of words. */
  readonly narrowStores?: boolean;
  /** A launch can start as many workgroups as run at once, which walk over its tiles (`walksTiles` of kernels). */
  readonly tileWalks?: boolean;
  /** A launch may read one part of a buffer and write another. WebGPU forbids it: whole buffers are what it synchronises. */
  readonly mixedAccess?: boolean;
  /**
   * Invocations are iterations of a loop, on a processor with so many vector registers: schedules keep no more in registers than sums,
   * and other tiles in memory of the invocation, of which there is this much.
   */
  readonly loops?: { readonly vectorRegisters: number; readonly memoryBytes: number };
  readonly maxWorkgroupInvocations: number;
  readonly maxWorkgroupsPerDimension: number;
  readonly maxBindingBytes: number;
  readonly maxBufferBytes: number;
  /** Storage buffers of one kernel. */
  readonly maxStorageBuffers: number;
  /** Bytes that a binding's offset must be a multiple of. */
  readonly bindingAlignment: number;
}

/** What kernels for a target are known by: how they multiply matrices where it can, otherwise the backend. */
export function familyOf({ matrix, backend }: Target): string {
  return matrix ?? backend;
}

/**
 * The limits every WebGPU adapter guarantees: what an artifact for unknown machines is planned for. Only buffers may be
 * larger than the guaranteed 256 MiB: activations of 1024² pictures need up to 604 MB, and no desktop driver offers less
 * than 1 GiB. Products of packed bytes are no limit of an adapter but a part of the language, which compilers of WGSL make of plain
 * arithmetic where a GPU has no instruction; Dawn, wgpu and WebKit all have it. So whoever asks for them gets them here, too, an
 * artifact with such kernels says so, and a browser without refuses it (F2C533).
 */
export const portableWebgpu: Target = {
  backend: 'webgpu',
  f16: false,
  packedDots: true,
  workgroupMemory: 16384,
  stagingPays: true,
  maxWorkgroupInvocations: 256,
  maxWorkgroupsPerDimension: 65535,
  maxBindingBytes: 128 * 2 ** 20,
  maxBufferBytes: 2 ** 30,
  maxStorageBuffers: 8,
  bindingAlignment: 256,
};

/** WebAssembly with 128-bit vectors on worker threads: one invocation is a loop iteration, so no barriers. */
export const cpuTarget: Target = {
  backend: 'cpu',
  f16: false,
  packedDots: true,
  // Those of x86 without AVX-512, which WebAssembly does not use; other processors have more.
  loops: { vectorRegisters: 16, memoryBytes: 64 * 1024 },
  workgroupMemory: 0,
  stagingPays: false,
  maxWorkgroupInvocations: 1024,
  maxWorkgroupsPerDimension: 2 ** 31 - 1,
  maxBindingBytes: 2 ** 31,
  maxBufferBytes: 2 ** 31,
  maxStorageBuffers: 64,
  bindingAlignment: 16,
};
