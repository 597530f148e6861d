import { Flux2cError } from '../../ir/diagnostics.js';
import { launchedGroups } from '../../ir/kernel/launch.js';
import type { Target } from '../../backends/target.js';
import type { BoundLaunch, Sequence } from '../device.js';
import { checkBufferAccess, checkLaunch } from '../launch-check.js';
import type { CudaCalls } from './cuda-calls.js';
import type { CudaKernelLibrary } from './cuda-kernels.js';
import { asCudaBuffer, type CudaBuffer } from './cuda-memory.js';
import {
  cudaResults,
  type CudaEvent,
  type CudaGraphExec,
  type CudaLaunch,
  type CudaStream,
  offsetPointer,
} from './driver.js';
import { encodeTensorMaps } from './tensor-maps.js';

interface PreparedLaunch extends Omit<CudaLaunch, 'stream'> {
  readonly label: string;
  readonly kernel: string;
}

/** Gets the graph, which may still be running. */
export type OnSequenceDestroy = (sequence: CudaSequence, graph: CudaGraphExec | undefined) => void;

/** Launches with everything known; a graph from the first run on, unless a graph cannot pay. */
export class CudaSequence implements Sequence {
  isLive = true;
  private graph: CudaGraphExec | undefined;

  constructor(
    private readonly calls: CudaCalls,
    readonly label: string,
    readonly prepared: readonly PreparedLaunch[],
    readonly buffers: readonly CudaBuffer[],
    private readonly onDestroy: OnSequenceDestroy,
  ) {}

  get launches(): number {
    return this.prepared.length;
  }

  destroy(): void {
    if (!this.isLive) return;
    this.isLive = false;
    this.onDestroy(this, this.graph);
    this.graph = undefined;
  }

  /** Queues all launches: one alone as it is, several as a graph, which the driver starts without a gap between them. */
  run(stream: CudaStream): void {
    if (this.prepared.length > 1) {
      this.graph ??= this.capture(stream, () => this.launchAll(stream));
      this.calls.run('graphLaunch', this.where(), this.graph, stream);
    } else this.launchAll(stream);
  }

  /** Queues the launches one by one and waits for each, so that what fails is known. */
  runOneByOne(stream: CudaStream): void {
    for (const launch of this.prepared) {
      this.launch(launch, stream);
      this.calls.run('streamSynchronize', this.where(launch), stream);
    }
  }

  /** A graph of all launches with events around each, so that no gap of this thread's is measured. */
  captureBetween(stream: CudaStream, starts: readonly CudaEvent[], ends: readonly CudaEvent[]): CudaGraphExec {
    return this.capture(stream, () => {
      this.prepared.forEach((launch, index) => {
        this.calls.run('eventRecord', this.where(launch), starts[index]!, stream, true);
        this.launch(launch, stream);
        this.calls.run('eventRecord', this.where(launch), ends[index]!, stream, true);
      });
    });
  }

  private launchAll(stream: CudaStream): void {
    for (const launch of this.prepared) this.launch(launch, stream);
  }

  private launch(launch: PreparedLaunch, stream: CudaStream): void {
    this.calls.run('launchKernel', this.where(launch), { ...launch, stream });
  }

  private capture(stream: CudaStream, queue: () => void): CudaGraphExec {
    this.calls.run('streamBeginCapture', this.where(), stream);
    try {
      queue();
    } catch (error) {
      // The stream is of no use until its capture ends, which fails or gives a graph that nobody wants.
      const { result, value } = this.calls.driver.streamEndCapture(stream);
      if (result === cudaResults.success) this.calls.runQuietly('graphDestroy', value);
      throw error;
    }
    const graph = this.calls.run('streamEndCapture', this.where(), stream);
    try {
      return this.calls.run('graphInstantiate', this.where(), graph);
    } finally {
      this.calls.runQuietly('graphDestroy', graph);
    }
  }

  private where(launch?: PreparedLaunch): readonly string[] {
    const sequence = `sequence ${this.label}`;
    return launch === undefined ? [sequence] : [sequence, `launch ${launch.label}`, `kernel ${launch.kernel}`];
  }
}

/** Where launches are prepared. */
export interface RecordingDevice {
  readonly calls: CudaCalls;
  readonly target: Target;
  readonly library: CudaKernelLibrary;
  /** Workgroups that walk over tiles leave room for one of them on each. */
  readonly multiprocessors: number;
}

/**
 * Checks and prepares launches. Throws F2C514 for a launch that the kernel or the target does not allow, F2C537 for a tensor
 * map that the driver would refuse, F2C543 when it is too old for them.
 */
export function recordCudaSequence(
  { calls, target, library, multiprocessors }: RecordingDevice,
  launches: readonly BoundLaunch[],
  label: string,
  onDestroy: OnSequenceDestroy,
): CudaSequence {
  const buffers = new Set<CudaBuffer>();
  const prepared = launches.map((launch): PreparedLaunch => {
    const loaded = library.get(launch.kernel);
    if (loaded === undefined) {
      throw new Flux2cError('F2C514', 'internal: the kernel is not loaded', {
        where: [`launch ${launch.label}`, `kernel ${launch.kernel}`],
      });
    }
    checkLaunch(target, loaded.kernel, launch);
    checkBufferAccess(target, loaded.kernel, launch);
    return {
      label: launch.label,
      kernel: launch.kernel,
      function: loaded.function,
      grid: launchedGroups(loaded.kernel, launch.workgroups, multiprocessors),
      blockSize: loaded.kernel.workgroupSize,
      sharedBytes: loaded.sharedBytes,
      parameters: launch.parameters,
      tensorMaps: encodeTensorMaps(calls, loaded.kernel, launch, label),
      spans: launch.bindings.map(({ byteLength }) => byteLength),
      pointers: launch.bindings.map(({ buffer, byteOffset }) => {
        const owned = asCudaBuffer(buffer);
        buffers.add(owned);
        return offsetPointer(owned.pointer, byteOffset);
      }),
    };
  });
  return new CudaSequence(calls, label, prepared, [...buffers], onDestroy);
}
