/**
 * Streams of the mock driver: what is queued runs as late as the rules allow, so that whoever relies on more than they
 * promise gets wrong numbers or an error. Clocks tell which operations have waited for which.
 */
import { type Access, CudaViolation, describe, requireLive } from './mock-memory.js';

export interface Operation {
  readonly name: string;
  readonly accesses: readonly Access[];
  /** Anything else that must live until it has run: modules, graphs. */
  readonly needs: readonly MockObject[];
  run(): void;
}

/** Something with a handle. */
export interface MockObject {
  readonly kind: string;
  readonly handle: bigint;
  isLive: boolean;
}

/** By stream, the number of operations of it that are known to be done before. */
type Clock = Map<MockStream, number>;

export interface MockStream extends MockObject {
  readonly pending: { readonly tick: number; readonly operation: Operation }[];
  readonly clock: Clock;
  /** Operations queued, and run, so far. */
  queued: number;
  done: number;
  capture: Operation[] | undefined;
}

export interface MockEvent extends MockObject {
  readonly timing: boolean;
  record: { readonly stream: MockStream; readonly tick: number; readonly clock: Clock } | undefined;
  /** When it was reached. */
  time: number | undefined;
  isCaptured: boolean;
  queries: number;
}

interface PastAccess extends Access {
  readonly stream: MockStream;
  readonly tick: number;
  readonly name: string;
}

export class MockStreams {
  /** What this thread has waited for. */
  private readonly host: Clock = new Map();
  private past: PastAccess[] = [];
  private readonly streams = new Set<MockStream>();

  add(stream: MockStream): void {
    this.streams.add(stream);
  }

  /** Queues an operation, or puts it into the graph that is captured. */
  queue(stream: MockStream, operation: Operation): void {
    if (stream.capture !== undefined) {
      stream.capture.push(operation);
      return;
    }
    for (const access of operation.accesses) requireLive(access);
    for (const { kind, isLive } of operation.needs) {
      if (!isLive) throw new CudaViolation(`${operation.name} uses a ${kind} that was destroyed`);
    }
    const tick = ++stream.queued;
    merge(stream.clock, this.host);
    for (const access of operation.accesses) this.requireOrder(stream, access, operation.name);
    for (const access of operation.accesses) this.past.push({ ...access, stream, tick, name: operation.name });
    stream.clock.set(stream, tick);
    stream.pending.push({ tick, operation });
  }

  record(event: MockEvent, stream: MockStream): void {
    this.queue(stream, { name: 'an event', accesses: [], needs: [], run: () => undefined });
    event.record = { stream, tick: stream.queued, clock: new Map(stream.clock) };
    event.time = undefined;
    event.queries = 0;
    const last = stream.pending.at(-1)!;
    const { tick } = last;
    stream.pending[stream.pending.length - 1] = {
      tick,
      operation: { ...last.operation, run: () => (event.time = MockStreams.now()) },
    };
  }

  wait(stream: MockStream, event: MockEvent): void {
    const { record } = event;
    // As CUDA has it: an event that was never recorded counts as reached.
    if (record === undefined) return;
    merge(stream.clock, record.clock);
    this.queue(stream, {
      name: 'a wait',
      accesses: [],
      needs: [],
      run: () => this.runUpTo(record.stream, record.tick),
    });
  }

  /** This thread waits for an operation and all before it. */
  synchronize(stream: MockStream, tick: number, clock: Clock): void {
    this.runUpTo(stream, tick);
    merge(this.host, clock);
    this.past = this.past.filter((access) => (this.host.get(access.stream) ?? 0) < access.tick);
  }

  runUpTo(stream: MockStream, tick: number): void {
    while (stream.done < tick) {
      const next = stream.pending.shift();
      if (next === undefined) return;
      stream.done = next.tick;
      next.operation.run();
    }
  }

  /** Whether an operation that has not run yet satisfies a condition. */
  isPending(condition: (operation: Operation) => boolean): boolean {
    return [...this.streams].some(({ pending }) => pending.some(({ operation }) => condition(operation)));
  }

  private static clockTime = 0;
  static now(): number {
    return ++MockStreams.clockTime;
  }

  private requireOrder(stream: MockStream, access: Access, name: string): void {
    for (const before of this.past) {
      const meets = before.allocation === access.allocation && before.start < access.end && access.start < before.end;
      if (!meets || before.stream === stream || !(before.writes || access.writes)) continue;
      if ((stream.clock.get(before.stream) ?? 0) >= before.tick) continue;
      throw new CudaViolation(
        `${name} ${access.writes ? 'writes' : 'reads'} ${describe(access.allocation)} without waiting for ` +
          `${before.name} on another stream, which ${before.writes ? 'writes' : 'reads'} it`,
      );
    }
  }
}

function merge(into: Clock, other: Clock): void {
  for (const [stream, tick] of other) into.set(stream, Math.max(into.get(stream) ?? 0, tick));
}
