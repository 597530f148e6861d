import type { Target } from '../backends/target.js';
import { Flux2cError } from '../ir/diagnostics.js';
import type { ThreadKernel } from '../ir/kernel/thread.js';
import type { BoundLaunch, Device, DeviceBuffer, DeviceKernel, Sequence } from './device.js';
import { checkBufferAccess, checkKernel, checkLaunch, checkRange, UsageMeter } from './launch-check.js';

/**
 * What devices without hardware share: bookkeeping of buffers, kernels and sequences, and all checks that a device of the
 * target makes; what the target leaves open they check as WebGPU does. What a buffer holds and what a launch does is the subclass's.
 */
export abstract class CheckingDevice<Memory> implements Device {
  readonly usage: UsageMeter;
  readonly kernels = new Map<string, ThreadKernel>();

  constructor(
    readonly target: Target,
    readonly description: string,
    budgetBytes: number,
  ) {
    this.usage = new UsageMeter(target.maxBufferBytes, budgetBytes);
  }

  get kind(): Device['kind'] {
    return this.target.backend;
  }

  protected abstract allocate(byteLength: number): Memory;
  protected abstract execute(launch: BoundLaunch, kernel: ThreadKernel): void;
  abstract write(buffer: DeviceBuffer, byteOffset: number, bytes: Uint8Array): void;
  abstract copy(from: DeviceBuffer, fromOffset: number, to: DeviceBuffer, toOffset: number, byteLength: number): void;
  abstract read(buffer: DeviceBuffer, byteOffset: number, byteLength: number): Promise<Uint8Array>;

  createBuffer(byteLength: number, label: string): DeviceBuffer {
    this.usage.admit(byteLength, label);
    this.usage.add(byteLength);
    return new CheckedBuffer(byteLength, label, this.allocate(byteLength), () => this.usage.remove(byteLength));
  }

  async loadKernels(
    kernels: readonly DeviceKernel[],
    onProgress?: (done: number, total: number) => void,
  ): Promise<void> {
    kernels.forEach(({ name, kernel }, index) => {
      checkKernel(this.target, kernel);
      this.kernels.set(name, kernel);
      onProgress?.(index + 1, kernels.length);
    });
  }

  record(launches: readonly BoundLaunch[], label: string): Sequence {
    for (const launch of launches) {
      const kernel = this.kernelOf(launch);
      checkLaunch(this.target, kernel, launch);
      checkBufferAccess(this.target, kernel, launch);
      for (const { buffer } of launch.bindings) this.memoryOf(buffer);
    }
    return new CheckedSequence(label, launches);
  }

  run(sequence: Sequence): void {
    if (!(sequence instanceof CheckedSequence) || !sequence.isLive) {
      throw misuse('a sequence that is destroyed or of another device', `sequence ${sequence.label}`);
    }
    for (const launch of sequence.list) {
      for (const { buffer } of launch.bindings) this.memoryOf(buffer);
      this.execute(launch, this.kernelOf(launch));
    }
  }

  async finish(): Promise<void> {
    // Everything is done when it is queued.
  }

  async destroy(): Promise<void> {
    this.kernels.clear();
  }

  /** A live buffer's contents. Checks the range too, as `operation`. */
  protected memoryOf(buffer: DeviceBuffer, operation?: string, byteOffset = 0, byteLength = 0): Memory {
    if (!(buffer instanceof CheckedBuffer) || !buffer.isLive) {
      throw misuse('a buffer that is destroyed or of another device', `buffer ${buffer.label}`);
    }
    if (operation !== undefined) checkRange(operation, buffer, byteOffset, byteLength);
    return buffer.memory as Memory;
  }

  protected checkCopy(from: DeviceBuffer, to: DeviceBuffer): void {
    if (from !== to || this.target.mixedAccess === true) return;
    throw misuse('a copy inside of one buffer, which WebGPU forbids', `buffer ${from.label}`);
  }

  private kernelOf(launch: BoundLaunch): ThreadKernel {
    const kernel = this.kernels.get(launch.kernel);
    if (kernel === undefined) throw misuse(`the kernel ${launch.kernel} is not loaded`, `launch ${launch.label}`);
    return kernel;
  }
}

function misuse(what: string, where: string): Flux2cError {
  return new Flux2cError('F2C514', `internal: ${what}`, { where: [where] });
}

class CheckedBuffer implements DeviceBuffer {
  isLive = true;

  constructor(
    readonly byteLength: number,
    readonly label: string,
    readonly memory: unknown,
    private readonly onDestroy: () => void,
  ) {}

  destroy(): void {
    if (!this.isLive) return;
    this.isLive = false;
    this.onDestroy();
  }
}

class CheckedSequence implements Sequence {
  isLive = true;

  constructor(
    readonly label: string,
    readonly list: readonly BoundLaunch[],
  ) {}

  get launches(): number {
    return this.list.length;
  }

  destroy(): void {
    this.isLive = false;
  }
}
