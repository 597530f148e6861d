import type { UploadBlock } from '../device.js';
import type { WeightPlaces, WeightRange } from '../weight-ranges.js';
import { divideRange } from './divide-range.js';
import type { HostBlocks } from './host-blocks.js';
import type { KeptPieces } from './kept-pieces.js';
import type { RangeReader } from './range-reader.js';
import { RingSpace } from './ring-space.js';

/** Parts looked at ahead of the one that is needed next. */
const lookAhead = 32;

/** A part of a piece in host memory, or all of it. */
export interface PieceBytes {
  readonly piece: number;
  /** Where in the piece it begins. */
  readonly partOffset: number;
  readonly isLast: boolean;
  readonly block: UploadBlock;
  readonly byteOffset: number;
  readonly byteLength: number;
  /** The memory is for other pieces, too, once this is called; absent for those that stay. */
  readonly release?: () => void;
}

/** Bytes on their way into host memory, or there. */
export interface Supply {
  readonly bytes: Promise<PieceBytes>;
  /** As soon as they are there. */
  ready: PieceBytes | undefined;
}

export interface SupplyParts {
  readonly streamed: WeightPlaces['streamed'];
  readonly kept: KeptPieces;
  readonly reader: RangeReader;
  readonly blocks: HostBlocks;
  /** Memory for pieces that are not kept. */
  readonly readAheadBytes: number;
  /** Pieces that are not kept are read and copied in parts of about so many bytes. Room for the largest there must be. */
  readonly partBytes: number;
}

/** What is read or handed out at once. */
interface SuppliedPart extends Pick<PieceBytes, 'piece' | 'partOffset' | 'isLast'> {
  readonly range: WeightRange;
}

/**
 * The pieces of a plan in the order in which runs fetch them: those that are kept from host memory, read once; others read anew
 * each time, into a ring of memory, as far ahead as it has room.
 */
export class PieceSupply {
  private supplies: Supply[] = [];
  private order: Iterator<SuppliedPart> = [][Symbol.iterator]();
  /** What is looked at next. */
  private next: SuppliedPart | undefined;
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
    this.order = this.divide(order);
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

  private nextOfOrder(): SuppliedPart | undefined {
    const result = this.order.next();
    return result.done === true ? undefined : (result.value as SuppliedPart);
  }

  private *divide(order: Iterator<number>): Generator<SuppliedPart> {
    for (let next = order.next(); next.done !== true; next = order.next()) {
      const piece = next.value;
      const range = this.parts.streamed[piece];
      if (range === undefined) throw new Error(`internal: there is no piece ${piece}`);
      const parts = range.piece.isKept ? [range] : divideRange(range, this.parts.partBytes);
      let partOffset = 0;
      for (const [index, part] of parts.entries()) {
        yield { piece, range: part, partOffset, isLast: index + 1 === parts.length };
        partOffset += part.byteLength;
      }
    }
  }

  /** Undefined while there is no room for the part. */
  private begin(part: SuppliedPart): Supply | undefined {
    return this.parts.streamed[part.piece]!.piece.isKept ? this.beginKept(part) : this.beginRead(part);
  }

  private beginKept({ range, ...part }: SuppliedPart): Supply {
    const { kept } = this.parts;
    const place = kept.get(range.key);
    const { byteOffset, byteLength } = place;
    const bytes = (): PieceBytes => {
      return { ...part, block: kept.blockOf(place), byteOffset, byteLength };
    };
    if (place.isFilled) {
      const ready = bytes();
      return { ready, bytes: Promise.resolve(ready) };
    }
    place.reading ??= this.read(range, () => kept.blockOf(place), byteOffset)
      .then(() => void (place.isFilled = true))
      .finally(() => (place.reading = undefined));
    return track(place.reading.then(bytes));
  }

  private beginRead({ range, ...part }: SuppliedPart): Supply | undefined {
    const { byteLength } = range;
    const { room } = this;
    const taken = room.take(byteLength);
    if (taken === undefined) return undefined;
    const block = (): UploadBlock => (this.ring ??= this.parts.blocks.allocate(this.parts.readAheadBytes));
    const release = (): void => {
      room.free(taken);
      if (room === this.room) this.advance();
    };
    const bytes = this.read(range, block, taken.start).then((): PieceBytes => {
      return { ...part, block: block(), byteOffset: taken.start, byteLength, release };
    });
    return track(bytes);
  }

  private read(range: WeightRange, block: () => UploadBlock, byteOffset: number): Promise<void> {
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

function track(bytes: Promise<PieceBytes>): Supply {
  const supply: Supply = { bytes, ready: undefined };
  // Whoever takes the supply awaits `bytes` and sees the failure; a run that ended before does not.
  bytes.then(
    (ready) => (supply.ready = ready),
    () => undefined,
  );
  return supply;
}
