import type { CudaCalls } from './cuda-calls.js';
import { EventPool } from './cuda-memory.js';
import type { CudaEvent, CudaStream } from './driver.js';

/** Waiting looks again at once for this long: short runs end within it. */
const eagerMs = 2;

/**
 * Waits for what is queued on a stream without blocking the thread: an event behind it is asked for until it is reached.
 * (A blocking wait on another thread would need the context there, too.)
 */
export class CudaQueue {
  private readonly events: EventPool;
  /** Counts what was queued; `reached` of it is done. */
  private queued = 0;
  private reached = 0;
  private due: (() => void)[] = [];

  /** @param beside other streams whose work counts too, those that have some */
  constructor(
    private readonly calls: CudaCalls,
    private readonly stream: CudaStream,
    private readonly beside: () => readonly CudaStream[] = () => [],
  ) {
    this.events = new EventPool(calls, false);
  }

  /** Whether something may still be running. */
  get isBusy(): boolean {
    return this.reached < this.queued;
  }

  /** Something was queued. */
  add(): void {
    this.queued++;
  }

  /** Calls `action` when all that is queued now is done and somebody waited for it, at the latest in `destroy`. */
  whenDone(action: () => void): void {
    if (this.isBusy) this.due.push(action);
    else action();
  }

  /** Resolves when all that is queued now is done. Rejects with F2C512 or F2C540 when any of it failed. */
  async drain(where: readonly string[]): Promise<void> {
    const streams = [this.stream, ...this.beside()];
    const events = streams.map(() => this.events.take());
    const count = this.queued;
    const due = this.due.splice(0);
    try {
      events.forEach((event, at) => this.calls.run('eventRecord', where, event, streams[at]!, false));
      for (const event of events) await untilReached(this.calls, event, where);
      this.reached = Math.max(this.reached, count);
    } finally {
      for (const event of events) this.events.giveBack(event);
      for (const action of due) action();
    }
  }

  /** Blocks the thread until all that is queued is done. */
  synchronize(): void {
    for (const stream of [this.stream, ...this.beside()]) this.calls.runQuietly('streamSynchronize', stream);
  }

  destroy(): void {
    for (const action of this.due.splice(0)) action();
    this.events.destroy();
  }
}

/** Asks for an event until it is reached. Rejects with F2C512 or F2C540 when what is before it failed. */
export async function untilReached(calls: CudaCalls, event: CudaEvent, where: readonly string[]): Promise<void> {
  const started = performance.now();
  while (!calls.run('eventQuery', where, event)) {
    await new Promise<void>((resolve) => {
      if (performance.now() - started < eagerMs) setImmediate(resolve);
      else setTimeout(resolve, 1);
    });
  }
}
