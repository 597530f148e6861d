import type { ThreadKernel } from '../ir/kernel/thread.js';
import type { Target } from './target.js';
import { printCuda } from './cuda/cuda.js';
import { printWgsl } from './webgpu/wgsl.js';

/** What turns kernels into the text that a target's device compiles; the CPU compiles the kernels themselves. */
export function kernelPrinter({ backend }: Target): (kernel: ThreadKernel, comment?: string) => string {
  switch (backend) {
    case 'webgpu':
      return (kernel, comment) => printWgsl(kernel, comment);
    case 'cuda':
      return (kernel, comment) => printCuda(kernel, comment);
    case 'cpu':
      return () => '';
  }
}
