import { cudaEntryPoint, cudaSharedBytes } from '../../../backends/cuda/cuda.js';
import { cudaPrelude, cudaPreludeName } from '../../../backends/cuda/prelude/prelude.js';
import { architectureFor } from '../architecture.js';
import type { Device } from '../../device.js';
import { createCudaDevice } from '../cuda-device.js';
import { chooseGpu, type Gpu, listGpus } from '../cuda-gpus.js';
import type { CudaDriver } from '../driver.js';
import { openLibcuda } from './libcuda.js';
import { findKernelCompiler, openKernelCompiler } from './open-compiler.js';

/** What kernels of this version of flux2c include. */
export const kernelHeaders: ReadonlyMap<string, string> = new Map([[cudaPreludeName, cudaPrelude]]);

export type CudaOutcome =
  { readonly device: Device; readonly reason?: never } | { readonly device?: never; readonly reason: string };

export type FoundGpus =
  | { readonly driver: CudaDriver; readonly gpus: readonly Gpu[]; readonly reason?: never }
  | { readonly gpus?: never; readonly reason: string };

/** The machine's GPUs with their driver, or why there are none. */
export async function findGpus(): Promise<FoundGpus> {
  const { driver, reason } = await openLibcuda();
  if (driver === undefined) return { reason };
  const outcome = listGpus(driver);
  return outcome.gpus === undefined ? outcome : { driver, gpus: outcome.gpus };
}

/**
 * A GPU through CUDA: the one that `choice` names by its number in `flux2c devices` or a part of its name, without a choice
 * the first that flux2c has kernels for. Gives a reason instead when there is none.
 *
 * FLUX2C_CUDA_LAUNCHES=one-by-one waits for every launch, so that an error names the one that failed.
 *
 * @throws F2C542 no kernels for the GPU, F2C502 and F2C540 when it does not open
 */
export async function openCuda(choice?: string): Promise<CudaOutcome> {
  const found = await findGpus();
  if (found.gpus === undefined) return found;
  const { driver, gpus } = found;
  const gpu = chooseGpu(gpus, choice);
  if (gpu === undefined) {
    return { reason: `no GPU matches "${choice ?? ''}"; there are: ${gpus.map(({ name }) => name).join(', ')}` };
  }
  const device = createCudaDevice({
    driver,
    gpu,
    compiler: openKernelCompiler(),
    headers: kernelHeaders,
    describeKernel: (kernel) => ({ entryPoint: cudaEntryPoint(kernel), sharedBytes: cudaSharedBytes(kernel) }),
    oneByOne: process.env.FLUX2C_CUDA_LAUNCHES === 'one-by-one',
  });
  return { device };
}

/** Whether models without machine code for it can run on a GPU of this machine; the reason why not. */
export async function whyNoCuda(): Promise<string | undefined> {
  const { gpus, reason } = await findGpus();
  if (gpus === undefined) return reason;
  const gpu = chooseGpu(gpus) as Gpu;
  const { major, minor } = gpu.capability;
  if (architectureFor(gpu.capability) === undefined)
    return `${gpu.name} has compute capability ${major}.${minor}, which flux2c has no kernels for`;
  const compiler = await findKernelCompiler();
  return typeof compiler === 'string'
    ? `there is ${gpu.name}, but no compiler for its kernels: ${compiler}`
    : undefined;
}
