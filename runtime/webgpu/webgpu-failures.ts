import { Flux2cError } from '../../ir/diagnostics.js';

/**
 * WebGPU reports errors later than the call that caused them. Every call that can fail is wrapped in error scopes; their
 * outcomes gather here and `settle` (behind `finish` and `read`) throws the first one. A reported failure is forgotten,
 * so a caller who frees memory may go on; device loss stays.
 */
export class FailureLog {
  private readonly pending = new Set<Promise<void>>();
  private failure: Flux2cError | undefined;
  private lost: Flux2cError | undefined;
  private closed = false;

  constructor(private readonly device: GPUDevice) {
    device.addEventListener('uncapturederror', (event) => {
      this.record(new Flux2cError('F2C513', 'the device reported an error', { found: event.error.message }));
    });
    void device.lost.then((info) => {
      if (this.closed) return;
      this.lost = new Flux2cError('F2C512', 'the device was lost', {
        found: info.message || info.reason,
        hint: 'Open the device again; if it repeats, a launch may run too long for the driver, or memory ran out.',
      });
    });
  }

  /** Runs `call` in an error scope; what the scope catches becomes a failure made by `describe`. */
  scope<T>(filter: GPUErrorFilter, call: () => T, describe: (message: string) => Flux2cError): T {
    this.device.pushErrorScope(filter);
    try {
      return call();
    } finally {
      const outcome = this.device.popErrorScope().then(
        (error) => {
          if (error !== null) this.record(describe(error.message));
        },
        // The scope's outcome is unknown once the device is lost; `lost` says so.
        () => undefined,
      );
      const tracked: Promise<void> = outcome.finally(() => this.pending.delete(tracked));
      this.pending.add(tracked);
    }
  }

  /** `scope` for calls that are not valid on the device. */
  refuse<T>(what: string, call: () => T): T {
    return this.scope(
      'validation',
      call,
      (found) => new Flux2cError('F2C513', `the device refused the ${what}`, { found }),
    );
  }

  /** Waits for the outcomes of all scopes so far and throws the first failure. */
  async settle(): Promise<void> {
    await Promise.all(this.pending);
    this.throwIfFailed();
  }

  /** Throws a failure already known. */
  throwIfFailed(): void {
    if (this.lost !== undefined) throw this.lost;
    const failure = this.failure;
    this.failure = undefined;
    if (failure !== undefined) throw failure;
  }

  /** Loss after this call is the caller's own `destroy`. */
  close(): void {
    this.closed = true;
  }

  private record(error: Flux2cError): void {
    this.failure ??= error;
  }
}
