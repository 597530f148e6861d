import type { ThreadKernel } from '../ir/kernel/thread.js';
import type { Target } from './target.js';
import { printCuda } from './cuda/cuda.js';
import { printWgsl } from './webgpu/wgsl.js';

/** What turns kernels into the text that a target's device compiles; the CPU compiles the kernels themselves. */
export function kernelPrinter({ backend, stagingPays }: Target): (kernel: ThreadKernel, comment?: string) => string {
  switch (backend) {
    case 'webgpu':
      // Software drivers compile long texts slowly, and gain nothing by long runs of instructions.
      return (kernel, comment) => printWgsl(kernel, comment, { hideLoopCounts: !stagingPays });
    case 'cuda':
      return (kernel, comment) => printCuda(kernel, comment);
    case 'cpu':
      return () => '';
  }
}
