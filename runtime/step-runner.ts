import { Flux2cError } from '../ir/diagnostics.js';
import type { Device, DeviceBuffer, Sequence } from './device.js';
import type { BoundLoop, BoundStep, PlannedCopy, PlannedLaunch } from './plan/bound-plan.js';

/** Who looks at loops while they run. */
export interface LoopObserver {
  /** Called after an iteration; the next one starts when the promise is kept, so carried values can be read. */
  readonly onIteration?: (loop: BoundLoop, index: number) => void | Promise<void>;
  /** Called as soon as an iteration is known to be over. The next one is queued by then and does not wait. */
  readonly onDone?: (loop: BoundLoop, index: number) => void;
}

/** Runs of launches as one sequence, and what stands between them. */
type Recorded = Sequence | PlannedCopy | BoundLoop;

interface RecordedSteps {
  readonly parts: readonly Recorded[];
  readonly isKept: boolean;
}

/**
 * Executes bound steps on a device: consecutive launches are recorded as one sequence, an iteration of a loop is queued as a
 * whole before anything is waited for. What is the same in every iteration and every run is recorded once. While an
 * iteration runs, the next one is recorded and queued.
 */
export class StepRunner {
  private readonly kept = new Map<readonly BoundStep[], RecordedSteps>();

  constructor(
    private readonly device: Device,
    private readonly buffers: readonly DeviceBuffer[],
  ) {}

  /** Queues all steps; loops are waited for with at most two iterations in flight. Throws F2C522 when it is cancelled. */
  async run(steps: readonly BoundStep[], observer: LoopObserver = {}, signal?: AbortSignal): Promise<void> {
    throwIfAborted(signal);
    await this.execute(this.record(steps, true, 'steps'), observer, signal);
  }

  destroy(): void {
    for (const recorded of this.kept.values()) this.dispose(recorded);
    this.kept.clear();
  }

  private record(steps: readonly BoundStep[], isKept: boolean, label: string): RecordedSteps {
    const known = this.kept.get(steps);
    if (known !== undefined) return known;
    const parts: Recorded[] = [];
    let launches: PlannedLaunch[] = [];
    const flush = (): void => {
      if (launches.length > 0) parts.push(this.recordLaunches(launches, label));
      launches = [];
    };
    for (const step of steps) {
      if (step.kind === 'launch') {
        launches.push(step);
        continue;
      }
      flush();
      if (step.kind === 'fetch' || step.kind === 'arrival') throw new Error('internal: weights are not streamed yet');
      parts.push(step);
    }
    flush();
    const recorded = { parts, isKept };
    if (isKept) this.kept.set(steps, recorded);
    return recorded;
  }

  private recordLaunches(launches: readonly PlannedLaunch[], label: string): Sequence {
    const bound = launches.map(({ kernel, label: name, bindings, parameters, workgroups }) => ({
      kernel,
      label: name,
      parameters,
      workgroups,
      bindings: bindings.map(({ buffer, byteOffset, byteLength }) => ({
        buffer: this.buffers[buffer] as DeviceBuffer,
        byteOffset,
        byteLength,
      })),
    }));
    return this.device.record(bound, label);
  }

  private async execute(recorded: RecordedSteps, observer: LoopObserver, signal?: AbortSignal): Promise<void> {
    for (const part of recorded.parts) {
      if (!('kind' in part)) this.device.run(part);
      else if (part.kind === 'loop') await this.loop(part, observer, signal);
      else {
        const [from, to] = [part.from, part.to].map(({ buffer }) => this.buffers[buffer] as DeviceBuffer);
        this.device.copy(from!, part.from.byteOffset, to!, part.to.byteOffset, part.byteLength);
      }
    }
  }

  private async loop(loop: BoundLoop, observer: LoopObserver, signal?: AbortSignal): Promise<void> {
    const prepare = (index: number): RecordedSteps =>
      this.record(loop.iteration(index), loop.isUniform, `${loop.symbol} = ${loop.isUniform ? 'any' : index}`);
    let current = prepare(0);
    let previous: { readonly steps: RecordedSteps; readonly done: Promise<void> } | undefined;
    try {
      for (let index = 0; index < loop.count; index++) {
        throwIfAborted(signal);
        await this.execute(current, observer, signal);
        const done = this.device.finish().then(() => observer.onDone?.(loop, index));
        // Awaited below, but perhaps after something else has failed.
        done.catch(() => undefined);
        const running = { steps: current, done };
        if (index + 1 < loop.count) current = prepare(index + 1);
        await previous?.done;
        if (previous !== undefined) this.dispose(previous.steps, true);
        previous = running;
        if (observer.onIteration === undefined) continue;
        await running.done;
        await observer.onIteration(loop, index);
      }
      await previous?.done;
    } finally {
      // What failed is thrown; here it only matters that nothing runs any more.
      await this.device.finish().catch(() => undefined);
      if (previous !== undefined) this.dispose(previous.steps, true);
      if (current !== previous?.steps) this.dispose(current, true);
    }
  }

  /** Frees sequences; `unlessKept` spares those that later runs use. */
  private dispose({ parts, isKept }: RecordedSteps, unlessKept = false): void {
    if (unlessKept && isKept) return;
    for (const part of parts) if (!('kind' in part)) part.destroy();
  }
}

export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw cancelled(signal.reason);
}

export function cancelled(reason: unknown): Flux2cError {
  return new Flux2cError('F2C522', 'the run was cancelled', { cause: reason });
}
