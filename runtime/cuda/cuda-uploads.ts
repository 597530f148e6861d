import { Flux2cError } from '../../ir/diagnostics.js';
import type { DeviceBuffer, QueueMark, UploadBlock, UploadLane, UploadTicket } from '../device.js';
import { checkRange } from '../launch-check.js';
import type { CudaCalls } from './cuda-calls.js';
import { asCudaBuffer, EventPool } from './cuda-memory.js';
import { type CudaQueue, untilReached } from './cuda-queue.js';
import { type CudaEvent, type CudaStream, type HostPointer, offsetPointer, type PinnedMemory } from './driver.js';

/** Copies whose events are kept before somebody asks which of them are done. */
const keptTickets = 32;

/** Uploads on a stream of their own: what orders them and launches are events, so bus and processors work at once. */
export class CudaUploadLane implements UploadLane {
  private stream: CudaStream | undefined;
  private readonly events: EventPool;
  private readonly blocks = new Set<PinnedBlock>();
  /** In order; those before the first are done. */
  private readonly unfinished: CudaTicket[] = [];

  /** @param launches the stream that launches are queued on */
  constructor(
    private readonly calls: CudaCalls,
    private readonly launches: CudaStream,
    private readonly queue: CudaQueue,
  ) {
    this.events = new EventPool(calls, false);
  }

  /** Streams with copies that may not be done yet. */
  get busyStreams(): readonly CudaStream[] {
    return this.stream === undefined || this.unfinished.length === 0 ? [] : [this.stream];
  }

  allocate(byteLength: number): UploadBlock {
    const memory = this.calls.run('hostAllocate', ['host memory of streamed weights'], byteLength);
    const block = new PinnedBlock(memory, () => {
      this.blocks.delete(block);
      this.calls.runQuietly('hostFree', memory);
    });
    this.blocks.add(block);
    return block;
  }

  mark(): QueueMark {
    const event = this.events.take();
    this.calls.run('eventRecord', ['mark of an upload'], event, this.launches, false);
    return new CudaMark(event);
  }

  drop(mark: QueueMark): void {
    this.events.giveBack(asCudaMark(mark).take());
  }

  upload(
    after: QueueMark | undefined,
    block: UploadBlock,
    blockOffset: number,
    buffer: DeviceBuffer,
    byteOffset: number,
    byteLength: number,
  ): UploadTicket {
    const target = asCudaBuffer(buffer);
    const source = asPinnedBlock(block, blockOffset, byteLength);
    checkRange('upload', buffer, byteOffset, byteLength);
    const where = [`upload to ${target.label}`];
    this.stream ??= this.calls.run('streamCreate', where);
    const marked = after && asCudaMark(after).take();
    const arrived = this.events.take();
    try {
      if (marked !== undefined) this.calls.run('streamWaitEvent', where, this.stream, marked);
      const from = (source.pointer + BigInt(blockOffset)) as HostPointer;
      this.calls.run(
        'copyHostToDevice',
        where,
        offsetPointer(target.pointer, byteOffset),
        from,
        byteLength,
        this.stream,
      );
      this.calls.run('eventRecord', where, arrived, this.stream, false);
    } finally {
      // A wait is for what the event stands for when it is queued, so the event can be recorded again.
      if (marked !== undefined) this.events.giveBack(marked);
    }
    const ticket = new CudaTicket(arrived);
    this.unfinished.push(ticket);
    this.queue.add();
    if (this.unfinished.length > keptTickets) this.forgetFinished(where);
    return ticket;
  }

  await(ticket: UploadTicket): void {
    const { event } = asCudaTicket(ticket);
    if (event === undefined) return;
    this.calls.run('streamWaitEvent', ['wait for an upload'], this.launches, event);
    this.queue.add();
  }

  async finished(ticket: UploadTicket): Promise<void> {
    const waited = asCudaTicket(ticket);
    const { event } = waited;
    if (event === undefined) return;
    await untilReached(this.calls, event, ['upload']);
    this.settle(waited);
  }

  destroy(): void {
    for (const block of [...this.blocks]) block.destroy();
    this.unfinished.length = 0;
    this.events.destroy();
    if (this.stream !== undefined) this.calls.runQuietly('streamDestroy', this.stream);
    this.stream = undefined;
  }

  private forgetFinished(where: readonly string[]): void {
    const running = this.unfinished.findIndex(({ event }) => !this.calls.run('eventQuery', where, event!));
    const last = this.unfinished[(running < 0 ? this.unfinished.length : running) - 1];
    if (last !== undefined) this.settle(last);
  }

  /** The copy is done, and with it those before. */
  private settle(done: CudaTicket): void {
    for (const ticket of this.unfinished.splice(0, this.unfinished.indexOf(done) + 1)) {
      this.events.giveBack(ticket.event!);
      ticket.event = undefined;
    }
  }
}

class PinnedBlock implements UploadBlock {
  isLive = true;

  constructor(
    readonly memory: PinnedMemory,
    private readonly free: () => void,
  ) {}

  get bytes(): Uint8Array {
    return this.memory.bytes;
  }

  destroy(): void {
    if (!this.isLive) return;
    this.isLive = false;
    this.free();
  }
}

class CudaMark implements QueueMark {
  readonly kind = 'mark';

  constructor(private event: CudaEvent | undefined) {}

  take(): CudaEvent {
    const { event } = this;
    if (event === undefined) throw misuse('a mark that is used twice');
    this.event = undefined;
    return event;
  }
}

class CudaTicket implements UploadTicket {
  readonly kind = 'ticket';

  /** @param event undefined once the copy is known to be done */
  constructor(public event: CudaEvent | undefined) {}
}

function asPinnedBlock(block: UploadBlock, byteOffset: number, byteLength: number): PinnedMemory {
  if (!(block instanceof PinnedBlock) || !block.isLive) throw misuse('a block that is destroyed or of another device');
  if (byteOffset < 0 || byteOffset + byteLength > block.bytes.byteLength)
    throw misuse('an upload from outside of its block');
  return block.memory;
}

function asCudaMark(mark: QueueMark): CudaMark {
  if (mark instanceof CudaMark) return mark;
  throw misuse('a mark of another device');
}

function asCudaTicket(ticket: UploadTicket): CudaTicket {
  if (ticket instanceof CudaTicket) return ticket;
  throw misuse('an upload of another device');
}

function misuse(what: string): Flux2cError {
  return new Flux2cError('F2C514', `internal: ${what}`);
}
