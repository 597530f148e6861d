import type { Target } from '../backends/target.js';
import type { ThreadKernel } from '../ir/kernel/thread.js';

/**
 * A device executes launches on buffers. Implementations: WebGPU (Dawn in Node, the browser's own), CUDA (NVIDIA's driver)
 * and the CPU (WebAssembly made from the same kernels). A device knows nothing of graphs or plans.
 */
export interface Device {
  readonly kind: 'webgpu' | 'cpu' | 'cuda';
  /** For people: adapter name and driver, or processor and threads. */
  readonly description: string;
  /** What WebGPU says of the adapter; absent elsewhere. */
  readonly adapter?: { readonly vendor: string; readonly architecture: string };
  readonly target: Target;
  /** Zero-filled. Throws F2C50x when the device has no room, with the bytes asked for and in use. */
  createBuffer(byteLength: number, label: string): DeviceBuffer;
  /** Queued in order with launches. `byteOffset` and the length are multiples of 4. */
  write(buffer: DeviceBuffer, byteOffset: number, bytes: Uint8Array): void;
  /** Queued in order; multiples of 4. */
  copy(from: DeviceBuffer, fromOffset: number, to: DeviceBuffer, toOffset: number, byteLength: number): void;
  /** After all work queued before it. */
  read(buffer: DeviceBuffer, byteOffset: number, byteLength: number): Promise<Uint8Array>;
  /**
   * Compiles in parallel; kernels already loaded under the same name and text are kept. Where that takes long (on GPUs and in
   * the emulator), an abort begins no further kernel, ends compilers that are programs of their own, and rejects with the
   * signal's reason.
   */
  loadKernels(kernels: readonly DeviceKernel[], onProgress?: OnKernelLoaded, signal?: AbortSignal): Promise<void>;
  /**
   * Begins to compile kernels that `loadKernels` will be asked for later, behind what it has been asked for already. What goes
   * wrong is reported by `loadKernels`. Absent where compiling ahead takes room or time from what runs meanwhile.
   */
  readonly prepareKernels?: (kernels: readonly DeviceKernel[]) => void;
  /**
   * Binds launches once so that they can be run many times. Refuses (F2C514, naming the launch) overlapping ranges of which
   * one is writable, and, where the target has no `mixedAccess`, a buffer that one launch binds both read-only and writable.
   */
  record(launches: readonly BoundLaunch[], label: string): Sequence;
  /** Queues a recorded sequence: one command buffer. */
  run(sequence: Sequence): void;
  /** Resolves when everything queued so far is done; rejects with F2C51x or F2C54x on device loss or a device error. */
  finish(): Promise<void>;
  /** Runs the sequence and gives the nanoseconds of each launch; absent when the device has no clock for that. */
  readonly timeLaunches?: (sequence: Sequence) => Promise<number[]>;
  /** Copies from host memory that run beside launches; absent where there are none but `write`, which is in order with them. */
  readonly uploads?: UploadLane;
  readonly usage: DeviceUsage;
  /** Memory of the device that nobody uses now; absent where devices do not say. */
  readonly freeBytes?: () => number;
  destroy(): Promise<void>;
}

/**
 * Copies from the host that do not wait for launches queued before them, nor launches for them, unless they are told to. They
 * come one after the other. `finish`, `destroy` and freeing a buffer wait for them, too.
 */
export interface UploadLane {
  /** Host memory that copies come from directly. F2C502 when there is none. */
  allocate(byteLength: number): UploadBlock;
  /** The place in the queue that it has now: what is queued so far is before it. For one `upload`, or `drop`. */
  mark(): QueueMark;
  /** Takes a mark back that no upload needs. */
  drop(mark: QueueMark): void;
  /**
   * Queues a copy into the buffer behind everything before `after`; without a mark, behind the uploads before it only. The bytes must
   * stay as they are until it is `finished`.
   */
  upload(
    after: QueueMark | undefined,
    block: UploadBlock,
    blockOffset: number,
    buffer: DeviceBuffer,
    byteOffset: number,
    byteLength: number,
  ): UploadTicket;
  /** What is queued from now on runs after the copy. */
  await(ticket: UploadTicket): void;
  /** Resolves when the copy is done. Rejects as `finish`. */
  finished(ticket: UploadTicket): Promise<void>;
}

/** Host memory of an `UploadLane`. */
export interface UploadBlock {
  /** Not to be touched once the block is destroyed. */
  readonly bytes: Uint8Array;
  /** Only when no copy from it is under way. */
  destroy(): void;
}

/** Made by `UploadLane.mark`. */
export interface QueueMark {
  readonly kind: 'mark';
}

/** A copy that was queued. */
export interface UploadTicket {
  readonly kind: 'ticket';
}

/** How many kernels of all are ready. */
export type OnKernelLoaded = (done: number, total: number) => void;

export interface DeviceBuffer {
  readonly byteLength: number;
  readonly label: string;
  destroy(): void;
}

export interface DeviceUsage {
  readonly bytes: number;
  readonly peakBytes: number;
}

export interface DeviceKernel {
  readonly name: string;
  /** What the CPU device compiles. */
  readonly kernel: ThreadKernel;
  /** The text a backend made of it: WGSL or CUDA C++; empty for the CPU. */
  readonly source: string;
  /** What the text includes, by name, where that is not what this version of flux2c would give. */
  readonly headers?: ReadonlyMap<string, string>;
  /** Machine code by architecture (`sm_90a`), where it was made ahead; a CUDA device without its own compiles `source`. */
  readonly binaries?: ReadonlyMap<string, Uint8Array>;
}

/** A launch with everything known: one dispatch. */
export interface BoundLaunch {
  readonly kernel: string;
  /** For error messages and timings. */
  readonly label: string;
  /** In the order of the kernel's buffers; offsets are multiples of the target's binding alignment. */
  readonly bindings: readonly {
    readonly buffer: DeviceBuffer;
    readonly byteOffset: number;
    readonly byteLength: number;
  }[];
  /** In the order of the kernel's parameters. */
  readonly parameters: Int32Array;
  /** Workgroups in x, y, z; none is 0. */
  readonly workgroups: readonly [number, number, number];
}

export interface Sequence {
  readonly label: string;
  readonly launches: number;
  destroy(): void;
}
