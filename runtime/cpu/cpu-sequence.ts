import { Flux2cError } from '../../ir/diagnostics.js';
import type { ThreadKernel } from '../../ir/kernel/thread.js';
import type { BoundLaunch, DeviceBuffer, Sequence } from '../device.js';
import { jobLayout } from './worker-main.js';

/** A block of the device's memory. */
export class CpuBuffer implements DeviceBuffer {
  private live = true;

  constructor(
    readonly address: number,
    readonly byteLength: number,
    readonly label: string,
    private readonly onDestroy: () => void,
  ) {}

  get isLive(): boolean {
    return this.live;
  }

  destroy(): void {
    if (!this.live) return;
    this.live = false;
    this.onDestroy();
  }
}

/** Throws F2C514 for another device's buffer, F2C513 for a destroyed one. */
export function asCpuBuffer(buffer: DeviceBuffer): CpuBuffer {
  if (!(buffer instanceof CpuBuffer))
    throw new Flux2cError('F2C514', 'internal: a buffer of another device', { where: [`buffer ${buffer.label}`] });
  if (!buffer.isLive)
    throw new Flux2cError('F2C513', 'the buffer was destroyed', { where: [`buffer ${buffer.label}`] });
  return buffer;
}

export interface LoadedCpuKernel {
  readonly id: number;
  readonly kernel: ThreadKernel;
}

/** Launches in the form that worker threads read. */
export class CpuSequence implements Sequence {
  constructor(
    readonly label: string,
    readonly labels: readonly string[],
    readonly buffers: readonly CpuBuffer[],
    readonly job: Int32Array,
    readonly starts: Int32Array,
    readonly times: Float64Array,
    private readonly onDestroy: () => void,
  ) {}

  get launches(): number {
    return this.labels.length;
  }

  /** Readies the shared counters for another run. */
  reset(): void {
    this.job[jobLayout.abort] = 0;
    for (const start of this.starts) {
      this.job[start + jobLayout.next] = 0;
      this.job[start + jobLayout.done] = 0;
    }
  }

  destroy(): void {
    this.onDestroy();
  }
}

/** Throws F2C514 for another device's sequence. */
export function asCpuSequence(sequence: Sequence): CpuSequence {
  if (sequence instanceof CpuSequence) return sequence;
  throw new Flux2cError('F2C514', 'internal: a sequence of another device', { where: [`sequence ${sequence.label}`] });
}

/**
 * Chunks of a launch for each thread: more even out threads of unequal speed, fewer cost less. Code is replaced by better
 * code between calls only, so a single thread has chunks too.
 */
const chunksPerThread = 8;

/** Workgroups of a chunk in x, y, z: the outer axes are cut first, so that a chunk is contiguous where possible. */
export function chunkOf(workgroups: readonly [number, number, number], threads: number): [number, number, number] {
  const [x, y, z] = workgroups;
  let goal = threads * chunksPerThread;
  const cut = (extent: number): number => {
    const size = Math.ceil(extent / Math.min(extent, goal));
    goal = Math.ceil(goal / Math.ceil(extent / size));
    return size;
  };
  const sizeZ = cut(z);
  const sizeY = cut(y);
  return [cut(x), sizeY, sizeZ];
}

/** The job of launches whose parameters lie at `parameterAddresses`. */
export function encodeJob(
  launches: readonly (BoundLaunch & { readonly loaded: LoadedCpuKernel })[],
  parameterAddresses: readonly number[],
  threads: number,
): Pick<CpuSequence, 'job' | 'starts' | 'times'> {
  const at = jobLayout;
  const wordsOf = (launch: BoundLaunch): number => at.launchHeader + Math.ceil(launch.bindings.length / 16) * 16;
  const words = launches.reduce((sum, launch) => sum + wordsOf(launch), at.header);
  const job = new Int32Array(new SharedArrayBuffer(words * 4));
  const starts = new Int32Array(launches.length);
  const times = new Float64Array(new SharedArrayBuffer(Math.max(1, launches.length) * 16));
  job[at.launchCount] = launches.length;
  let start = at.header;
  launches.forEach((launch, index) => {
    const size = chunkOf(launch.workgroups, threads);
    const counts = launch.workgroups.map((extent, axis) => Math.ceil(extent / (size[axis] ?? 1)));
    starts[index] = start;
    job[start + at.kernel] = launch.loaded.id;
    job[start + at.chunks] = counts.reduce((product, count) => product * count, 1);
    job.set(launch.workgroups, start + at.workgroups);
    job.set(size, start + at.chunkSize);
    job.set(counts, start + at.chunkCount);
    job[start + at.parameters] = parameterAddresses[index] ?? 0;
    job[start + at.buffers] = launch.bindings.length;
    launch.bindings.forEach((binding, position) => {
      job[start + at.launchHeader + position] = asCpuBuffer(binding.buffer).address + binding.byteOffset;
    });
    start += wordsOf(launch);
  });
  return { job, starts, times };
}
