import type { DeviceBuffer } from '../device.js';
import { Flux2cError } from '../../ir/diagnostics.js';
import type { CudaCalls } from './cuda-calls.js';
import { type CudaEvent, type CudaStream, type DevicePointer, offsetPointer, type PinnedMemory } from './driver.js';

/** A buffer of `CudaDevice`. Whatever its length, whole vectors at its end lie inside of the allocation. */
export class CudaBuffer implements DeviceBuffer {
  isLive = true;

  constructor(
    readonly pointer: DevicePointer,
    readonly byteLength: number,
    readonly label: string,
    private readonly onDestroy: (buffer: CudaBuffer) => void,
  ) {}

  destroy(): void {
    if (!this.isLive) return;
    this.isLive = false;
    this.onDestroy(this);
  }
}

/** A live buffer that this kind of device made. Throws F2C514 for any other. */
export function asCudaBuffer(buffer: DeviceBuffer): CudaBuffer {
  if (buffer instanceof CudaBuffer && buffer.isLive) return buffer;
  throw new Flux2cError('F2C514', 'internal: a buffer that is destroyed or of another device', {
    where: [`buffer ${buffer.label}`],
  });
}

/** Events that are used again and again. */
export class EventPool {
  private readonly free: CudaEvent[] = [];
  private readonly all: CudaEvent[] = [];

  constructor(
    private readonly calls: CudaCalls,
    private readonly timing: boolean,
  ) {}

  take(): CudaEvent {
    const free = this.free.pop();
    if (free !== undefined) return free;
    const event = this.calls.run('eventCreate', [], this.timing);
    this.all.push(event);
    return event;
  }

  giveBack(event: CudaEvent): void {
    this.free.push(event);
  }

  destroy(): void {
    for (const event of this.all.splice(0)) this.calls.runQuietly('eventDestroy', event);
    this.free.length = 0;
  }
}

interface Chunk {
  readonly memory: PinnedMemory;
  /** Recorded behind the last copy out of the chunk when the ring leaves it. */
  readonly event: CudaEvent;
  isInFlight: boolean;
}

/**
 * The way to the GPU: bytes are put into a ring of pinned chunks and copied from there while the next chunk is filled, so
 * gigabytes of weights take a few megabytes of pinned memory. Writing waits when all chunks are on their way; that blocks
 * the thread, but no longer than a chunk takes once the GPU has come to it.
 */
export class UploadRing {
  private readonly chunks: Chunk[] = [];
  private current = -1;
  private filled = 0;

  constructor(
    private readonly calls: CudaCalls,
    private readonly stream: CudaStream,
    private readonly chunkBytes: number,
    private readonly chunkCount: number,
  ) {}

  /** Queues a copy of the bytes, which the caller may change afterwards. */
  write(to: DevicePointer, bytes: Uint8Array, where: readonly string[]): void {
    for (let at = 0; at < bytes.byteLength;) {
      if (this.current < 0 || this.filled === this.chunkBytes) this.advance(where);
      const { memory } = this.chunks[this.current]!;
      const length = Math.min(bytes.byteLength - at, this.chunkBytes - this.filled);
      memory.bytes.set(bytes.subarray(at, at + length), this.filled);
      const from = (memory.pointer + BigInt(this.filled)) as PinnedMemory['pointer'];
      this.calls.run('copyHostToDevice', where, offsetPointer(to, at), from, length, this.stream);
      this.filled += length;
      at += length;
    }
  }

  destroy(): void {
    for (const { memory, event } of this.chunks.splice(0)) {
      this.calls.runQuietly('eventDestroy', event);
      this.calls.runQuietly('hostFree', memory);
    }
    this.current = -1;
  }

  private advance(where: readonly string[]): void {
    const left = this.chunks[this.current];
    if (left !== undefined) {
      this.calls.run('eventRecord', where, left.event, this.stream, false);
      left.isInFlight = true;
    }
    const next = (this.current + 1) % this.chunkCount;
    if (this.chunks[next] === undefined) {
      const memory = this.calls.run('hostAllocate', [...where, 'staging memory'], this.chunkBytes);
      try {
        const event = this.calls.run('eventCreate', where, false);
        this.chunks[next] = { memory, event, isInFlight: false };
      } catch (error) {
        this.calls.runQuietly('hostFree', memory);
        throw error;
      }
    }
    const chunk = this.chunks[next]!;
    if (chunk.isInFlight) this.calls.run('eventSynchronize', where, chunk.event);
    chunk.isInFlight = false;
    this.current = next;
    this.filled = 0;
  }
}

/** Pinned blocks for reading back: pinning takes longer than most reads, so blocks are kept up to an amount. */
export class ReadBlocks {
  private readonly free: PinnedMemory[] = [];
  private readonly lent = new Set<PinnedMemory>();

  constructor(
    private readonly calls: CudaCalls,
    private readonly keptBytes: number,
  ) {}

  take(byteLength: number, where: readonly string[]): PinnedMemory {
    const index = this.free.findIndex(({ bytes }) => bytes.byteLength >= byteLength);
    // Powers of two, so that a block serves other reads too.
    const size = Math.max(65536, 2 ** Math.ceil(Math.log2(byteLength)));
    const block = index >= 0 ? this.free.splice(index, 1)[0]! : this.calls.run('hostAllocate', where, size);
    this.lent.add(block);
    return block;
  }

  giveBack(block: PinnedMemory): void {
    // `destroy` has freed it.
    if (!this.lent.delete(block)) return;
    const kept = this.free.reduce((sum, { bytes }) => sum + bytes.byteLength, 0);
    if (kept + block.bytes.byteLength <= this.keptBytes) {
      this.free.push(block);
      this.free.sort((one, other) => one.bytes.byteLength - other.bytes.byteLength);
    } else this.calls.runQuietly('hostFree', block);
  }

  destroy(): void {
    for (const block of [...this.free.splice(0), ...this.lent]) this.calls.runQuietly('hostFree', block);
    this.lent.clear();
  }
}
