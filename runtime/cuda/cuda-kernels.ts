import type { CudaArchitecture } from '../../backends/cuda/cuda-target.js';
import { Flux2cError } from '../../ir/diagnostics.js';
import type { ThreadKernel } from '../../ir/kernel/thread.js';
import type { DeviceKernel, OnKernelLoaded } from '../device.js';
import { architectureFor, type ComputeCapability, isCudaArchitecture } from './architecture.js';
import type { CudaCalls } from './cuda-calls.js';
import { type CudaFunction, type CudaModule, maxDynamicSharedBytesAttribute, unaskedSharedBytes } from './driver.js';
import { forEachParallel } from '../for-each-parallel.js';
import type { DescribeKernel, KernelCompiler } from './kernel-compiler.js';

export interface LoadedCudaKernel {
  readonly kernel: ThreadKernel;
  readonly source: string;
  readonly function: CudaFunction;
  readonly sharedBytes: number;
}

export interface CudaKernelOptions {
  readonly compiler: KernelCompiler;
  readonly headers: ReadonlyMap<string, string>;
  readonly describeKernel: DescribeKernel;
  readonly architecture: CudaArchitecture;
  readonly capability: ComputeCapability;
  /** Shared memory that a block may have. */
  readonly blockMemory: number;
}

/** Compiles kernels, or takes the machine code that comes with them, and loads it. */
export class CudaKernelLibrary {
  private readonly loaded = new Map<string, LoadedCudaKernel>();
  /** All that were loaded: sequences of a kernel that was replaced may still run. */
  private readonly modules: CudaModule[] = [];

  constructor(
    private readonly calls: CudaCalls,
    private readonly options: CudaKernelOptions,
  ) {}

  get(name: string): LoadedCudaKernel | undefined {
    return this.loaded.get(name);
  }

  /** Throws F2C511 with the kernel and the compiler's message, F2C541 when there is no compiler, F2C540, the signal's reason. */
  async load(kernels: readonly DeviceKernel[], onProgress?: OnKernelLoaded, signal?: AbortSignal): Promise<void> {
    const missing = [...new Map(kernels.map((kernel) => [kernel.name, kernel])).values()].filter(
      (kernel) => this.loaded.get(kernel.name)?.source !== kernel.source,
    );
    let done = kernels.length - missing.length;
    const load = async (kernel: DeviceKernel, stop: AbortSignal): Promise<void> => {
      const image = await this.imageOf(kernel, stop);
      stop.throwIfAborted();
      this.loadImage(kernel, image);
      onProgress?.(++done, kernels.length);
    };
    await forEachParallel(missing, this.options.compiler.parallelism, load, signal);
  }

  destroy(): void {
    for (const module of this.modules.splice(0)) this.calls.runQuietly('moduleUnload', module);
    this.loaded.clear();
  }

  private async imageOf({ name, source, headers, binaries }: DeviceKernel, signal: AbortSignal): Promise<Uint8Array> {
    const { compiler, architecture, capability } = this.options;
    const present = [...(binaries?.keys() ?? [])].filter(isCudaArchitecture);
    const matching = architectureFor(capability, present);
    const binary = matching === undefined ? undefined : binaries?.get(matching);
    return (
      binary ?? compiler.compile({ name, text: source, headers: headers ?? this.options.headers }, architecture, signal)
    );
  }

  private loadImage({ name, kernel, source }: DeviceKernel, image: Uint8Array): void {
    const { entryPoint, sharedBytes } = this.options.describeKernel(kernel);
    const where = [`kernel ${name}`];
    if (sharedBytes > this.options.blockMemory) {
      throw new Flux2cError('F2C514', 'internal: too much workgroup memory', {
        where,
        expected: `at most ${this.options.blockMemory} bytes`,
        found: `${sharedBytes} bytes`,
      });
    }
    const module = this.calls.run('moduleLoadData', where, image);
    this.modules.push(module);
    const loaded = this.calls.run('moduleGetFunction', [...where, entryPoint], module, entryPoint);
    if (sharedBytes > unaskedSharedBytes) {
      this.calls.run('functionSetAttribute', where, loaded, maxDynamicSharedBytesAttribute, sharedBytes);
    }
    this.loaded.set(name, { kernel, source, function: loaded, sharedBytes });
  }
}
