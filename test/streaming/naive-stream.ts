/** A planner for tests: streams every large weight through few places of equal size, and fetches as early as it may. */
import type { BoundLoop, BoundPlan, BoundStep, PlannedFetch, PlannedLaunch, Segment, StreamedPiece } from '../../runtime/plan/bound-plan.js'; // prettier-ignore
import { alignmentOf, roundUp } from '../../runtime/plan/storage-layout.js';

export interface NaiveOptions {
  /** Shorter weights stay resident. */
  readonly leastBytes?: number;
  /** By a weight's name. Default: all. */
  readonly isStreamed?: (weight: string) => boolean;
  /** Of places, besides those that one launch needs at once. Default: 1, the fewest with which anything comes ahead. */
  readonly spare?: number;
  /** Which pieces the host keeps. Default: all. */
  readonly isKept?: (piece: number) => boolean;
  /** Plants a bug. */
  readonly bug?: 'early fetch' | 'no arrival';
}

interface Piece extends StreamedPiece {
  readonly place: number;
}

export function streamNaively(bound: BoundPlan, options: NaiveOptions = {}): BoundPlan {
  return new NaiveStreamer(bound, options).stream();
}

class NaiveStreamer {
  /** By the index of the buffer that a weight has in the plan without streams. */
  private readonly pieceOf = new Map<number, number>();
  private readonly pieces: Piece[] = [];
  private readonly kept: readonly number[];
  private readonly ring: number;
  private readonly ringBytes: number;
  private readonly launches = new Map<PlannedLaunch, PlannedLaunch>();
  private readonly lists = new Map<readonly BoundStep[], readonly BoundStep[]>();

  constructor(
    private readonly bound: BoundPlan,
    private readonly options: NaiveOptions,
  ) {
    const { buffers, target } = bound;
    const groups = [...eachLaunch(bound.steps)].map((launch) => this.streamedBuffers(launch));
    const places = Math.max(1, ...groups.map(({ size }) => size)) + (options.spare ?? 1);
    const streamed = new Set(groups.flatMap((group) => [...group]));
    const placeBytes = roundUp(
      Math.max(16, ...[...streamed].map((at) => buffers[at]!.byteLength)),
      alignmentOf(target),
    );
    this.kept = buffers.map((_, index) => index).filter((index) => !streamed.has(index));
    this.ring = this.kept.length;
    let next = 0;
    for (const buffer of streamed) {
      const taken = new Set<number>();
      for (const group of groups) {
        if (group.has(buffer))
          for (const other of group) {
            const piece = this.pieceOf.get(other);
            if (piece !== undefined) taken.add(this.pieces[piece]!.place);
          }
      }
      if (taken.size === places) throw new Error('launches share weights so that more places are needed');
      while (taken.has(next % places)) next++;
      const place = next++ % places;
      const { weight, byteLength } = buffers[buffer]!;
      const index = this.pieces.length;
      this.pieceOf.set(buffer, index);
      const isKept = options.isKept?.(index) ?? true;
      this.pieces.push({ weight: weight!.name, segment: weight!.segment, buffer: this.ring, byteOffset: place * placeBytes, byteLength, isKept, place }); // prettier-ignore
    }
    this.ringBytes = places * placeBytes;
  }

  stream(): BoundPlan {
    const { bound, pieces } = this;
    if (pieces.length === 0) return bound;
    const buffers = [
      ...this.kept.map((index) => bound.buffers[index]!),
      { kind: 'ring' as const, label: 'ring', byteLength: this.ringBytes },
    ];
    const placements = bound.placements.map((placement) => {
      return placement && { ...placement, segments: placement.segments.map((segment) => this.moveSegment(segment)) };
    });
    const steps = this.streamList(bound.steps, new Map(), undefined);
    return { ...bound, buffers, placements, steps, streamed: pieces.map(({ place: _, ...piece }) => piece) };
  }

  /** `occupants` says what is in each place before the list, and behind it afterwards; `loop` when it is a loop's body. */
  private streamList(
    list: readonly BoundStep[],
    occupants: Map<number, number>,
    loop: BoundLoop | undefined,
  ): readonly BoundStep[] {
    const known = this.lists.get(list);
    if (known !== undefined) return known;
    const made: BoundStep[] = [];
    /** Where, in `made`, the last use of each place is. */
    const lastUse = new Map<number, number>();
    let front = 0;
    const insert = (step: PlannedFetch, at: number): void => {
      made.splice(at, 0, step);
      for (const [place, index] of lastUse) if (index >= at) lastUse.set(place, index + 1);
    };
    const fetch = (piece: number, isAhead: boolean): void => {
      const { place } = this.pieces[piece]!;
      const last = lastUse.get(place);
      const early = this.options.bug === 'early fetch' ? 0 : 1;
      insert({ kind: 'fetch', piece, isAhead }, last === undefined ? front++ : last + early);
      occupants.set(place, piece);
    };
    const first = new Map<number, number>();
    const arrived = new Set<number>();
    for (const step of list) {
      if (step.kind === 'launch') {
        for (const buffer of this.streamedBuffers(step)) {
          const piece = this.pieceOf.get(buffer)!;
          const { place } = this.pieces[piece]!;
          if (!first.has(place)) first.set(place, piece);
          if (occupants.get(place) !== piece) {
            // What the first pieces of a body are was fetched ahead.
            if (loop === undefined || first.get(place) !== piece || lastUse.has(place)) fetch(piece, false);
            else occupants.set(place, piece);
            arrived.delete(piece);
          }
          if (!arrived.has(piece) && this.options.bug !== 'no arrival') made.push({ kind: 'arrival', piece });
          arrived.add(piece);
          lastUse.set(place, made.length);
        }
        // A launch with several pieces: all of its uses are where it is.
        for (const buffer of this.streamedBuffers(step))
          lastUse.set(this.pieces[this.pieceOf.get(buffer)!]!.place, made.length);
        made.push(this.moveLaunch(step));
      } else if (step.kind === 'loop') {
        const body = this.firstPieces(step);
        for (const piece of body.values()) if (step.count > 0) fetch(piece, false);
        made.push(this.streamLoop(step));
        if (step.count === 0) continue;
        for (const [place, piece] of this.lastPieces(step)) {
          lastUse.set(place, made.length - 1);
          occupants.set(place, piece);
          arrived.delete(piece);
        }
      } else if (step.kind === 'copy') {
        const move = (buffer: number): number => this.kept.indexOf(buffer);
        made.push({ ...step, from: { ...step.from, buffer: move(step.from.buffer) }, to: { ...step.to, buffer: move(step.to.buffer) } }); // prettier-ignore
      }
    }
    if (loop !== undefined) {
      for (const [place, piece] of first) if (occupants.get(place) !== piece) fetch(piece, true);
    }
    this.lists.set(list, made);
    return made;
  }

  private streamLoop(loop: BoundLoop): BoundLoop {
    const iteration = (index: number): readonly BoundStep[] => this.streamList(loop.iteration(index), new Map(), loop);
    return { ...loop, iteration };
  }

  private firstPieces(loop: BoundLoop): ReadonlyMap<number, number> {
    const first = new Map<number, number>();
    if (loop.count === 0) return first;
    for (const launch of eachLaunch(loop.iteration(0))) {
      for (const buffer of this.streamedBuffers(launch)) {
        const piece = this.pieceOf.get(buffer)!;
        const { place } = this.pieces[piece]!;
        if (!first.has(place)) first.set(place, piece);
      }
    }
    return first;
  }

  private lastPieces(loop: BoundLoop): ReadonlyMap<number, number> {
    const last = new Map<number, number>();
    for (const launch of eachLaunch(loop.iteration(loop.count - 1))) {
      for (const buffer of this.streamedBuffers(launch)) {
        const piece = this.pieceOf.get(buffer)!;
        last.set(this.pieces[piece]!.place, piece);
      }
    }
    return last;
  }

  private streamedBuffers({ bindings }: PlannedLaunch): ReadonlySet<number> {
    const { leastBytes = 0, isStreamed = () => true } = this.options;
    const streamed = bindings
      .map(({ buffer }) => buffer)
      .filter((at) => {
        const { weight, byteLength } = this.bound.buffers[at]!;
        return weight !== undefined && byteLength >= leastBytes && isStreamed(weight.name);
      });
    return new Set(streamed);
  }

  private moveLaunch(launch: PlannedLaunch): PlannedLaunch {
    const known = this.launches.get(launch);
    if (known !== undefined) return known;
    const moved = { ...launch, bindings: launch.bindings.map((binding) => this.move(binding)) };
    this.launches.set(launch, moved);
    return moved;
  }

  private moveSegment(segment: Segment): Segment {
    return this.move(segment);
  }

  private move<T extends { readonly buffer: number; readonly byteOffset: number }>(at: T): T {
    const piece = this.pieces[this.pieceOf.get(at.buffer) ?? -1];
    if (piece === undefined) return { ...at, buffer: this.kept.indexOf(at.buffer) };
    return { ...at, buffer: this.ring, byteOffset: piece.byteOffset + at.byteOffset };
  }
}

function* eachLaunch(steps: readonly BoundStep[]): Generator<PlannedLaunch> {
  for (const step of steps) {
    if (step.kind === 'launch') yield step;
    else if (step.kind === 'loop' && step.count > 0) yield* eachLaunch(step.iteration(0));
  }
}
