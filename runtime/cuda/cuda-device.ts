import { type CudaArchitecture, cudaTarget } from '../../backends/cuda/cuda-target.js';
import type { Target } from '../../backends/target.js';
import { Flux2cError } from '../../ir/diagnostics.js';
import type { BoundLaunch, Device, DeviceBuffer, DeviceKernel, OnKernelLoaded, Sequence } from '../device.js';
import { checkKernel, checkRange, outOfMemory, UsageMeter } from '../launch-check.js';
import { CudaCalls } from './cuda-calls.js';
import { describeGpu, type Gpu, requireArchitecture } from './cuda-gpus.js';
import { CudaKernelLibrary } from './cuda-kernels.js';
import { asCudaBuffer, CudaBuffer, EventPool, ReadBlocks, UploadRing } from './cuda-memory.js';
import { CudaQueue } from './cuda-queue.js';
import { CudaSequence, recordCudaSequence } from './cuda-sequence.js';
import { CudaUploadLane } from './cuda-uploads.js';
import { type CudaContext, type CudaDriver, type CudaStream, offsetPointer } from './driver.js';
import type { DescribeKernel, KernelCompiler } from './kernel-compiler.js';

export interface CudaDeviceOptions {
  readonly driver: CudaDriver;
  /** One of `listGpus`. */
  readonly gpu: Gpu;
  /** For kernels that come without machine code for this GPU. */
  readonly compiler: KernelCompiler;
  /** What kernels include that bring no headers of their own. */
  readonly headers: ReadonlyMap<string, string>;
  readonly describeKernel: DescribeKernel;
  /** Most bytes of live buffers; `createBuffer` throws F2C502 beyond. Default: as much as the driver gives. */
  readonly memoryBudgetBytes?: number;
  /** Waits for every launch, so that an error names the one that failed. Slow. */
  readonly oneByOne?: boolean;
  /** Kernels may copy by tensor maps where the GPU does. Default: true. */
  readonly tensorCopies?: boolean;
  /** Pinned memory of writes: chunks and their size. Default: 4 of 8 MiB. */
  readonly staging?: { readonly chunks: number; readonly chunkBytes: number };
}

/** Allocations are this much longer than asked for at most: vectors at the end of a buffer may reach over it. */
const allocationGranularity = 256;
/** Pinned memory kept for reading back. */
const keptReadBytes = 64 * 2 ** 20;

/** A GPU through NVIDIA's driver. Throws F2C542 for one that flux2c has no kernels for, F2C540 and F2C502 as calls do. */
export function createCudaDevice(options: CudaDeviceOptions): Device {
  return new CudaDevice(options, requireArchitecture(options.gpu));
}

/** Everything but uploads is queued in order on one stream; sequences are graphs from their first run on. */
class CudaDevice implements Device {
  readonly kind = 'cuda';
  readonly target: Target;
  readonly description: string;
  readonly usage: UsageMeter;
  readonly uploads: CudaUploadLane;
  private readonly calls: CudaCalls;
  private readonly context: CudaContext;
  private readonly stream: CudaStream;
  private readonly queue: CudaQueue;
  private readonly library: CudaKernelLibrary;
  private readonly writes: UploadRing;
  private readonly readBlocks: ReadBlocks;
  private readonly timers: EventPool;
  private readonly buffers = new Set<CudaBuffer>();
  private readonly sequences = new Set<CudaSequence>();
  private isDestroyed = false;

  constructor(
    private readonly options: CudaDeviceOptions,
    architecture: CudaArchitecture,
  ) {
    const { gpu, compiler, headers, describeKernel, memoryBudgetBytes = Infinity } = options;
    const { tensorCopies: has, ...made } = cudaTarget([architecture]);
    const copies = has === true && options.tensorCopies !== false && { tensorCopies: true };
    this.target = { ...made, ...copies, workgroupMemory: Math.min(made.workgroupMemory, gpu.blockMemory) };
    this.description = describeGpu(gpu);
    this.usage = new UsageMeter(this.target.maxBufferBytes, memoryBudgetBytes);
    const calls = new CudaCalls(options.driver);
    this.calls = calls;
    this.context = calls.run('primaryContextRetain', [gpu.name], gpu.device);
    try {
      calls.useContext(this.context);
      this.stream = calls.run('streamCreate', [gpu.name]);
    } catch (error) {
      calls.runQuietly('primaryContextRelease', gpu.device);
      throw error;
    }
    const { chunks, chunkBytes } = options.staging ?? { chunks: 4, chunkBytes: 8 * 2 ** 20 };
    this.queue = new CudaQueue(calls, this.stream, () => this.uploads.busyStreams);
    this.uploads = new CudaUploadLane(calls, this.stream, this.queue);
    this.writes = new UploadRing(calls, this.stream, chunkBytes, chunks);
    this.readBlocks = new ReadBlocks(calls, keptReadBytes);
    this.timers = new EventPool(calls, true);
    const blockMemory = this.target.workgroupMemory;
    this.library = new CudaKernelLibrary(calls, { compiler, headers, describeKernel, architecture, capability: gpu.capability, blockMemory }); // prettier-ignore
  }

  createBuffer(byteLength: number, label: string): DeviceBuffer {
    this.requireLive();
    this.usage.admit(byteLength, label);
    const where = [`buffer ${label}`];
    const allocated = Math.max(1, Math.ceil(byteLength / allocationGranularity)) * allocationGranularity;
    let pointer;
    try {
      pointer = this.calls.run('memoryAllocate', where, allocated);
    } catch (error) {
      if (!(error instanceof Flux2cError) || error.code !== 'F2C502') throw error;
      const { free } = this.calls.run('memoryInfo', where);
      throw outOfMemory(byteLength, label, this.usage.bytes, this.options.memoryBudgetBytes ?? Infinity, free);
    }
    const buffer = new CudaBuffer(pointer, byteLength, label, (destroyed) => this.freeBuffer(destroyed));
    try {
      this.calls.run('memset', where, pointer, 0, allocated, this.stream);
    } catch (error) {
      this.calls.runQuietly('memoryFree', pointer);
      throw error;
    }
    this.queue.add();
    this.buffers.add(buffer);
    this.usage.add(byteLength);
    return buffer;
  }

  write(buffer: DeviceBuffer, byteOffset: number, bytes: Uint8Array): void {
    this.requireLive();
    const { pointer, label } = asCudaBuffer(buffer);
    checkRange('write', buffer, byteOffset, bytes.byteLength);
    this.writes.write(offsetPointer(pointer, byteOffset), bytes, [`write to ${label}`]);
    this.queue.add();
  }

  copy(from: DeviceBuffer, fromOffset: number, to: DeviceBuffer, toOffset: number, byteLength: number): void {
    this.requireLive();
    const [source, target] = [asCudaBuffer(from), asCudaBuffer(to)];
    checkRange('copy', from, fromOffset, byteLength);
    checkRange('copy', to, toOffset, byteLength);
    if (byteLength === 0) return;
    this.calls.run(
      'copyDeviceToDevice',
      [`copy from ${from.label} to ${to.label}`],
      offsetPointer(target.pointer, toOffset),
      offsetPointer(source.pointer, fromOffset),
      byteLength,
      this.stream,
    );
    this.queue.add();
  }

  async read(buffer: DeviceBuffer, byteOffset: number, byteLength: number): Promise<Uint8Array> {
    this.requireLive();
    const { pointer, label } = asCudaBuffer(buffer);
    checkRange('read', buffer, byteOffset, byteLength);
    if (byteLength === 0) return new Uint8Array(0);
    const where = [`read of ${label}`];
    const block = this.readBlocks.take(byteLength, where);
    const from = offsetPointer(pointer, byteOffset);
    try {
      this.calls.run('copyDeviceToHost', where, block.pointer, from, byteLength, this.stream);
      this.queue.add();
      await this.queue.drain(where);
      return block.bytes.slice(0, byteLength);
    } finally {
      this.readBlocks.giveBack(block);
    }
  }

  async loadKernels(
    kernels: readonly DeviceKernel[],
    onProgress?: OnKernelLoaded,
    signal?: AbortSignal,
  ): Promise<void> {
    this.requireLive();
    for (const { kernel } of kernels) checkKernel(this.target, kernel);
    await this.library.load(kernels, onProgress, signal);
  }

  record(launches: readonly BoundLaunch[], label: string): Sequence {
    this.requireLive();
    const { calls, target, library } = this;
    const on = { calls, target, library, multiprocessors: this.options.gpu.multiprocessors };
    const recorded = recordCudaSequence(on, launches, label, (sequence, graph) => {
      this.sequences.delete(sequence);
      if (graph !== undefined) this.queue.whenDone(() => this.calls.runQuietly('graphExecDestroy', graph));
    });
    this.sequences.add(recorded);
    return recorded;
  }

  run(sequence: Sequence): void {
    this.requireLive();
    const recorded = asCudaSequence(sequence);
    recorded.buffers.forEach(asCudaBuffer);
    this.queue.add();
    if (this.options.oneByOne === true) recorded.runOneByOne(this.stream);
    else recorded.run(this.stream);
  }

  freeBytes(): number {
    this.requireLive();
    return this.calls.run('memoryInfo', []).free;
  }

  async finish(): Promise<void> {
    this.requireLive();
    await this.queue.drain([]);
  }

  /** Nanoseconds of each launch between events that the GPU records. */
  async timeLaunches(sequence: Sequence): Promise<number[]> {
    this.requireLive();
    const recorded = asCudaSequence(sequence);
    recorded.buffers.forEach(asCudaBuffer);
    const where = [`timing of ${recorded.label}`];
    const takeTimers = () => recorded.prepared.map(() => this.timers.take());
    const [starts, ends] = [takeTimers(), takeTimers()];
    const graph = recorded.captureBetween(this.stream, starts, ends);
    try {
      this.queue.add();
      this.calls.run('graphLaunch', where, graph, this.stream);
      await this.queue.drain(where);
    } finally {
      this.queue.whenDone(() => this.calls.runQuietly('graphExecDestroy', graph));
    }
    const milliseconds = starts.map((start, index) =>
      this.calls.run('eventElapsedMilliseconds', where, start, ends[index]!),
    );
    for (const event of [...starts, ...ends]) this.timers.giveBack(event);
    return milliseconds.map((time) => time * 1e6);
  }

  async destroy(): Promise<void> {
    if (this.isDestroyed) return;
    const { calls } = this;
    this.queue.synchronize();
    this.isDestroyed = true;
    for (const sequence of [...this.sequences]) sequence.destroy();
    for (const buffer of [...this.buffers]) buffer.destroy();
    this.queue.destroy();
    this.library.destroy();
    this.uploads.destroy();
    this.writes.destroy();
    this.readBlocks.destroy();
    this.timers.destroy();
    calls.runQuietly('streamDestroy', this.stream);
    calls.leaveContext();
    calls.runQuietly('primaryContextRelease', this.options.gpu.device);
  }

  private freeBuffer(buffer: CudaBuffer): void {
    this.buffers.delete(buffer);
    this.usage.remove(buffer.byteLength);
    // What is queued may use the memory. Those who free buffers have nearly always finished before.
    if (!this.isDestroyed && this.queue.isBusy) this.queue.synchronize();
    this.calls.runQuietly('memoryFree', buffer.pointer);
  }

  private requireLive(): void {
    if (this.isDestroyed) throw new Flux2cError('F2C514', 'internal: the device is destroyed');
  }
}

function asCudaSequence(sequence: Sequence): CudaSequence {
  if (sequence instanceof CudaSequence && sequence.isLive) return sequence;
  throw new Flux2cError('F2C514', 'internal: a sequence that is destroyed or of another device', {
    where: [`sequence ${sequence.label}`],
  });
}
