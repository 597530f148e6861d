import type { CudaCalls } from './cuda-calls.js';
import { EventPool } from './cuda-memory.js';
import type { CudaStream } from './driver.js';

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

  constructor(
    private readonly calls: CudaCalls,
    private readonly stream: CudaStream,
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
    const event = this.events.take();
    const count = this.queued;
    const due = this.due.splice(0);
    try {
      this.calls.run('eventRecord', where, event, this.stream, false);
      const started = performance.now();
      while (!this.calls.run('eventQuery', where, event)) {
        await new Promise<void>((resolve) => {
          if (performance.now() - started < eagerMs) setImmediate(resolve);
          else setTimeout(resolve, 1);
        });
      }
      this.reached = Math.max(this.reached, count);
    } finally {
      this.events.giveBack(event);
      for (const action of due) action();
    }
  }

  destroy(): void {
    for (const action of this.due.splice(0)) action();
    this.events.destroy();
  }
}
