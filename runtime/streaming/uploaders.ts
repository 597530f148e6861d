import type { Device, DeviceBuffer, QueueMark, UploadLane, UploadTicket } from '../device.js';
import type { PieceBytes } from './piece-supply.js';

/** Brings bytes from host memory to their places on a device. */
export interface Uploader {
  /** The place in the queue from which on a piece may be copied to its place. */
  mark(): QueueMark | undefined;
  drop(mark: QueueMark | undefined): void;
  /** Whether another copy of so many bytes may be queued now. */
  hasRoom(byteLength: number): boolean;
  /** Resolves when it may. */
  room(byteLength: number): Promise<void>;
  /** Queues a copy behind the mark, and behind those sent before. */
  send(
    mark: QueueMark | undefined,
    bytes: PieceBytes,
    buffer: DeviceBuffer,
    byteOffset: number,
  ): UploadTicket | undefined;
  /** What is queued from now on runs after the copy. */
  await(ticket: UploadTicket | undefined): void;
  /** Resolves when the host memory is not needed any more; undefined if it is not. */
  done(ticket: UploadTicket | undefined): Promise<void> | undefined;
  /** The thread is about to wait for bytes: what is queued must be on its way. */
  flush(): void;
  /** Resolves when nothing is under way. */
  end(): Promise<void>;
}

/** Copies beside launches, out of pinned memory. */
export class LaneUploader implements Uploader {
  constructor(private readonly lane: UploadLane) {}

  mark(): QueueMark {
    return this.lane.mark();
  }

  drop(mark: QueueMark | undefined): void {
    if (mark !== undefined) this.lane.drop(mark);
  }

  hasRoom(): boolean {
    return true;
  }

  async room(): Promise<void> {
    // Memory that copies come from is bounded by who reads into it.
  }

  send(
    mark: QueueMark | undefined,
    { block, byteOffset, byteLength }: PieceBytes,
    buffer: DeviceBuffer,
    at: number,
  ): UploadTicket {
    return this.lane.upload(mark, block, byteOffset, buffer, at, byteLength);
  }

  await(ticket: UploadTicket): void {
    this.lane.await(ticket);
  }

  done(ticket: UploadTicket): Promise<void> {
    return this.lane.finished(ticket);
  }

  flush(): void {
    // Launches are on their way when they are queued.
  }

  async end(): Promise<void> {
    // Copies of the lane are waited for where the device is.
  }
}

/**
 * Writes, in order with launches. The device keeps a copy of their bytes until they have run, so only so many may be under way;
 * what is waited for is an earlier point of the queue, behind which there is still work.
 */
export class WriteUploader implements Uploader {
  private readonly points: { readonly byteLength: number; readonly reached: Promise<void> }[] = [];
  /** Written since the last point. */
  private byteLength = 0;
  private bytesUnderWay = 0;

  constructor(
    private readonly device: Device,
    private readonly mostBytes: number,
  ) {}

  mark(): undefined {
    return undefined;
  }

  drop(): void {
    // There is none.
  }

  hasRoom(byteLength: number): boolean {
    return this.bytesUnderWay === 0 || this.bytesUnderWay + byteLength <= this.mostBytes;
  }

  async room(byteLength: number): Promise<void> {
    if (this.hasRoom(byteLength)) return;
    this.flush();
    while (!this.hasRoom(byteLength)) {
      const point = this.points.shift();
      if (point === undefined) throw new Error('internal: bytes are under way that nothing waits for');
      await point.reached;
      this.bytesUnderWay -= point.byteLength;
    }
  }

  send(_: undefined, { block, byteOffset, byteLength }: PieceBytes, buffer: DeviceBuffer, at: number): undefined {
    this.device.write(buffer, at, block.bytes.subarray(byteOffset, byteOffset + byteLength));
    this.byteLength += byteLength;
    this.bytesUnderWay += byteLength;
    if (this.byteLength * 8 >= this.mostBytes) this.flush();
  }

  await(): void {
    // Launches behind a write see it.
  }

  done(): undefined {
    return undefined;
  }

  /** A point of the queue that can be waited for; a device that gathers commands hands them over for that. */
  flush(): void {
    const reached = this.device.finish();
    // Awaited later, but perhaps after something else has failed.
    reached.catch(() => undefined);
    this.points.push({ byteLength: this.byteLength, reached });
    this.byteLength = 0;
  }

  async end(): Promise<void> {
    for (const { reached } of this.points.splice(0)) await reached;
    this.bytesUnderWay = this.byteLength;
  }
}
