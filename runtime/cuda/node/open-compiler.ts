import { availableParallelism } from 'node:os';
import { Flux2cError } from '../../../ir/diagnostics.js';
import type { KernelCompiler } from '../kernel-compiler.js';
import { findNvcc, nvrtcNames } from './cuda-toolkit.js';
import { cacheFolder, cacheKernels } from './kernel-cache.js';
import { openNvcc } from './nvcc.js';
import { openNvrtc } from './nvrtc.js';

/**
 * The compiler of the machine: nvcc where it is, else NVRTC. It is looked for when the first kernel needs it, so that
 * those who bring machine code along need none; F2C541 then when there is none.
 *
 * @param headers what kernels include, by name
 */
export function openKernelCompiler(headers: ReadonlyMap<string, string>): KernelCompiler {
  let opened: Promise<KernelCompiler> | undefined;
  return {
    description: 'the CUDA compiler of the machine',
    parallelism: availableParallelism(),
    compile: async (source, architecture, signal) => {
      opened ??= requireCompiler(headers);
      return (await opened).compile(source, architecture, signal);
    },
  };
}

async function requireCompiler(headers: ReadonlyMap<string, string>): Promise<KernelCompiler> {
  const compiler = await findKernelCompiler(headers);
  if (typeof compiler !== 'string') return cacheKernels(compiler, headers, cacheFolder());
  throw new Flux2cError('F2C541', 'there is no compiler for CUDA kernels', {
    expected: 'nvcc or the library NVRTC',
    found: compiler,
    hint: "Install NVIDIA's CUDA toolkit or its package nvidia-cuda-nvrtc (FLUX2C_NVCC and FLUX2C_NVRTC say where they are), or run an artifact that was compiled for this GPU: flux2c compile --target cuda --arch.",
  });
}

/** nvcc or NVRTC, without the cache; or why there is neither. */
export async function findKernelCompiler(headers: ReadonlyMap<string, string>): Promise<KernelCompiler | string> {
  const nvcc = await findWorkingNvcc(headers);
  if (typeof nvcc !== 'string') return nvcc;
  const nvrtc = await openNvrtc(nvrtcNames(), headers);
  return typeof nvrtc === 'string' ? `${nvcc}, ${nvrtc}` : nvrtc;
}

/** nvcc without the cache, for those who want all kernels compiled anew; or why there is none. */
export async function findWorkingNvcc(headers: ReadonlyMap<string, string>): Promise<KernelCompiler | string> {
  const path = findNvcc();
  if (path === undefined) return 'no nvcc on the PATH';
  try {
    return await openNvcc(path, headers);
  } catch (error) {
    return `${path} does not run (${error instanceof Error ? error.message.split('\n')[0] : String(error)})`;
  }
}
