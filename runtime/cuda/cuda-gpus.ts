import { type CudaArchitecture, cudaArchitectures } from '../../backends/cuda/cuda-target.js';
import { Flux2cError } from '../../ir/diagnostics.js';
import { architectureFor, type ComputeCapability } from './architecture.js';
import { CudaCalls } from './cuda-calls.js';
import { cudaDeviceAttributes, type CudaDeviceId, type CudaDriver, cudaResults, printVersion } from './driver.js';

/** A GPU as the driver describes it; nothing is opened on it. */
export interface Gpu {
  /** What `--adapter` takes, and the driver's number, which follows CUDA_VISIBLE_DEVICES. */
  readonly ordinal: number;
  readonly device: CudaDeviceId;
  readonly name: string;
  readonly capability: ComputeCapability;
  readonly totalBytes: number;
  /** Shared memory that a block may ask for. */
  readonly blockMemory: number;
  readonly multiprocessors: number;
  /** 13000 is CUDA 13.0: what the driver knows. */
  readonly driverVersion: number;
}

export type GpusOutcome =
  { readonly gpus: readonly Gpu[]; readonly reason?: never } | { readonly gpus?: never; readonly reason: string };

/** The first version whose graphs record events: 12.0 is the oldest that NVIDIA still gives drivers for. */
const oldestDriver = 12000;

/** The GPUs of the machine, or why there are none. */
export function listGpus(driver: CudaDriver): GpusOutcome {
  const calls = new CudaCalls(driver);
  const started = driver.init();
  if (started === cudaResults.noDevice) return { reason: 'the NVIDIA driver has no GPU' };
  if (started !== cudaResults.success)
    return { reason: `the NVIDIA driver does not start: ${driver.errorName(started)} (${driver.errorText(started)})` };
  try {
    const driverVersion = calls.run('driverVersion', []);
    if (driverVersion < oldestDriver) {
      return { reason: `the NVIDIA driver is too old: it knows CUDA ${printVersion(driverVersion)}, 12.0 is needed` };
    }
    const count = calls.run('deviceCount', []);
    if (count === 0) return { reason: 'the NVIDIA driver has no GPU' };
    return { gpus: Array.from({ length: count }, (_, ordinal) => describe(calls, ordinal, driverVersion)) };
  } catch (error) {
    if (error instanceof Flux2cError) return { reason: `${error.message}: ${error.detail.found ?? ''}` };
    throw error;
  }
}

function describe(calls: CudaCalls, ordinal: number, driverVersion: number): Gpu {
  const where = [`GPU ${ordinal}`];
  const device = calls.run('deviceGet', where, ordinal);
  const attribute = (name: keyof typeof cudaDeviceAttributes): number =>
    calls.run('deviceAttribute', where, device, cudaDeviceAttributes[name]);
  return {
    ordinal,
    device,
    name: calls.run('deviceName', where, device),
    capability: { major: attribute('computeCapabilityMajor'), minor: attribute('computeCapabilityMinor') },
    totalBytes: calls.run('deviceTotalMemory', where, device),
    blockMemory: attribute('blockMemory'),
    multiprocessors: attribute('multiprocessors'),
    driverVersion,
  };
}

/** Free memory of a GPU, which is opened for a moment; undefined when it does not open. */
export function freeMemory(driver: CudaDriver, { device, name }: Gpu): number | undefined {
  const calls = new CudaCalls(driver);
  const { result, value: context } = driver.primaryContextRetain(device);
  if (result !== cudaResults.success) return undefined;
  try {
    calls.useContext(context);
    return calls.run('memoryInfo', [name]).free;
  } catch {
    return undefined;
  } finally {
    calls.leaveContext();
    calls.runQuietly('primaryContextRelease', device);
  }
}

/** A GPU by its number or a part of its name, without regard to case; without a choice the first with kernels for it. */
export function chooseGpu(gpus: readonly Gpu[], choice?: string): Gpu | undefined {
  if (choice === undefined) return gpus.find(({ capability }) => architectureFor(capability) !== undefined) ?? gpus[0];
  if (/^\d+$/.test(choice)) return gpus[Number(choice)];
  return gpus.find(({ name }) => name.toLowerCase().includes(choice.toLowerCase()));
}

/** The architecture that kernels are compiled for. Throws F2C542 when none of those that flux2c knows runs on the GPU. */
export function requireArchitecture({ name, capability }: Gpu): CudaArchitecture {
  const architecture = architectureFor(capability);
  if (architecture !== undefined) return architecture;
  throw new Flux2cError('F2C542', 'flux2c has no kernels for this GPU', {
    where: [name],
    expected: `one of ${cudaArchitectures.join(', ')}`,
    found: `compute capability ${capability.major}.${capability.minor}`,
    hint: 'Use --device webgpu or --device cpu.',
  });
}

/** For people: `NVIDIA H100 80GB HBM3, sm_90a, CUDA 13.0`. */
export function describeGpu(gpu: Gpu): string {
  return `${gpu.name}, ${architectureFor(gpu.capability) ?? 'no kernels'}, CUDA ${printVersion(gpu.driverVersion)}`;
}
