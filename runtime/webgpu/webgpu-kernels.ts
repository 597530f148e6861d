import { Flux2cError } from '../../ir/diagnostics.js';
import type { ThreadKernel } from '../../ir/kernel/thread.js';
import type { DeviceKernel, OnKernelLoaded } from '../device.js';
import { forEachParallel } from '../for-each-parallel.js';

/** GPUShaderStage.COMPUTE: constants of the specification, which Node has no globals for. */
const computeStage = 4;

/** Bytes of one launch's parameters in a sequence's uniform buffer: the guaranteed dynamic offset alignment. */
export const parameterSlotBytes = 256;

/** Pipelines compiled at once; more only raises the peak of the driver's memory. */
const compilations = 8;

export interface LoadedKernel {
  readonly kernel: ThreadKernel;
  readonly source: string;
  readonly pipeline: GPUComputePipeline;
  readonly bufferLayout: GPUBindGroupLayout;
}

/** Has the driver make code for kernels ahead that it would otherwise make when they are first launched. */
export interface KernelWarmer {
  /** Resolves when the code is there, or when it cannot be had ahead. Never rejects. */
  warm(kernel: DeviceKernel): Promise<void>;
  close(): Promise<void>;
}

/** Compiles kernels to pipelines with explicit layouts: group 0 the buffers in order, group 1 the parameters. */
export class KernelLibrary {
  /** One uniform block with a dynamic offset; shared by all kernels, so one bind group serves a sequence. */
  readonly parameterLayout: GPUBindGroupLayout;
  private readonly loaded = new Map<string, LoadedKernel>();
  /** At work, by name. */
  private readonly compiling = new Map<string, { readonly source: string; readonly done: Promise<void> }>();
  private readonly bufferLayouts = new Map<string, GPUBindGroupLayout>();

  constructor(
    private readonly device: GPUDevice,
    private readonly warmer?: KernelWarmer,
  ) {
    this.parameterLayout = device.createBindGroupLayout({
      label: 'parameters',
      entries: [{ binding: 0, visibility: computeStage, buffer: { type: 'uniform', hasDynamicOffset: true } }],
    });
  }

  get(name: string): LoadedKernel | undefined {
    return this.loaded.get(name);
  }

  /** Throws F2C511 with the kernel, the line of its text and the compiler's message. */
  async load(kernels: readonly DeviceKernel[], onProgress?: OnKernelLoaded, signal?: AbortSignal): Promise<void> {
    const missing = this.missingOf(kernels);
    let done = kernels.length - missing.length;
    const load = async (kernel: DeviceKernel): Promise<void> => {
      await this.loadOnce(kernel);
      onProgress?.(++done, kernels.length);
    };
    await forEachParallel(missing, compilations, load, signal);
  }

  /** Begins to load kernels; whoever needs them waits for them by `load`, which also tells what is wrong with them. */
  prepare(kernels: readonly DeviceKernel[]): void {
    void forEachParallel(this.missingOf(kernels), compilations, (kernel) => this.loadOnce(kernel)).catch(
      () => undefined,
    );
  }

  /** Long texts take longest: they come first, so that none of them is compiled alone at the end. */
  private missingOf(kernels: readonly DeviceKernel[]): readonly DeviceKernel[] {
    return [...new Map(kernels.map((kernel) => [kernel.name, kernel])).values()]
      .filter((kernel) => this.loaded.get(kernel.name)?.source !== kernel.source)
      .sort((a, b) => b.source.length - a.source.length);
  }

  private loadOnce(kernel: DeviceKernel): Promise<void> {
    const { name, source } = kernel;
    if (this.loaded.get(name)?.source === source) return Promise.resolve();
    const known = this.compiling.get(name);
    if (known?.source === source) return known.done;
    const done = Promise.all([this.compile(kernel), this.warmer?.warm(kernel)])
      .then(([loaded]) => void this.loaded.set(name, loaded))
      .finally(() => {
        if (this.compiling.get(name)?.done === done) this.compiling.delete(name);
      });
    this.compiling.set(name, { source, done });
    return done;
  }

  private async compile(kernel: DeviceKernel): Promise<LoadedKernel> {
    const { device } = this;
    const bufferLayout = this.bufferLayoutOf(kernel.kernel);
    // The scope keeps a broken module from being reported twice, as an uncaptured error too.
    device.pushErrorScope('validation');
    const module = device.createShaderModule({ label: kernel.name, code: kernel.source });
    const moduleError = device.popErrorScope();
    try {
      const pipeline = await device.createComputePipelineAsync({
        label: kernel.name,
        layout: device.createPipelineLayout({
          bindGroupLayouts: kernel.kernel.parameters.length > 0 ? [bufferLayout, this.parameterLayout] : [bufferLayout],
        }),
        compute: { module, entryPoint: 'main' },
      });
      await moduleError;
      return { kernel: kernel.kernel, source: kernel.source, pipeline, bufferLayout };
    } catch (cause) {
      await moduleError.catch(() => null);
      throw await describeCompilation(kernel, module, cause);
    }
  }

  private bufferLayoutOf(kernel: ThreadKernel): GPUBindGroupLayout {
    const key = kernel.buffers.map((buffer) => (buffer.access === 'read' ? 'r' : 'w')).join('');
    const known = this.bufferLayouts.get(key);
    if (known !== undefined) return known;
    const layout = this.device.createBindGroupLayout({
      label: `buffers ${key}`,
      entries: kernel.buffers.map((buffer, binding) => ({
        binding,
        visibility: computeStage,
        buffer: { type: buffer.access === 'read' ? 'read-only-storage' : 'storage' },
      })),
    });
    this.bufferLayouts.set(key, layout);
    return layout;
  }
}

async function describeCompilation(
  kernel: DeviceKernel,
  module: GPUShaderModule,
  cause: unknown,
): Promise<Flux2cError> {
  const failure = cause instanceof Error ? cause.message : String(cause);
  const { messages } = await module.getCompilationInfo().catch(() => ({ messages: [] as GPUCompilationMessage[] }));
  const first = messages.find((message) => message.type === 'error');
  const where = [`kernel ${kernel.name}`];
  if (first !== undefined && first.lineNum > 0)
    where.push(`line ${first.lineNum}: ${(kernel.source.split('\n')[first.lineNum - 1] ?? '').trim()}`);
  return new Flux2cError('F2C511', 'a kernel does not compile', {
    where,
    found: first?.message ?? failure,
    hint: 'This is a bug of the compiler or the driver; please report it with the kernel text.',
    cause,
  });
}
