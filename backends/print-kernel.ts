import type { ThreadKernel } from '../ir/kernel/thread.js';
import type { Target } from './target.js';
import { printCuda } from './cuda/cuda.js';
import { printWgsl } from './webgpu/wgsl.js';

/** What turns kernels into the text that a target's device compiles; the CPU compiles the kernels themselves. */
export function kernelPrinter({ backend }: Target): (kernel: ThreadKernel) => string {
  switch (backend) {
    case 'webgpu':
      return (kernel) => printWgsl(kernel);
    case 'cuda':
      return (kernel) => printCuda(kernel);
    case 'cpu':
      return () => '';
  }
}
