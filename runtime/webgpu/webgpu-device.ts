// So that programs which import the package know the types of WebGPU, too.
/// <reference types="@webgpu/types" preserve="true" />
import { Flux2cError } from '../../ir/diagnostics.js';
import type { Target } from '../../backends/target.js';
import type { BoundLaunch, Device, DeviceBuffer, DeviceKernel, OnKernelLoaded, Sequence } from '../device.js';
import { checkKernel, checkRange, outOfMemory, UsageMeter } from '../launch-check.js';
import { CommandQueue } from './webgpu-commands.js';
import { FailureLog } from './webgpu-failures.js';
import { KernelLibrary, type KernelWarmer } from './webgpu-kernels.js';
import { asWebgpuBuffer, bufferUsage, recordSequence, WebgpuBuffer, WebgpuSequence } from './webgpu-sequence.js';
import { describeDeviceRequest, type LanguageFeatures, targetOfAdapter, type LoweredTarget } from './webgpu-target.js';

export interface WebgpuDeviceOptions {
  /** Lowers limits of the adapter. */
  readonly limits?: LoweredTarget;
  /** `wgslLanguageFeatures` of the GPU object that gave the adapter. Default: those of the browser's. */
  readonly languageFeatures?: LanguageFeatures;
  /** Most bytes of live buffers; `createBuffer` throws F2C502 beyond. Default: as much as the driver gives. */
  readonly memoryBudgetBytes?: number;
  /** For drivers that compile at a kernel's first launch. The device closes it with itself. */
  readonly warmer?: KernelWarmer;
}

/** Timestamps of one query set; 4096 is the specification's limit. */
const queriesPerSet = 4096;

/**
 * A device on a WebGPU adapter with all of the adapter's limits and the features shader-f16, subgroups and
 * timestamp-query where it has them. Throws F2C510 when the adapter gives no device.
 *
 * Bind group 0 holds a kernel's buffers in order, bind group 1 its i32 parameters as one uniform block with a dynamic
 * offset. Errors that WebGPU reports late (out of memory, validation, loss) reject the next `finish` or `read`. Staging
 * memory of `write` lives until the writes have run, so callers who write gigabytes should `finish` now and then.
 */
export async function createWebgpuDevice(adapter: GPUAdapter, options: WebgpuDeviceOptions = {}): Promise<Device> {
  const target = targetOfAdapter(adapter, options.limits, options.languageFeatures);
  let gpu: GPUDevice;
  try {
    gpu = await adapter.requestDevice({ label: 'flux2c', ...describeDeviceRequest(adapter) });
  } catch (cause) {
    throw new Flux2cError('F2C510', 'the adapter gives no device', {
      where: [describeAdapter(adapter.info)],
      found: cause instanceof Error ? cause.message : String(cause),
      hint: 'An adapter gives one device only: request a new adapter.',
      cause,
    });
  }
  return new WebgpuDevice(gpu, target, adapter.info, options);
}

/** Name and driver, for people. */
export function describeAdapter(info: GPUAdapterInfo): string {
  const parts = [info.vendor, info.architecture, info.device, info.description];
  return [...new Set(parts.filter((part) => part !== ''))].join(' ') || 'unnamed adapter';
}

class WebgpuDevice implements Device {
  readonly kind = 'webgpu';
  readonly description: string;
  readonly adapter: { readonly vendor: string; readonly architecture: string };
  readonly usage: UsageMeter;
  readonly timeLaunches?: (sequence: Sequence) => Promise<number[]>;
  private readonly failures: FailureLog;
  private readonly library: KernelLibrary;
  private readonly commands: CommandQueue;
  private readonly budgetBytes: number;

  constructor(
    private readonly gpu: GPUDevice,
    readonly target: Target,
    info: GPUAdapterInfo,
    private readonly options: WebgpuDeviceOptions,
  ) {
    this.description = describeAdapter(info);
    this.adapter = { vendor: info.vendor, architecture: info.architecture };
    this.budgetBytes = options.memoryBudgetBytes ?? Infinity;
    this.usage = new UsageMeter(target.maxBufferBytes, this.budgetBytes);
    this.failures = new FailureLog(gpu);
    this.library = new KernelLibrary(gpu, options.warmer);
    this.commands = new CommandQueue(gpu, this.failures);
    if (gpu.features.has('timestamp-query')) this.timeLaunches = (sequence) => this.measure(asSequence(sequence));
  }

  createBuffer(byteLength: number, label: string): DeviceBuffer {
    this.usage.admit(byteLength, label);
    const inUse = this.usage.bytes;
    const { storage, copySource, copyTarget } = bufferUsage;
    const gpu = this.failures.scope(
      'out-of-memory',
      () =>
        this.gpu.createBuffer({
          label,
          size: Math.max(4, Math.ceil(byteLength / 4) * 4),
          usage: storage | copySource | copyTarget,
        }),
      () => outOfMemory(byteLength, label, inUse, this.budgetBytes),
    );
    this.usage.add(byteLength);
    return new WebgpuBuffer(gpu, byteLength, label, {
      // What uses the buffer must be submitted while it is there.
      before: () => this.commands.submit(),
      after: () => this.usage.remove(byteLength),
    });
  }

  write(buffer: DeviceBuffer, byteOffset: number, bytes: Uint8Array): void {
    checkRange('write', buffer, byteOffset, bytes.byteLength);
    // Dawn for Node rejects views of shared memory.
    const shared = typeof SharedArrayBuffer !== 'undefined' && bytes.buffer instanceof SharedArrayBuffer;
    const owned = shared ? new Uint8Array(bytes) : (bytes as Uint8Array<ArrayBuffer>);
    // Writes are queued at once: what was asked for before them goes first.
    this.commands.submit();
    this.failures.refuse(`write to ${buffer.label}`, () =>
      this.gpu.queue.writeBuffer(asWebgpuBuffer(buffer).gpu, byteOffset, owned),
    );
  }

  copy(from: DeviceBuffer, fromOffset: number, to: DeviceBuffer, toOffset: number, byteLength: number): void {
    checkRange('copy', from, fromOffset, byteLength);
    checkRange('copy', to, toOffset, byteLength);
    const [source, target] = [asWebgpuBuffer(from).gpu, asWebgpuBuffer(to).gpu];
    this.commands.encode(`copy from ${from.label} to ${to.label}`, (encoder) =>
      encoder.copyBufferToBuffer(source, fromOffset, target, toOffset, byteLength),
    );
  }

  async read(buffer: DeviceBuffer, byteOffset: number, byteLength: number): Promise<Uint8Array> {
    checkRange('read', buffer, byteOffset, byteLength);
    if (byteLength === 0) return new Uint8Array(0);
    return this.readBack(`read of ${buffer.label}`, byteLength, (encoder, staging) =>
      encoder.copyBufferToBuffer(asWebgpuBuffer(buffer).gpu, byteOffset, staging, 0, byteLength),
    );
  }

  async loadKernels(
    kernels: readonly DeviceKernel[],
    onProgress?: OnKernelLoaded,
    signal?: AbortSignal,
  ): Promise<void> {
    for (const { kernel } of kernels) checkKernel(this.target, kernel);
    await this.library.load(kernels, onProgress, signal);
  }

  prepareKernels(kernels: readonly DeviceKernel[]): void {
    this.library.prepare(kernels);
  }

  record(launches: readonly BoundLaunch[], label: string): Sequence {
    return this.failures.refuse(`recording of ${label}`, () =>
      recordSequence(this.gpu, this.target, this.library, launches, label, () => this.commands.submit()),
    );
  }

  run(sequence: Sequence): void {
    const recorded = asSequence(sequence);
    const { label } = recorded;
    this.commands.encode(`run of ${label}`, (encoder) => {
      const pass = encoder.beginComputePass({ label });
      recorded.encode(pass, 0, recorded.launches);
      pass.end();
    });
  }

  async finish(): Promise<void> {
    this.commands.submit();
    // Both reject or resolve after device loss; `settle` then tells the reason.
    await this.gpu.queue.onSubmittedWorkDone().catch(() => undefined);
    await this.failures.settle();
  }

  async destroy(): Promise<void> {
    this.failures.close();
    await this.options.warmer?.close();
    this.gpu.destroy();
    await this.gpu.lost;
  }

  private async readBack(
    what: string,
    byteLength: number,
    encode: (encoder: GPUCommandEncoder, staging: GPUBuffer) => void,
  ): Promise<Uint8Array> {
    const staging = this.failures.scope(
      'out-of-memory',
      () =>
        this.gpu.createBuffer({
          label: 'staging',
          size: byteLength,
          usage: bufferUsage.mapRead | bufferUsage.copyTarget,
        }),
      () => outOfMemory(byteLength, `staging of the ${what}`, this.usage.bytes, this.budgetBytes),
    );
    try {
      this.commands.encode(what, (encoder) => encode(encoder, staging));
      this.commands.submit();
      const mapped = await staging.mapAsync(1).then(
        () => undefined,
        (cause: unknown) =>
          new Flux2cError('F2C513', `the device refused the ${what}`, { found: String(cause), cause }),
      );
      await this.failures.settle();
      if (mapped !== undefined) throw mapped;
      return new Uint8Array(staging.getMappedRange()).slice();
    } finally {
      staging.destroy();
    }
  }

  /** Nanoseconds of each launch: one pass each, between timestamps. */
  private async measure(sequence: WebgpuSequence): Promise<number[]> {
    const nanoseconds: number[] = [];
    const perSet = queriesPerSet / 2;
    for (let first = 0; first < sequence.launches; first += perSet) {
      const count = Math.min(perSet, sequence.launches - first);
      const querySet = this.gpu.createQuerySet({ type: 'timestamp', count: 2 * count });
      const resolved = this.gpu.createBuffer({
        label: 'timestamps',
        size: 16 * count,
        usage: bufferUsage.queryResolve | bufferUsage.copySource,
      });
      try {
        const bytes = await this.readBack(`timings of ${sequence.label}`, 16 * count, (encoder, staging) => {
          for (let index = 0; index < count; index++) {
            const pass = encoder.beginComputePass({
              timestampWrites: {
                querySet,
                beginningOfPassWriteIndex: 2 * index,
                endOfPassWriteIndex: 2 * index + 1,
              },
            });
            sequence.encode(pass, first + index, first + index + 1);
            pass.end();
          }
          encoder.resolveQuerySet(querySet, 0, 2 * count, resolved, 0);
          encoder.copyBufferToBuffer(resolved, 0, staging, 0, 16 * count);
        });
        const stamps = new BigUint64Array(bytes.buffer, bytes.byteOffset, 2 * count);
        for (let index = 0; index < count; index++)
          nanoseconds.push(Number((stamps[2 * index + 1] ?? 0n) - (stamps[2 * index] ?? 0n)));
      } finally {
        resolved.destroy();
        querySet.destroy();
      }
    }
    return nanoseconds;
  }
}

function asSequence(sequence: Sequence): WebgpuSequence {
  if (sequence instanceof WebgpuSequence) return sequence;
  throw new Flux2cError('F2C514', 'internal: a sequence of another device', { where: [`sequence ${sequence.label}`] });
}
