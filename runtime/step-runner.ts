import { Flux2cError } from '../ir/diagnostics.js';
import type { Device, DeviceBuffer, Sequence } from './device.js';
import type {
  BoundLoop,
  BoundStep,
  PlannedArrival,
  PlannedCopy,
  PlannedFetch,
  PlannedLaunch,
} from './plan/bound-plan.js';
import { fetchOrder, Iterations } from './streaming/fetch-order.js';
import type { PieceTransfers } from './streaming/piece-transfers.js';

/** Who looks at loops while they run. */
export interface LoopObserver {
  /** Called after an iteration; the next one starts when the promise is kept, so carried values can be read. */
  readonly onIteration?: (loop: BoundLoop, index: number) => void | Promise<void>;
  /** Called as soon as an iteration is known to be over. The next one is queued by then and does not wait. */
  readonly onDone?: (loop: BoundLoop, index: number) => void;
}

/** Runs of launches as one sequence, and what stands between them. */
type Recorded = Sequence | PlannedCopy | PlannedFetch | PlannedArrival | BoundLoop;

interface RecordedSteps {
  readonly parts: readonly Recorded[];
  readonly isKept: boolean;
}

/** What is the same for all steps of a run. */
interface Run {
  readonly observer: LoopObserver;
  readonly signal: AbortSignal | undefined;
  readonly iterations: Iterations;
  readonly transfers: PieceTransfers | undefined;
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
    private readonly startTransfers?: (order: Iterator<number>) => PieceTransfers,
  ) {}

  /**
   * Queues all steps; loops are waited for with at most two iterations in flight. Weights that are streamed come as far ahead
   * as the plan allows. Throws F2C522 when it is cancelled, what reading weights throws, F2C51x.
   */
  async run(steps: readonly BoundStep[], observer: LoopObserver = {}, signal?: AbortSignal): Promise<void> {
    throwIfAborted(signal);
    const recorded = this.record(steps, true, 'steps');
    const iterations = new Iterations();
    const transfers = this.startTransfers?.(fetchOrder(steps, iterations));
    try {
      await this.execute(recorded, { observer, signal, iterations, transfers }, true);
    } catch (error) {
      await transfers?.end().catch(() => undefined);
      throw error;
    }
    await transfers?.end();
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

  /** @param isLast whether these are the steps of a loop's last iteration, or of none */
  private async execute(recorded: RecordedSteps, run: Run, isLast: boolean): Promise<void> {
    const { transfers, signal } = run;
    for (const part of recorded.parts) {
      if (!('kind' in part)) this.device.run(part);
      else if (part.kind === 'loop') await this.loop(part, run);
      else if (part.kind === 'copy') {
        const [from, to] = [part.from, part.to].map(({ buffer }) => this.buffers[buffer] as DeviceBuffer);
        this.device.copy(from!, part.from.byteOffset, to!, part.to.byteOffset, part.byteLength);
      } else if (transfers === undefined) throw new Error('internal: weights are streamed without a budget');
      else if (part.kind === 'arrival') {
        throwIfAborted(signal);
        const arrival = transfers.arrive(part.piece);
        if (arrival !== undefined) await unlessAborted(arrival, signal);
      } else if (!(part.isAhead && isLast)) transfers.fetch(part.piece);
    }
  }

  private async loop(loop: BoundLoop, run: Run): Promise<void> {
    const { observer, signal, iterations } = run;
    const prepare = (index: number): RecordedSteps =>
      this.record(iterations.of(loop, index), loop.isUniform, `${loop.symbol} = ${loop.isUniform ? 'any' : index}`);
    let current = prepare(0);
    let previous: { readonly steps: RecordedSteps; readonly done: Promise<void> } | undefined;
    try {
      for (let index = 0; index < loop.count; index++) {
        throwIfAborted(signal);
        await this.execute(current, run, index + 1 === loop.count);
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

/** Rejects with F2C522 as soon as the signal aborts. */
async function unlessAborted(work: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return work;
  let stop = (): void => undefined;
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(cancelled(signal.reason));
    signal.addEventListener('abort', stop, { once: true });
  });
  try {
    await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
