import { cudaEntryPoint, cudaSharedBytes } from '../../../backends/cuda/cuda.js';
import { cudaPrelude, cudaPreludeName } from '../../../backends/cuda/prelude/prelude.js';
import { Flux2cError } from '../../../ir/diagnostics.js';
import type { Device } from '../../device.js';
import { architectureFor } from '../architecture.js';
import { createCudaDevice } from '../cuda-device.js';
import { chooseGpu, type Gpu, listGpus } from '../cuda-gpus.js';
import type { CudaDriver } from '../driver.js';
import type { KernelCompiler } from '../kernel-compiler.js';
import { openLibcuda } from './libcuda.js';
import { findKernelCompiler, openKernelCompiler } from './open-compiler.js';

/** What kernels of this version of flux2c include. */
export const kernelHeaders: ReadonlyMap<string, string> = new Map([[cudaPreludeName, cudaPrelude]]);

export type CudaOutcome =
  { readonly device: Device; readonly reason?: never } | { readonly device?: never; readonly reason: string };

export type FoundGpus =
  | { readonly driver: CudaDriver; readonly gpus: readonly Gpu[]; readonly reason?: never }
  | { readonly driver?: never; readonly gpus?: never; readonly reason: string };

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
  return { device: openGpu(driver, gpu, openKernelCompiler()) };
}

/**
 * A GPU of this machine that models without machine code for it run on, or what keeps the one that is there from that;
 * undefined without GPUs.
 */
export async function openUsefulCuda(): Promise<CudaOutcome | undefined> {
  const { driver, gpus } = await findGpus();
  if (gpus === undefined) return undefined;
  const gpu = chooseGpu(gpus) as Gpu;
  const { major, minor } = gpu.capability;
  if (architectureFor(gpu.capability) === undefined)
    return { reason: `${gpu.name} has compute capability ${major}.${minor}, which flux2c has no kernels for` };
  const compiler = await findKernelCompiler();
  if (typeof compiler === 'string')
    return { reason: `there is ${gpu.name}, but no compiler for its kernels: ${compiler}` };
  try {
    return { device: openGpu(driver, gpu, compiler) };
  } catch (error) {
    if (!(error instanceof Flux2cError)) throw error;
    return { reason: `${error.message} (${error.detail.found ?? error.code})` };
  }
}

/**
 * FLUX2C_CUDA_LAUNCHES=one-by-one waits for every launch, so that an error names the one that failed.
 * FLUX2C_CUDA_TENSOR_COPIES=off has kernels of the other form compiled, to compare.
 */
function openGpu(driver: CudaDriver, gpu: Gpu, compiler: KernelCompiler): Device {
  return createCudaDevice({
    driver,
    gpu,
    compiler,
    headers: kernelHeaders,
    describeKernel: (kernel) => ({ entryPoint: cudaEntryPoint(kernel), sharedBytes: cudaSharedBytes(kernel) }),
    oneByOne: process.env.FLUX2C_CUDA_LAUNCHES === 'one-by-one',
    tensorCopies: process.env.FLUX2C_CUDA_TENSOR_COPIES !== 'off',
  });
}
