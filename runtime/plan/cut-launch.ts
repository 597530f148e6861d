import type { Target } from '../../backends/target.js';
import { Flux2cError } from '../../ir/diagnostics.js';
import type { ThreadKernel } from '../../ir/kernel/thread.js';
import type { Storage } from '../../ir/plan.js';
import type { AccessWindows, Interval } from './access-windows.js';
import type { Placement, PlannedBinding, PlannedLaunch, Segment } from './bound-plan.js';
import { alignmentOf, roundUp, vectorBytes } from './storage-layout.js';
import type { SizedBinding, SizedLaunch, Triple } from './size-plan.js';
import { mapTriple } from './size-plan.js';

/** Tiles `from` to `end` along x, y and z. */
interface Range {
  readonly from: Triple;
  readonly end: Triple;
}

type Coordinate = 0 | 1 | 2;
const coordinates: readonly Coordinate[] = [0, 1, 2];
const letters = ['x', 'y', 'z'] as const;
const maxInt32 = 2 ** 31 - 1;

export interface CutContext {
  readonly target: Target;
  readonly storages: readonly Storage[];
  readonly placements: readonly (Placement | undefined)[];
}

/**
 * Turns a launch into dispatches that the target can run: binding windows of at most `maxBindingBytes` in one buffer,
 * workgroups of each dimension within the limit. A launch that exceeds something is cut at multiples of its tiles along
 * the axis that gives the fewest pieces, and each piece again if need be.
 *
 * @param windows of the kernel, for the launch's sizes
 * @throws F2C312 a launch that no cut makes fit, F2C313 an index that does not fit 32 bits
 */
export function cutLaunch(
  launch: SizedLaunch,
  kernel: ThreadKernel,
  windows: AccessWindows,
  context: CutContext,
): readonly PlannedLaunch[] {
  return new Cutter(launch, kernel, windows, context).cut();
}

class Cutter {
  private readonly alignment: number;
  private readonly tiles: Triple;
  /** Axes the kernel can start in the middle of. */
  private readonly cuttable: readonly Coordinate[];

  constructor(
    private readonly launch: SizedLaunch,
    private readonly kernel: ThreadKernel,
    private readonly windows: AccessWindows,
    private readonly context: CutContext,
  ) {
    const { extent, tile } = launch;
    this.alignment = alignmentOf(context.target);
    this.tiles = [Math.ceil(extent[0] / tile[0]), Math.ceil(extent[1] / tile[1]), Math.ceil(extent[2] / tile[2])];
    this.cuttable = coordinates.filter((axis) => kernel.parameters.includes(`origin_${letters[axis]}`));
  }

  cut(): readonly PlannedLaunch[] {
    if (this.launch.bindings.length !== this.kernel.buffers.length) {
      const { label } = this.launch.step;
      const counts = `${this.launch.bindings.length} bindings for ${this.kernel.buffers.length} buffers`;
      throw new Error(`internal: the launch ${label} of ${this.kernel.name} has ${counts}`);
    }
    return this.cutRange({ from: [0, 0, 0], end: this.tiles });
  }

  private cutRange(range: Range): readonly PlannedLaunch[] {
    const offending = this.findOffence(range);
    if (offending === undefined) return [this.plan(range)];
    const everything = this.findFewestPieces(range, (piece) => this.findOffence(piece) === undefined);
    if (everything !== undefined) return everything.map((piece) => this.plan(piece));
    // No single axis cures all: cure what was found first, then cut the pieces.
    const one = this.findFewestPieces(range, (piece) => offending.fits(piece)) ?? this.splitMost(range, offending);
    return one.flatMap((piece) => this.cutRange(piece));
  }

  /** The pieces along the axis that needs the fewest so that each satisfies the condition, in order. */
  private findFewestPieces(range: Range, fits: (piece: Range) => boolean): readonly Range[] | undefined {
    let best: readonly Range[] | undefined;
    for (const axis of this.cuttable) {
      const pieces = this.cutAlong(range, axis, fits, best?.length ?? Infinity);
      if (pieces !== undefined && (best === undefined || pieces.length < best.length)) best = pieces;
    }
    return best;
  }

  private cutAlong(
    range: Range,
    axis: Coordinate,
    fits: (piece: Range) => boolean,
    atMost: number,
  ): readonly Range[] | undefined {
    const end = range.end[axis];
    const pieces: Range[] = [];
    for (let from = range.from[axis]; from < end;) {
      if (pieces.length >= atMost || !fits(narrow(range, axis, from, from + 1))) return undefined;
      let good = from + 1;
      let bad = end + 1;
      while (bad - good > 1) {
        const middle = (good + bad) >> 1;
        if (fits(narrow(range, axis, from, middle))) good = middle;
        else bad = middle;
      }
      pieces.push(narrow(range, axis, from, good));
      from = good;
    }
    return this.balance(range, axis, pieces.length, fits) ?? pieces;
  }

  /** The same number of pieces of equal length, when they fit as well: a last piece of one tile leaves a device idle. */
  private balance(
    range: Range,
    axis: Coordinate,
    count: number,
    fits: (piece: Range) => boolean,
  ): readonly Range[] | undefined {
    const start = range.from[axis];
    const length = range.end[axis] - start;
    const edge = (index: number): number => start + Math.round((length * index) / count);
    const pieces = Array.from({ length: count }, (_, index) => narrow(range, axis, edge(index), edge(index + 1)));
    return pieces.every(fits) ? pieces : undefined;
  }

  /** Single tiles along the axis that shrinks what is too large most: several axes together may cure it. */
  private splitMost(range: Range, offence: Offence): readonly Range[] {
    let best: Coordinate | undefined;
    let least = offence.excess(range);
    for (const axis of this.cuttable) {
      const left = offence.excess(narrow(range, axis, range.from[axis], range.from[axis] + 1));
      if (left >= least) continue;
      best = axis;
      least = left;
    }
    if (best === undefined) return offence.reject();
    const axis = best;
    const from = range.from[axis];
    return Array.from({ length: range.end[axis] - from }, (_, index) =>
      narrow(range, axis, from + index, from + index + 1),
    );
  }

  private findOffence(range: Range): Offence | undefined {
    const { maxWorkgroupsPerDimension: most, maxBindingBytes } = this.context.target;
    for (const axis of coordinates) {
      if (range.end[axis] - range.from[axis] <= most) continue;
      const excess = (piece: Range): number => piece.end[axis] - piece.from[axis];
      return {
        excess,
        fits: (piece) => excess(piece) <= most,
        reject: () =>
          this.reject(`grid ${letters[axis]}`, `at most ${most} workgroups`, `${range.end[axis] - range.from[axis]}`),
      };
    }
    for (const [index, binding] of this.launch.bindings.entries()) {
      const window = this.windowOf(index, range);
      if (window.segment !== undefined && window.byteLength <= maxBindingBytes) continue;
      return {
        excess: (piece) => this.windowOf(index, piece).byteLength,
        fits: (piece) => {
          const { segment, byteLength } = this.windowOf(index, piece);
          return segment !== undefined && byteLength <= maxBindingBytes;
        },
        reject: () => {
          const { label } = this.context.storages[binding.storage] as Storage;
          const part = window.segment === undefined ? ' across two parts of a divided weight' : '';
          return this.reject(label, `at most ${maxBindingBytes} bytes`, `${window.byteLength} bytes${part}`);
        },
      };
    }
    return undefined;
  }

  /** What a range of tiles may touch of a binding; without a segment when it reaches across the end of one. */
  private windowOf(index: number, range: Range): Window {
    const binding = this.launch.bindings[index] as SizedBinding;
    const placement = this.context.placements[binding.storage];
    if (placement === undefined) throw new Error(`internal: storage ${binding.storage} has no place`);
    const { elementBytes, segments } = placement;
    const { extent, tile } = this.launch;
    const along = (axis: Coordinate): Interval => ({
      low: range.from[axis] * tile[axis],
      high: Math.min(extent[axis], range.end[axis] * tile[axis]) - 1,
    });
    const touched = this.windows.elementsOf(index, [along(0), along(1), along(2)]) ?? { low: 0, high: 0 };
    // Bounds may be loose, as around a padded picture; nothing outside of the view is touched.
    const first = Math.max(0, Math.min(touched.low, binding.span - 1));
    let start = binding.offset + first;
    const length = Math.min(touched.high, binding.span - 1) - first + 1;
    // A view of nothing, as of no reference pictures, still needs something bound.
    const total = (segments[segments.length - 1] as Segment).end;
    start = Math.min(start, Math.max(0, total - 1));
    const end = Math.max(start, Math.min(start + Math.max(1, length), total));
    const segment = segments.find((candidate) => start < candidate.end) ?? (segments[0] as Segment);
    const inSegment = Math.floor(((start - segment.start) * elementBytes) / this.alignment) * this.alignment;
    const byteEnd = Math.max(inSegment + vectorBytes, roundUp((end - segment.start) * elementBytes, vectorBytes));
    return {
      segment: end <= segment.end ? segment : undefined,
      byteOffset: segment.byteOffset + inSegment,
      byteLength: byteEnd - inSegment,
      firstElement: segment.start + inSegment / elementBytes,
    };
  }

  private plan(range: Range): PlannedLaunch {
    const { step, extent, tile, parameters: sizes } = this.launch;
    const values = new Map(sizes);
    const workgroups = mapTriple([0, 1, 2], (axis) => range.end[axis as Coordinate] - range.from[axis as Coordinate]);
    for (const axis of coordinates) {
      values.set(`origin_${letters[axis]}`, range.from[axis]);
      values.set(`tiles_${letters[axis]}`, workgroups[axis]);
    }
    // Workgroups that walk over tiles number them through.
    if (this.kernel.walksTiles === true) this.checkIndex(workgroups[0] * workgroups[1] * workgroups[2], 'all tiles');
    const bindings = this.launch.bindings.map((binding, index): PlannedBinding => {
      const window = this.windowOf(index, range);
      if (window.segment === undefined) throw new Error(`internal: a window of ${step.label} leaves its buffer`);
      const name = `${this.kernel.buffers[index]?.name ?? index}_base`;
      const base = binding.offset - window.firstElement;
      this.checkIndex(binding.span, `the elements of ${name}`);
      if (base !== 0 && !this.kernel.parameters.includes(name)) {
        throw new Error(`internal: ${this.kernel.name} has no parameter ${name} for the launch ${step.label}`);
      }
      values.set(name, base);
      const { storage, access } = binding;
      const { byteOffset, byteLength } = window;
      return { storage, access, buffer: window.segment.buffer, byteOffset, byteLength };
    });
    const parameters = Int32Array.from(this.kernel.parameters, (name) => {
      const value = values.get(name);
      if (value === undefined) throw new Error(`internal: the launch ${step.label} does not give ${name}`);
      return this.checkIndex(value, name);
    });
    const covered = mapTriple([0, 1, 2], (axis) => {
      const at = axis as Coordinate;
      return Math.min(extent[at], range.end[at] * tile[at]) - range.from[at] * tile[at];
    });
    const share = (covered[0] / extent[0]) * (covered[1] / extent[1]) * (covered[2] / extent[2]);
    return {
      kind: 'launch',
      kernel: step.kernel,
      label: step.label,
      bindings,
      parameters,
      workgroups,
      flop: this.launch.flop * share,
      bytes: this.launch.bytes * share,
    };
  }

  private checkIndex(value: number, name: string): number {
    if (Math.abs(value) <= maxInt32) return value;
    throw new Flux2cError('F2C313', 'an index of a launch does not fit 32 bits', {
      where: [this.launch.step.label, name],
      expected: `at most ${maxInt32}`,
      found: `${value}`,
      hint: 'Use a smaller picture or fewer reference pictures.',
    });
  }

  private reject(what: string, expected: string, found: string): never {
    throw new Flux2cError('F2C312', 'a launch does not fit the device and cannot be cut', {
      where: [this.launch.step.label, what],
      expected,
      found,
      hint: 'Use a smaller picture, fewer reference pictures or a device with larger bindings.',
    });
  }
}

/** A limit that a range exceeds. */
interface Offence {
  /** What is too large, in units of the limit. */
  readonly excess: (piece: Range) => number;
  readonly fits: (piece: Range) => boolean;
  readonly reject: () => never;
}

interface Window {
  readonly segment: Segment | undefined;
  /** In the segment's buffer. */
  readonly byteOffset: number;
  readonly byteLength: number;
  /** The storage's element at `byteOffset`. */
  readonly firstElement: number;
}

function narrow(range: Range, axis: Coordinate, from: number, end: number): Range {
  const replace = (triple: Triple, value: number): Triple => [
    axis === 0 ? value : triple[0],
    axis === 1 ? value : triple[1],
    axis === 2 ? value : triple[2],
  ];
  return { from: replace(range.from, from), end: replace(range.end, end) };
}
