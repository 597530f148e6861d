import type { Phase } from './weight-uses.js';
import { roundUp } from '../plan/storage-layout.js';

/** A piece of a phase with its place in the ring. */
export interface RingPiece {
  /** The plan's buffer that the piece was, until it was streamed. */
  readonly weight: number;
  readonly byteLength: number;
  /** Which of the ring's buffers. */
  readonly ring: number;
  readonly byteOffset: number;
  readonly fetch: FetchPoint;
}

/**
 * Where a fetch stands: behind the last use of `after`, a weight's buffer of the same phase, or at its start. `previous`: in the
 * iteration before, for the first one in the phase before the loop, behind the last use of `entry` there.
 */
export interface FetchPoint {
  readonly iteration: 'same' | 'previous';
  readonly after: number | undefined;
  readonly entry?: number | undefined;
}

interface Item {
  readonly weight: number;
  readonly byteLength: number;
  readonly first: number;
  readonly last: number;
}

/** A step, and the weight behind whose last use it is; -1 and none at the start. */
interface Anchor {
  readonly at: number;
  readonly after: number | undefined;
}

const start: Anchor = { at: -1, after: undefined };

/**
 * Gives the streamed weights of all phases places in a ring, in the order of their use, and finds where the copy of each may begin:
 * once everything that was in its place has been used. Every phase begins at the ring's start, so a loop's places are the same in
 * every iteration and its launches can be recorded once. Copies stand in the order of use. Undefined where the ring is too small: something
 * would be needed before what is in its place has been used.
 *
 * @param isStreamed by the plan's buffer
 * @param bytesOf by the plan's buffer
 * @param ring bytes of the ring's buffers
 */
export function layOutRing(
  phases: readonly Phase[],
  isStreamed: (buffer: number) => boolean,
  bytesOf: (buffer: number) => number,
  ring: readonly number[],
  alignment: number,
): readonly (readonly RingPiece[])[] | undefined {
  const pieces: (readonly RingPiece[])[] = [];
  let before = new Occupancy(ring.length);
  let entryFloor = start;
  for (const { kind, uses } of phases) {
    const items = uses
      .filter(({ buffer }) => isStreamed(buffer))
      .map(({ buffer, first, last }): Item => ({ weight: buffer, byteLength: bytesOf(buffer), first, last }));
    const places = place(items, ring, alignment);
    if (places === undefined) return undefined;
    const occupancy = new Occupancy(ring.length);
    const own = findPoints(items, places, occupancy);
    if (own === undefined) return undefined;
    const isLoop = kind === 'loop';
    const points = isLoop
      ? findLoopPoints(places, own, occupancy, before, entryFloor)
      : own.map((anchor): FetchPoint => ({ iteration: 'same', after: anchor?.after }));
    pieces.push(items.map(({ weight }, index) => ({ weight, ...places[index]!, fetch: points[index]! })));
    before = isLoop ? new Occupancy(ring.length) : occupancy;
    entryFloor = isLoop ? start : (own.at(-1) ?? start);
  }
  return pieces;
}

interface Place {
  readonly ring: number;
  readonly byteOffset: number;
  readonly byteLength: number;
}

/** One place behind the other; a buffer's end that is too short for the next is left. */
function place(items: readonly Item[], ring: readonly number[], alignment: number): readonly Place[] | undefined {
  let [at, offset] = [0, 0];
  const places: Place[] = [];
  for (const { byteLength } of items) {
    for (let tries = 0; offset + byteLength > (ring[at] ?? 0); tries++) {
      if (tries > ring.length) return undefined;
      [at, offset] = [(at + 1) % ring.length, 0];
    }
    places.push({ ring: at, byteOffset: offset, byteLength });
    offset += roundUp(byteLength, alignment);
  }
  return places;
}

/**
 * Behind which use each piece may be fetched if the phase ran once, not before the piece in front of it; undefined for the first ones,
 * whose places nothing had. No anchors at all where one would be behind the piece's own use.
 */
function findPoints(
  items: readonly Item[],
  places: readonly Place[],
  occupancy: Occupancy,
): readonly (Anchor | undefined)[] | undefined {
  let floor: Anchor | undefined;
  const anchors: (Anchor | undefined)[] = [];
  for (const [index, { weight, first, last }] of items.entries()) {
    const here = occupancy.take(places[index]!, { at: last, after: weight });
    if (here !== undefined) floor = later(floor ?? start, here);
    if (floor !== undefined && floor.at >= first) return undefined;
    anchors.push(floor);
  }
  return anchors;
}

/**
 * Of a loop: pieces whose place nothing else has used in the iteration are fetched in the one before, once what has their place at its end
 * is used, and behind that one's own copies.
 */
function findLoopPoints(
  places: readonly Place[],
  own: readonly (Anchor | undefined)[],
  atEnd: Occupancy,
  before: Occupancy,
  entryFloor: Anchor,
): readonly FetchPoint[] {
  let ahead = own.at(-1) ?? start;
  let entry = entryFloor;
  return places.map((at, index): FetchPoint => {
    const mine = own[index];
    if (mine !== undefined) return { iteration: 'same', after: mine.after };
    ahead = later(ahead, atEnd.latestUse(at));
    entry = later(entry, before.latestUse(at));
    return { iteration: 'previous', after: ahead.after, entry: entry.after };
  });
}

function later(a: Anchor, b: Anchor | undefined): Anchor {
  return b !== undefined && b.at > a.at ? b : a;
}

interface Interval {
  readonly from: number;
  readonly end: number;
  readonly use: Anchor;
}

/**
 * Who came last into every byte of the ring, and that one's last use. Whoever was there before has been used by then: a piece is only
 * copied behind that.
 */
class Occupancy {
  /** By ring, in the order of their bytes. */
  private readonly intervals: Interval[][];

  constructor(rings: number) {
    this.intervals = Array.from({ length: rings }, () => []);
  }

  /** The latest use of anything in the place. */
  latestUse(place: Place): Anchor | undefined {
    const [from, end] = this.overlapping(place);
    let latest: Anchor | undefined;
    for (const { use } of this.intervals[place.ring]!.slice(from, end)) latest = later(latest ?? use, use);
    return latest;
  }

  /** Puts a piece into a place; returns the latest use of what it was put over. */
  take(place: Place, use: Anchor): Anchor | undefined {
    const latest = this.latestUse(place);
    const intervals = this.intervals[place.ring]!;
    const [from, end] = this.overlapping(place);
    const [first, last] = [intervals[from], intervals[end - 1]];
    const [begin, stop] = [place.byteOffset, place.byteOffset + place.byteLength];
    const left = from < end && first!.from < begin ? [{ ...first!, end: begin }] : [];
    const right = from < end && last!.end > stop ? [{ ...last!, from: stop }] : [];
    intervals.splice(from, end - from, ...left, { from: begin, end: stop, use }, ...right);
    return latest;
  }

  /** Indices of the intervals that have a byte of the place. */
  private overlapping({ ring, byteOffset, byteLength }: Place): readonly [number, number] {
    const intervals = this.intervals[ring]!;
    let [low, high] = [0, intervals.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (intervals[middle]!.end <= byteOffset) low = middle + 1;
      else high = middle;
    }
    let end = low;
    while (end < intervals.length && intervals[end]!.from < byteOffset + byteLength) end++;
    return [low, end];
  }
}
