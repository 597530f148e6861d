import type { BoundLoop, BoundPlan, BoundStep, Placement, PlannedBuffer, StreamedPiece } from '../plan/bound-plan.js';
import { alignmentOf } from '../plan/storage-layout.js';
import { layOutRing, type RingPiece } from './ring.js';
import { findPhases, findUses, type Phase } from './weight-uses.js';

export interface StreamChoice {
  /** Of the plan's buffers, those whose weights come while the plan runs. */
  readonly isStreamed: (buffer: number) => boolean;
  /** Bytes of the buffers that streamed weights take turns in. */
  readonly ring: readonly number[];
  /** Of the plan's buffers, those that the host keeps between fetches. Default: all. */
  readonly isKept?: (buffer: number) => boolean;
}

/**
 * Makes a plan whose weights are all on the device into one that fetches some of them while it runs: they get places in a ring, their
 * own buffers go, and `fetch` and `arrival` stand between the launches. What launches compute is not touched. Undefined where the ring is
 * too small.
 */
export function streamWeights(bound: BoundPlan, choice: StreamChoice): BoundPlan | undefined {
  const phases = findPhases(bound);
  const bytesOf = (buffer: number): number => bound.buffers[buffer]!.byteLength;
  const layout = layOutRing(phases, choice.isStreamed, bytesOf, choice.ring, alignmentOf(bound.target));
  return layout === undefined ? undefined : new Streamer(bound, phases, layout, choice).stream();
}

class Streamer {
  /** By the old plan's index; undefined for streamed weights, whose place depends on the phase. */
  private readonly kept: readonly (number | undefined)[];
  private readonly buffers: readonly PlannedBuffer[];
  private readonly firstRing: number;
  private readonly pieces: StreamedPiece[] = [];

  constructor(
    private readonly bound: BoundPlan,
    private readonly phases: readonly Phase[],
    private readonly layout: readonly (readonly RingPiece[])[],
    private readonly choice: StreamChoice,
  ) {
    const streamed = new Set(layout.flat().map(({ weight }) => weight));
    const buffers: PlannedBuffer[] = [];
    this.kept = bound.buffers.map((buffer, index) => (streamed.has(index) ? undefined : buffers.push(buffer) - 1));
    this.firstRing = buffers.length;
    choice.ring.forEach((byteLength, index) => buffers.push({ kind: 'ring', label: `ring ${index}`, byteLength }));
    this.buffers = buffers;
  }

  stream(): BoundPlan {
    const phases = this.phases.map((phase, index) => new PhaseStreamer(this.bound, phase, this.addPieces(index), this.kept)); // prettier-ignore
    const steps = phases.flatMap((phase, index) => phase.steps(phases[index + 1]));
    const placed = new Map(phases.flatMap(({ places }) => [...places]).reverse());
    const placements = this.bound.placements.map((placement) => placement && this.movePlacement(placement, placed));
    const weightBytes = this.buffers.reduce(
      (sum, { kind, byteLength }) => sum + (kind === 'weight' ? byteLength : 0),
      0,
    );
    const ringBytes = this.choice.ring.reduce((sum, bytes) => sum + bytes, 0);
    const memory = { ...this.bound.memory, weightBytes, ringBytes };
    return { ...this.bound, buffers: this.buffers, placements, steps, memory, streamed: this.pieces };
  }

  private addPieces(phase: number): readonly PlacedPiece[] {
    return this.layout[phase]!.map(({ weight, byteLength, ring, byteOffset, fetch }) => {
      const { name, segment } = this.bound.buffers[weight]!.weight!;
      const buffer = this.firstRing + ring;
      const isKept = this.choice.isKept?.(weight) ?? true;
      const number = this.pieces.push({ weight: name, segment, buffer, byteOffset, byteLength, isKept }) - 1;
      return { weight, number, buffer, byteOffset, fetch };
    });
  }

  private movePlacement(placement: Placement, places: Places): Placement {
    const segments = placement.segments.map((segment) => {
      const buffer = this.kept[segment.buffer];
      if (buffer !== undefined) return { ...segment, buffer };
      const place = places.get(segment.buffer);
      // A weight that no step reads has neither.
      return place === undefined ? segment : { ...segment, ...place };
    });
    return { ...placement, segments };
  }
}

interface PlacedPiece extends Pick<RingPiece, 'weight' | 'fetch'> {
  readonly number: number;
  readonly buffer: number;
  readonly byteOffset: number;
}

type Places = ReadonlyMap<number, { readonly buffer: number; readonly byteOffset: number }>;

/** The steps of a phase with its fetches and arrivals, its launches at the new places. */
class PhaseStreamer {
  readonly places: Places;
  private readonly moved = new WeakMap<BoundStep, BoundStep>();
  private readonly iterations = new WeakMap<readonly BoundStep[], readonly BoundStep[]>();

  constructor(
    private readonly bound: BoundPlan,
    private readonly phase: Phase,
    private readonly pieces: readonly PlacedPiece[],
    private readonly kept: readonly (number | undefined)[],
  ) {
    this.places = new Map(pieces.map(({ weight, buffer, byteOffset }) => [weight, { buffer, byteOffset }]));
  }

  /** `next`: whose first pieces are fetched here, if it is a loop. */
  steps(next: PhaseStreamer | undefined): readonly BoundStep[] {
    const { loop, steps } = this.phase;
    if (loop === undefined) {
      const entries = next?.phase.kind === 'loop' ? next.pieces.filter(({ fetch }) => fetch.iteration === 'previous') : []; // prettier-ignore
      return this.weave(steps, entries);
    }
    const iteration = (index: number): readonly BoundStep[] => {
      const original = loop.iteration(index);
      let woven = this.iterations.get(original);
      if (woven === undefined) {
        woven = this.weave(original, []);
        this.iterations.set(original, woven);
      }
      return woven;
    };
    return [{ ...loop, iteration }];
  }

  private weave(steps: readonly BoundStep[], entries: readonly PlacedPiece[]): readonly BoundStep[] {
    const uses = new Map(findUses(this.bound, steps).map((use) => [use.buffer, use]));
    /** By the step that they stand before. */
    const before = new Map<number, BoundStep[]>();
    const insert = (at: number, step: BoundStep): void => {
      before.set(at, [...(before.get(at) ?? []), step]);
    };
    const behind = (after: number | undefined): number => (after === undefined ? 0 : uses.get(after)!.last + 1);
    const own = this.pieces.filter(({ fetch }) => fetch.iteration === 'same');
    const ahead = this.pieces.filter(({ fetch }) => fetch.iteration === 'previous');
    for (const { number, fetch } of own) insert(behind(fetch.after), { kind: 'fetch', piece: number, isAhead: false });
    for (const { number, fetch } of ahead) insert(behind(fetch.after), { kind: 'fetch', piece: number, isAhead: true });
    for (const { number, fetch } of entries) insert(behind(fetch.entry), { kind: 'fetch', piece: number, isAhead: false }); // prettier-ignore
    // A piece may be fetched and needed at one point: arrivals come behind.
    for (const { number, weight } of this.pieces) insert(uses.get(weight)!.first, { kind: 'arrival', piece: number });
    const woven: BoundStep[] = [];
    for (let at = 0; at <= steps.length; at++) {
      woven.push(...(before.get(at) ?? []));
      const step = steps[at];
      if (step !== undefined) woven.push(this.move(step));
    }
    return woven;
  }

  private move(step: BoundStep): BoundStep {
    let moved = this.moved.get(step);
    if (moved === undefined) {
      moved = this.moveNew(step);
      this.moved.set(step, moved);
    }
    return moved;
  }

  private moveNew(step: BoundStep): BoundStep {
    switch (step.kind) {
      case 'launch':
        return { ...step, bindings: step.bindings.map((binding) => ({ ...binding, ...this.locate(binding) })) };
      case 'copy':
        return {
          ...step,
          from: { ...step.from, ...this.locate(step.from) },
          to: { ...step.to, ...this.locate(step.to) },
        };
      case 'loop': {
        const known = new WeakMap<readonly BoundStep[], readonly BoundStep[]>();
        const iteration = (index: number): readonly BoundStep[] => {
          const original = step.iteration(index);
          const steps = known.get(original) ?? original.map((inner) => this.move(inner));
          known.set(original, steps);
          return steps;
        };
        return { ...step, iteration } satisfies BoundLoop;
      }
      case 'fetch':
      case 'arrival':
        throw new Error('internal: a plan that streams already');
    }
  }

  private locate({ buffer, byteOffset }: { readonly buffer: number; readonly byteOffset: number }): {
    readonly buffer: number;
    readonly byteOffset: number;
  } {
    const kept = this.kept[buffer];
    if (kept !== undefined) return { buffer: kept, byteOffset };
    const place = this.places.get(buffer);
    if (place === undefined) throw new Error(`internal: buffer ${buffer} has no place in this part of the plan`);
    return { buffer: place.buffer, byteOffset: place.byteOffset + byteOffset };
  }
}
