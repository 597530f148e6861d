import { compileWasm } from '../../backends/cpu/wasm.js';
import { guardBytes } from '../../backends/cpu/wasm-memory.js';
import { cpuTarget } from '../../backends/target.js';
import { Flux2cError } from '../../ir/diagnostics.js';
import type { BoundLaunch, Device, DeviceBuffer, DeviceKernel, Sequence } from '../device.js';
import { checkKernel, checkLaunch, checkRange, outOfMemory, UsageMeter } from '../launch-check.js';
import { LinearAllocator } from './allocator.js';
import { asCpuBuffer, asCpuSequence, CpuBuffer, CpuSequence, encodeJob, type LoadedCpuKernel } from './cpu-sequence.js';
import { WorkerPool, type StartWorker } from './worker-pool.js';

export interface CpuDeviceOptions {
  readonly threads: number;
  readonly startWorker: StartWorker;
  /** Most bytes of live buffers. Default: what 32-bit addresses reach, 4 GiB. */
  readonly memoryBudgetBytes?: number;
  /** Whether kernels may use fused multiply-add of the relaxed SIMD instructions. */
  readonly relaxedMultiplyAdd: boolean;
}

const pageBytes = 65536;
/** Memory grows by at least this much, so that small buffers do not each grow it. */
const growthBytes = 16 * 2 ** 20;

/**
 * A device on the processor: buffers in one shared WebAssembly memory, kernels compiled to WebAssembly, workgroups shared
 * out to worker threads. The calling thread queues, copies and waits for messages; it never computes or blocks.
 */
export function createCpuDeviceOn(options: CpuDeviceOptions): Device {
  return new CpuDevice(options);
}

interface CompiledKernel extends LoadedCpuKernel {
  readonly bytes: Uint8Array;
}

class CpuDevice implements Device {
  readonly kind = 'cpu';
  readonly target = cpuTarget;
  readonly description: string;
  readonly usage: UsageMeter;
  private readonly memory = new WebAssembly.Memory({
    initial: guardBytes / pageBytes,
    maximum: 65536,
    shared: true,
  });
  private readonly allocator = new LinearAllocator(guardBytes);
  /** Memory from here on was never used, so it is zero. */
  private touchedEnd = guardBytes;
  private readonly pool: WorkerPool;
  private readonly kernels = new Map<string, CompiledKernel>();
  private nextKernel = 0;
  private readonly budgetBytes: number;
  private readonly relaxedMultiplyAdd: boolean;

  private readonly queue: (() => void | Promise<void>)[] = [];
  private isRunning = false;
  private failure: Flux2cError | undefined;

  constructor({ threads, startWorker, memoryBudgetBytes, relaxedMultiplyAdd }: CpuDeviceOptions) {
    this.budgetBytes = memoryBudgetBytes ?? Infinity;
    this.relaxedMultiplyAdd = relaxedMultiplyAdd;
    this.usage = new UsageMeter(this.target.maxBufferBytes, this.budgetBytes);
    const sharedBytes = this.target.loops?.memoryBytes ?? 0;
    const shared = Array.from({ length: threads }, (_, at) => this.allocate(sharedBytes, `memory of thread ${at}`));
    this.pool = new WorkerPool(this.memory, shared, startWorker);
    const fused = relaxedMultiplyAdd ? ' with fused multiply-add' : '';
    this.description = `processor, ${threads} thread${threads === 1 ? '' : 's'}, 128-bit vectors${fused}`;
  }

  createBuffer(byteLength: number, label: string): DeviceBuffer {
    this.usage.admit(byteLength, label);
    const address = this.allocate(byteLength, label);
    this.usage.add(byteLength);
    return new CpuBuffer(address, byteLength, label, () => {
      this.usage.remove(byteLength);
      // Work queued before may still use the block.
      this.enqueue(() => this.allocator.release(address, byteLength));
    });
  }

  write(buffer: DeviceBuffer, byteOffset: number, bytes: Uint8Array): void {
    checkRange('write', buffer, byteOffset, bytes.byteLength);
    const { address } = asCpuBuffer(buffer);
    // When nothing is queued the bytes are taken at once; otherwise the caller may change them before their turn.
    const owned = this.isRunning ? bytes.slice() : bytes;
    this.enqueue(() => this.view().set(owned, address + byteOffset));
  }

  copy(from: DeviceBuffer, fromOffset: number, to: DeviceBuffer, toOffset: number, byteLength: number): void {
    checkRange('copy', from, fromOffset, byteLength);
    checkRange('copy', to, toOffset, byteLength);
    const source = asCpuBuffer(from).address + fromOffset;
    const target = asCpuBuffer(to).address + toOffset;
    this.enqueue(() => {
      this.view().copyWithin(target, source, source + byteLength);
    });
  }

  async read(buffer: DeviceBuffer, byteOffset: number, byteLength: number): Promise<Uint8Array> {
    checkRange('read', buffer, byteOffset, byteLength);
    const address = asCpuBuffer(buffer).address + byteOffset;
    const bytes = new Uint8Array(byteLength);
    await this.afterQueue(() => bytes.set(this.view().subarray(address, address + byteLength)));
    this.throwIfFailed();
    return bytes;
  }

  async loadKernels(
    kernels: readonly DeviceKernel[],
    onProgress?: (done: number, total: number) => void,
  ): Promise<void> {
    let done = 0;
    await Promise.all(
      kernels.map(async ({ name, kernel }) => {
        checkKernel(this.target, kernel);
        const known = this.kernels.get(name);
        if (known?.kernel !== kernel) {
          const bytes = compileWasm(kernel, { relaxedMultiplyAdd: this.relaxedMultiplyAdd });
          if (known === undefined || !equalBytes(known.bytes, bytes)) await this.compile(name, { kernel, bytes });
        }
        onProgress?.(++done, kernels.length);
      }),
    );
  }

  record(launches: readonly BoundLaunch[], label: string): Sequence {
    const bound = launches.map((launch) => {
      const loaded = this.kernels.get(launch.kernel);
      if (loaded === undefined)
        throw new Flux2cError('F2C514', 'internal: the kernel is not loaded', {
          where: [`launch ${launch.label}`, `kernel ${launch.kernel}`],
        });
      checkLaunch(this.target, loaded.kernel, launch);
      return { ...launch, loaded };
    });
    const parameterWords = launches.reduce((sum, { parameters }) => sum + parameters.length, 0);
    const block = this.allocate(parameterWords * 4, `${label} parameters`);
    let end = block;
    const addresses = launches.map(({ parameters }) => {
      const address = end;
      new Int32Array(this.memory.buffer, address, parameters.length).set(parameters);
      end += 4 * parameters.length;
      return address;
    });
    const { job, starts, times } = encodeJob(bound, addresses, this.pool.size);
    const buffers = [...new Set(launches.flatMap(({ bindings }) => bindings.map(({ buffer }) => asCpuBuffer(buffer))))];
    const labels = launches.map((launch) => launch.label);
    let live = true;
    return new CpuSequence(label, labels, buffers, job, starts, times, () => {
      if (live) this.enqueue(() => this.allocator.release(block, parameterWords * 4));
      live = false;
    });
  }

  run(sequence: Sequence): void {
    const recorded = asCpuSequence(sequence);
    const { label, labels, job, starts, times } = recorded;
    recorded.buffers.forEach(asCpuBuffer);
    this.enqueue(async () => {
      recorded.reset();
      const failure = await this.pool.run({ kind: 'run', job, starts, times });
      if (failure === undefined) return;
      this.failure ??=
        failure.launch === undefined
          ? new Flux2cError('F2C512', 'a worker thread ended', { where: [`sequence ${label}`], found: failure.message })
          : new Flux2cError('F2C513', 'a kernel failed', {
              where: [`sequence ${label}`, `launch ${labels[failure.launch] ?? ''}`],
              found: failure.message,
            });
    });
  }

  async finish(): Promise<void> {
    await this.afterQueue(() => undefined);
    this.throwIfFailed();
  }

  /** Nanoseconds from the first chunk's start to the last one's end. */
  async timeLaunches(sequence: Sequence): Promise<number[]> {
    const { times } = asCpuSequence(sequence);
    this.run(sequence);
    await this.finish();
    return Array.from(
      { length: sequence.launches },
      (_, index) => ((times[2 * index + 1] ?? 0) - (times[2 * index] ?? 0)) * 1e6,
    );
  }

  async destroy(): Promise<void> {
    this.pool.abort();
    await this.pool.terminate();
  }

  private view(): Uint8Array {
    return new Uint8Array(this.memory.buffer);
  }

  private async compile(name: string, source: Pick<CompiledKernel, 'kernel' | 'bytes'>): Promise<void> {
    let module: WebAssembly.Module;
    try {
      module = await WebAssembly.compile(source.bytes as Uint8Array<ArrayBuffer>);
    } catch (cause) {
      throw new Flux2cError('F2C511', 'a kernel does not compile', {
        where: [`kernel ${name}`],
        found: cause instanceof Error ? cause.message : String(cause),
        hint: 'This is a bug of the compiler; please report it with the kernel.',
        cause,
      });
    }
    const id = this.nextKernel++;
    this.pool.addKernel(id, module);
    this.kernels.set(name, { ...source, id });
  }

  /** A zero-filled block. Throws F2C502. */
  private allocate(byteLength: number, label: string): number {
    const address = this.allocator.allocate(byteLength, 65536 * pageBytes);
    if (address === undefined) throw outOfMemory(byteLength, label, this.usage.bytes, this.budgetBytes);
    const present = this.memory.buffer.byteLength;
    const missing = this.allocator.endAddress - present;
    if (missing > 0) {
      const wanted = Math.min(Math.max(missing, growthBytes), 65536 * pageBytes - present);
      try {
        this.memory.grow(Math.ceil(wanted / pageBytes));
      } catch {
        this.allocator.release(address, byteLength);
        throw outOfMemory(byteLength, label, this.usage.bytes, this.budgetBytes);
      }
    }
    const end = address + byteLength;
    if (address < this.touchedEnd) this.view().fill(0, address, Math.min(end, this.touchedEnd));
    this.touchedEnd = Math.max(this.touchedEnd, end);
    return address;
  }

  /** Runs `operation` after all before it: at once when nothing is queued. */
  private enqueue(operation: () => void | Promise<void>): void {
    this.queue.push(operation);
    if (!this.isRunning) this.advance();
  }

  private advance(): void {
    for (let operation = this.queue.shift(); operation !== undefined; operation = this.queue.shift()) {
      const running = operation();
      if (running === undefined) continue;
      this.isRunning = true;
      void running.then(() => {
        this.isRunning = false;
        this.advance();
      });
      return;
    }
  }

  private afterQueue(operation: () => void): Promise<void> {
    return new Promise((resolve) =>
      this.enqueue(() => {
        operation();
        resolve();
      }),
    );
  }

  private throwIfFailed(): void {
    const failure = this.failure;
    this.failure = undefined;
    if (failure !== undefined) throw failure;
  }
}

function equalBytes(first: Uint8Array, second: Uint8Array): boolean {
  return first.length === second.length && first.every((byte, index) => byte === second[index]);
}
