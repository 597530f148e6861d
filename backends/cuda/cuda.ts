import type { ThreadKernel } from '../../ir/kernel/thread.js';

/** The CUDA C++ of a kernel. */
export function printCuda(kernel: ThreadKernel): string {
  throw new Error(`internal: ${kernel.name} cannot be printed yet`);
}
