import { availableParallelism } from 'node:os';
import { Flux2cError } from '../../../ir/diagnostics.js';
import type { KernelCompiler } from '../kernel-compiler.js';
import { findNvcc, nvrtcNames } from './cuda-toolkit.js';
import { cacheFolder } from '../../node/cache-folder.js';
import { cacheKernels } from './kernel-cache.js';
import { openNvcc } from './nvcc.js';
import { openNvrtc } from './nvrtc.js';

/**
 * The compiler of the machine: nvcc where it is, else NVRTC. It is looked for when the first kernel needs it, so that
 * those who bring machine code along need none; F2C541 then when there is none.
 */
export function openKernelCompiler(): KernelCompiler {
  let opened: Promise<KernelCompiler> | undefined;
  return {
    description: 'the CUDA compiler of the machine',
    parallelism: availableParallelism(),
    compile: async (source, architecture, signal) => {
      opened ??= requireCompiler();
      return (await opened).compile(source, architecture, signal);
    },
  };
}

async function requireCompiler(): Promise<KernelCompiler> {
  const compiler = await findKernelCompiler();
  if (typeof compiler !== 'string') return compiler;
  throw new Flux2cError('F2C541', 'there is no compiler for CUDA kernels', {
    expected: 'nvcc or the library NVRTC',
    found: compiler,
    hint: "Install NVIDIA's CUDA toolkit or its package nvidia-cuda-nvrtc (FLUX2C_NVCC and FLUX2C_NVRTC say where they are), or run an artifact that was compiled for this GPU: flux2c compile --target cuda --arch.",
  });
}

/** nvcc or NVRTC, with the cache in front of it; or why there is neither. */
export async function findKernelCompiler(): Promise<KernelCompiler | string> {
  const nvcc = await findWorkingNvcc();
  if (typeof nvcc !== 'string') return cacheKernels(nvcc, cacheFolder());
  const nvrtc = await openNvrtc(nvrtcNames());
  return typeof nvrtc === 'string' ? `${nvcc}, ${nvrtc}` : cacheKernels(nvrtc, cacheFolder());
}

/** nvcc without the cache; or why there is none. */
export async function findWorkingNvcc(): Promise<KernelCompiler | string> {
  const path = findNvcc();
  if (path === undefined) return 'no nvcc on the PATH';
  try {
    return await openNvcc(path);
  } catch (error) {
    return `${path} does not run (${error instanceof Error ? error.message.split('\n')[0] : String(error)})`;
  }
}
