/** A `CudaDevice` on the mock driver, whose kernels the thread interpreter runs. */
import { compileThreadKernel } from '../../ir/kernel/thread-interpret.js';
import type { ThreadKernel } from '../../ir/kernel/thread.js';
import { createCudaDevice, type CudaDeviceOptions } from '../../runtime/cuda/cuda-device.js';
import { listGpus } from '../../runtime/cuda/cuda-gpus.js';
import type { CudaDriver } from '../../runtime/cuda/driver.js';
import type { CudaSource, KernelCompiler } from '../../runtime/cuda/kernel-compiler.js';
import type { Device } from '../../runtime/device.js';
import { MockCudaDriver, type MockDriverOptions, type MockKernel } from './mock-driver.js';

/** Gives the kernel's name as its machine code. */
export class NamingCompiler implements KernelCompiler {
  readonly description = 'a compiler for tests';
  readonly parallelism = 3;
  readonly compiled: string[] = [];
  /** Of the last kernel. */
  headers: CudaSource['headers'] = new Map();

  async compile({ name, headers }: CudaSource, architecture: string): Promise<Uint8Array> {
    this.compiled.push(`${name} ${architecture}`);
    this.headers = headers;
    return new TextEncoder().encode(name);
  }
}

export interface MockDevice {
  readonly device: Device;
  readonly driver: MockCudaDriver;
  readonly compiler: NamingCompiler;
}

export function openMockDevice(
  driverOptions: MockDriverOptions = {},
  deviceOptions: Partial<CudaDeviceOptions> = {},
): MockDevice {
  const kernels = new Map<string, MockKernel>();
  const describeKernel = (kernel: ThreadKernel): { readonly entryPoint: string; readonly sharedBytes: number } => {
    kernels.set(kernel.name, interpret(kernel));
    return { entryPoint: kernel.name, sharedBytes: 0 };
  };
  const driver = new MockCudaDriver({ kernelOf: (_, name) => kernels.get(name), ...driverOptions });
  const compiler = new NamingCompiler();
  const device = createCudaDevice({
    driver,
    gpu: firstGpu(driver),
    compiler,
    headers: new Map(),
    describeKernel,
    ...deviceOptions,
  });
  return { device, driver, compiler };
}

export function firstGpu(driver: CudaDriver): CudaDeviceOptions['gpu'] {
  const { gpus, reason } = listGpus(driver);
  if (gpus === undefined) throw new Error(reason);
  return gpus[0]!;
}

function interpret(kernel: ThreadKernel): MockKernel {
  const run = compileThreadKernel(kernel);
  return {
    buffers: kernel.buffers,
    parameters: kernel.parameters.length,
    tensorMaps: kernel.tensorMaps?.length ?? 0,
    blockSize: kernel.workgroupSize,
    run: (buffers, parameters, grid) => {
      const named = kernel.buffers.map(({ name }, index) => [name, buffers[index]!] as const);
      const values = kernel.parameters.map((name, index) => [name, parameters[index]!] as const);
      run(Object.fromEntries(named), Object.fromEntries(values), grid);
    },
  };
}
