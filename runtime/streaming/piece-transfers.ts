import type { DeviceBuffer, QueueMark, UploadTicket } from '../device.js';
import type { PieceBytes, PieceSupply, Supply } from './piece-supply.js';
import type { Uploader } from './uploaders.js';

/** Where a piece has its place. */
export interface PiecePlace {
  readonly buffer: DeviceBuffer;
  readonly byteOffset: number;
}

interface Fetch {
  readonly piece: number;
  /** Until its first part is sent. */
  mark: QueueMark | undefined;
  isSent: boolean;
  ticket: UploadTicket | undefined;
  /** Who needs the piece and waits for it to be sent. */
  waiting: { readonly accept: () => void; readonly reject: (reason: unknown) => void } | undefined;
}

/**
 * The copies of a run's pieces to the device, in the order of its fetches: each as soon as its bytes are in host memory. Queueing goes
 * on meanwhile, up to what needs a piece that is not sent yet.
 */
export class PieceTransfers {
  /** Not sent yet, in order. */
  private readonly fetches: Fetch[] = [];
  private readonly latest = new Map<number, Fetch>();
  private readonly releases = new Set<Promise<void>>();
  private pumping: Promise<void> | undefined;
  private failure: { readonly reason: unknown } | undefined;
  private isOver = false;

  constructor(
    private readonly supply: PieceSupply,
    private readonly uploader: Uploader,
    private readonly places: readonly PiecePlace[],
  ) {}

  /** A fetch: the piece may be copied behind all that is queued now. */
  fetch(piece: number): void {
    const fetch: Fetch = { piece, mark: this.uploader.mark(), isSent: false, ticket: undefined, waiting: undefined };
    this.latest.set(piece, fetch);
    this.fetches.push(fetch);
    this.pump();
  }

  /**
   * An arrival: what is queued from now on runs after the piece is in its place. Rejects or throws what went wrong since the run
   * began.
   *
   * @returns undefined when queueing may go on at once
   */
  arrive(piece: number): Promise<void> | undefined {
    if (this.failure !== undefined) throw this.failure.reason;
    const fetch = this.latest.get(piece);
    if (fetch === undefined) throw new Error(`internal: the piece ${piece} was never fetched`);
    if (fetch.isSent) {
      this.uploader.await(fetch.ticket);
      return undefined;
    }
    this.uploader.flush();
    const sent = new Promise<void>((accept, reject) => (fetch.waiting = { accept, reject }));
    return sent.then(() => this.uploader.await(fetch.ticket));
  }

  /** Ends the run: nothing is read or written when it resolves, and copies of a lane end by themselves. Rejects with what went wrong, as the device's `finish`. */
  async end(): Promise<void> {
    this.isOver = true;
    const { failure } = this;
    await this.supply.end(new Error('internal: the run is over'));
    await this.pumping;
    for (const { mark } of this.fetches.splice(0)) this.uploader.drop(mark);
    await Promise.all(this.releases);
    await this.uploader.end();
    if (failure !== undefined) throw failure.reason;
  }

  /** Sends what is ready. */
  private pump(): void {
    if (this.pumping !== undefined || this.failure !== undefined) return;
    while (this.fetches[0] !== undefined) {
      const supply = this.supply.take();
      if (!('bytes' in supply) || supply.ready === undefined || !this.uploader.hasRoom(supply.ready.byteLength)) {
        this.pumping = this.pumpLater(supply);
        return;
      }
      this.send(supply.ready);
    }
  }

  private async pumpLater(first: Supply | Promise<Supply>): Promise<void> {
    try {
      let supply = await first;
      for (;;) {
        const bytes = await supply.bytes;
        await this.uploader.room(bytes.byteLength);
        if (this.isOver) return;
        this.send(bytes);
        if (this.fetches[0] === undefined) break;
        supply = await this.supply.take();
      }
    } catch (reason) {
      this.failure = { reason };
      for (const { waiting } of this.fetches) waiting?.reject(reason);
    } finally {
      this.pumping = undefined;
    }
  }

  private send(bytes: PieceBytes): void {
    const fetch = this.fetches[0];
    const { piece, partOffset, isLast } = bytes;
    if (fetch?.piece !== piece) throw new Error(`internal: the piece ${piece} was read, ${fetch?.piece} is fetched`);
    const { buffer, byteOffset } = this.places[piece]!;
    const { mark } = fetch;
    // From here on the uploader has the mark.
    fetch.mark = undefined;
    const ticket = this.uploader.send(mark, bytes, buffer, byteOffset + partOffset);
    if (isLast) {
      this.fetches.shift();
      fetch.ticket = ticket;
      fetch.isSent = true;
      fetch.waiting?.accept();
    }
    const { release } = bytes;
    if (release === undefined) return;
    const done = this.uploader.done(ticket);
    if (done === undefined) {
      release();
      return;
    }
    // A device that fails says so where it is waited for.
    const released: Promise<void> = done
      .catch(() => undefined)
      .then(() => {
        release();
        this.releases.delete(released);
      });
    this.releases.add(released);
  }
}
