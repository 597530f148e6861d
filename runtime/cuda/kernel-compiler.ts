import type { CudaArchitecture } from '../../backends/cuda/cuda-target.js';
import type { ThreadKernel } from '../../ir/kernel/thread.js';

/** A kernel's CUDA C++. */
export interface CudaSource {
  readonly name: string;
  readonly text: string;
  /** Texts of the files that it includes, by name. */
  readonly headers: ReadonlyMap<string, string>;
}

/** Makes machine code of CUDA C++: NVIDIA's nvcc, or its library NVRTC. */
export interface KernelCompiler {
  /** Name and version, for people and to tell cached code apart. */
  readonly description: string;
  /** How many compilations at once pay. */
  readonly parallelism: number;
  /**
   * Gives a cubin. Compilations may run side by side; an abort ends them and rejects with the signal's reason.
   *
   * @throws F2C511 with the kernel and the compiler's first lines, F2C541 there is no compiler
   */
  compile(source: CudaSource, architecture: CudaArchitecture, signal?: AbortSignal): Promise<Uint8Array>;
}

/** How a compiled kernel is called; the backend that prints the kernel decides it. */
export interface KernelInterface {
  /** The name of its function. */
  readonly entryPoint: string;
  /** Dynamic shared memory. */
  readonly sharedBytes: number;
}

export type DescribeKernel = (kernel: ThreadKernel) => KernelInterface;
