import type { UploadBlock } from '../device.js';
import type { WeightPlaces } from '../weight-ranges.js';
import type { HostBlocks } from './host-blocks.js';
import type { KeptPieces } from './kept-pieces.js';
import type { RangeReader } from './range-reader.js';
import { RingSpace } from './ring-space.js';

/** Pieces looked at ahead of the one that is needed next. */
const lookAhead = 32;

/** A piece in host memory. */
export interface PieceBytes {
  readonly block: UploadBlock;
  readonly byteOffset: number;
  readonly byteLength: number;
  /** The memory is for other pieces, too, once this is called; absent for those that stay. */
  readonly release?: () => void;
}

/** Bytes on their way into host memory, or there. */
export interface Supply {
  readonly piece: number;
  readonly bytes: Promise<PieceBytes>;
  /** As soon as they are there. */
  ready: PieceBytes | undefined;
}

export interface SupplyParts {
  readonly streamed: WeightPlaces['streamed'];
  readonly kept: KeptPieces;
  readonly reader: RangeReader;
  readonly blocks: HostBlocks;
  /** Memory for pieces that are not kept; at least the largest of them. */
  readonly readAheadBytes: number;
}

/**
 * The pieces of a plan in the order in which runs fetch them: those that are kept from host memory, read once; others read anew
 * each time, into a ring of memory, as far ahead as it has room.
 */
export class PieceSupply {
  private supplies: Supply[] = [];
  private order: Iterator<number> = [][Symbol.iterator]();
  private next: number | undefined;
  private waiting:
    { readonly accept: (supply: Supply) => void; readonly reject: (reason: unknown) => void } | undefined;
  private stop = new AbortController();
  private readonly reads = new Set<Promise<unknown>>();
  private ring: UploadBlock | undefined;
  private room: RingSpace;

  constructor(private readonly parts: SupplyParts) {
    this.room = new RingSpace(parts.readAheadBytes);
  }

  /** Begins to read for a run. Nothing of the run before may be under way. */
  start(order: Iterator<number>): void {
    this.order = order;
    this.next = undefined;
    this.supplies = [];
    this.stop = new AbortController();
    this.room = new RingSpace(this.parts.readAheadBytes);
    this.advance();
  }

  /** What comes next in the order, at once if it is being read already. */
  take(): Supply | Promise<Supply> {
    const first = this.supplies.shift();
    this.advance();
    if (first !== undefined) return first;
    const supply = this.supplies.shift();
    if (supply !== undefined) return supply;
    if (this.next === undefined) throw new Error('internal: more is fetched than was foreseen');
    if (this.stop.signal.aborted) return Promise.reject(this.stop.signal.reason as Error);
    return new Promise((accept, reject) => (this.waiting = { accept, reject }));
  }

  /** Ends reading; what is being read is waited for. */
  async end(reason: unknown): Promise<void> {
    this.stop.abort(reason);
    this.waiting?.reject(reason);
    this.waiting = undefined;
    await Promise.allSettled(this.reads);
  }

  destroy(): void {
    if (this.ring !== undefined) this.parts.blocks.free(this.ring);
    this.ring = undefined;
  }

  private advance(): void {
    while (this.supplies.length < lookAhead && !this.stop.signal.aborted) {
      this.next ??= this.nextOfOrder();
      if (this.next === undefined) return;
      const supply = this.begin(this.next);
      if (supply === undefined) return;
      this.next = undefined;
      const { waiting } = this;
      this.waiting = undefined;
      if (waiting === undefined) this.supplies.push(supply);
      else waiting.accept(supply);
    }
  }

  private nextOfOrder(): number | undefined {
    const result = this.order.next();
    return result.done === true ? undefined : result.value;
  }

  /** Undefined while there is no room for the piece. */
  private begin(piece: number): Supply | undefined {
    const range = this.parts.streamed[piece];
    if (range === undefined) throw new Error(`internal: there is no piece ${piece}`);
    return range.piece.isKept ? this.beginKept(piece) : this.beginRead(piece);
  }

  private beginKept(piece: number): Supply {
    const range = this.parts.streamed[piece]!;
    const { kept } = this.parts;
    const place = kept.get(range.key);
    const { byteOffset, byteLength } = place;
    const bytes = (): PieceBytes => {
      return { block: kept.blockOf(place), byteOffset, byteLength };
    };
    if (place.isFilled) {
      const ready = bytes();
      return { piece, ready, bytes: Promise.resolve(ready) };
    }
    place.reading ??= this.read(piece, () => kept.blockOf(place), byteOffset)
      .then(() => void (place.isFilled = true))
      .finally(() => (place.reading = undefined));
    return track(piece, place.reading.then(bytes));
  }

  private beginRead(piece: number): Supply | undefined {
    const { byteLength } = this.parts.streamed[piece]!;
    const { room } = this;
    const range = room.take(byteLength);
    if (range === undefined) return undefined;
    const block = (): UploadBlock => (this.ring ??= this.parts.blocks.allocate(this.parts.readAheadBytes));
    const release = (): void => {
      room.free(range);
      if (room === this.room) this.advance();
    };
    const bytes = this.read(piece, block, range.start).then((): PieceBytes => {
      return { block: block(), byteOffset: range.start, byteLength, release };
    });
    return track(piece, bytes);
  }

  private read(piece: number, block: () => UploadBlock, byteOffset: number): Promise<void> {
    const range = this.parts.streamed[piece]!;
    const work = async (): Promise<void> => {
      const into = block().bytes.subarray(byteOffset, byteOffset + range.byteLength);
      await this.parts.reader.read(range, into, this.stop.signal);
    };
    const reading = work();
    this.reads.add(reading);
    const forget = (): void => void this.reads.delete(reading);
    reading.then(forget, forget);
    return reading;
  }
}

function track(piece: number, bytes: Promise<PieceBytes>): Supply {
  const supply: Supply = { piece, bytes, ready: undefined };
  // Whoever takes the supply awaits `bytes` and sees the failure; a run that ended before does not.
  bytes.then(
    (ready) => (supply.ready = ready),
    () => undefined,
  );
  return supply;
}
