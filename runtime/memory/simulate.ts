import type { BoundPlan, BoundStep, PlannedLaunch } from '../plan/bound-plan.js';
import { type DeviceCosts, launchSeconds } from './device-costs.js';

/** Busy times of a run, for pictures: seconds from its begin. */
export interface TimelineEvent {
  readonly lane: 'compute' | 'upload' | 'read';
  readonly label: string;
  readonly start: number;
  readonly end: number;
  /** That is read or uploaded: an index into the plan's `streamed`. */
  readonly piece?: number;
  /** That computes. */
  readonly launch?: PlannedLaunch;
}

export interface Prediction {
  /** Seconds of the whole run, weights that stay on the device being there. */
  readonly seconds: number;
  /** Seconds of a step of the longest loop once it goes round evenly; of the whole run where there is none. */
  readonly stepSeconds: number;
  /** No step takes less: the larger of its launches and its uploads or, where uploads do not run beside launches, both. */
  readonly idealStepSeconds: number;
  readonly computeSeconds: number;
  /** Bytes that a step uploads. */
  readonly streamedBytes: number;
}

export interface SimulationOptions {
  readonly costs: DeviceCosts;
  /** Uploads run beside launches; otherwise in order with them. */
  readonly isBeside: boolean;
  /** Pieces that host memory has room for besides those that it keeps: reads are so far ahead of uploads. */
  readonly readAhead?: number;
  readonly onEvent?: (event: TimelineEvent) => void;
}

/** Iterations until a loop goes round evenly: the first fills the ring, the second empties what that was ahead. */
const settled = 3;

/**
 * Runs a plan on a clock: launches one after the other, uploads one after the other as soon as their places are free, launches behind
 * an arrival not before it. Long loops are cut short: every iteration after the third takes as long as that one.
 */
export function simulate(bound: BoundPlan, options: SimulationOptions): Prediction {
  return new Clock(bound, options).run();
}

class Clock {
  private compute = 0;
  private upload = 0;
  private read = 0;
  /** When the blocks that files are read into are free again, in order. */
  private readonly emptied: number[] = [];
  private readonly arrivals = new Map<number, number>();
  private launchTime = 0;
  private uploadTime = 0;
  private uploadBytes = 0;

  constructor(
    private readonly bound: BoundPlan,
    private readonly options: SimulationOptions,
  ) {}

  run(): Prediction {
    let longest: { readonly seconds: number; readonly step: Prediction } | undefined;
    for (const step of this.bound.steps) {
      if (step.kind !== 'loop') {
        this.step(step, false);
        continue;
      }
      const prediction = this.loop(step);
      const seconds = prediction.stepSeconds * step.count;
      if (longest === undefined || seconds > longest.seconds) longest = { seconds, step: prediction };
    }
    const seconds = Math.max(this.compute, this.upload);
    if (longest !== undefined) return { ...longest.step, seconds };
    return this.describe(seconds, seconds, this.launchTime, this.uploadTime, this.uploadBytes);
  }

  private loop(loop: Extract<BoundStep, { kind: 'loop' }>): Prediction {
    let before = {
      compute: this.compute,
      launches: this.launchTime,
      uploads: this.uploadTime,
      bytes: this.uploadBytes,
    };
    let stepSeconds = 0;
    let last = before;
    const shown = Math.min(loop.count, settled);
    for (let index = 0; index < shown; index++) {
      before = last;
      const isLast = index + 1 === loop.count;
      for (const step of loop.iteration(index)) this.step(step, isLast);
      last = { compute: this.compute, launches: this.launchTime, uploads: this.uploadTime, bytes: this.uploadBytes };
      stepSeconds = last.compute - before.compute;
    }
    const skipped = (loop.count - shown) * stepSeconds;
    for (const lane of ['compute', 'upload', 'read'] as const) this[lane] += skipped;
    for (const [piece, time] of this.arrivals) this.arrivals.set(piece, time + skipped);
    const launches = last.launches - before.launches;
    return this.describe(0, stepSeconds, launches, last.uploads - before.uploads, last.bytes - before.bytes);
  }

  private describe(seconds: number, step: number, launches: number, uploads: number, bytes: number): Prediction {
    const ideal = this.options.isBeside ? Math.max(launches, uploads) : launches + uploads;
    return { seconds, stepSeconds: step, idealStepSeconds: ideal, computeSeconds: launches, streamedBytes: bytes };
  }

  private step(step: BoundStep, isLast: boolean): void {
    const { costs, isBeside } = this.options;
    switch (step.kind) {
      case 'launch':
        this.launch(step.label, launchSeconds(step, costs), step);
        return;
      case 'copy':
        this.launch(step.label, (2 * step.byteLength) / costs.memoryBytes + 1 / costs.launches);
        return;
      case 'loop':
        for (let index = 0; index < step.count; index++) {
          for (const inner of step.iteration(index)) this.step(inner, index + 1 === step.count);
        }
        return;
      case 'fetch':
        if (!step.isAhead || !isLast) this.fetch(step.piece);
        return;
      case 'arrival':
        if (isBeside) this.compute = Math.max(this.compute, this.arrivals.get(step.piece) ?? 0);
        return;
    }
  }

  private launch(label: string, seconds: number, launch?: PlannedLaunch): void {
    const { compute: start } = this;
    this.options.onEvent?.({ lane: 'compute', label, start, end: start + seconds, ...(launch && { launch }) });
    this.compute += seconds;
    this.launchTime += seconds;
  }

  private fetch(number: number): void {
    const { costs, isBeside, readAhead = 4 } = this.options;
    const { byteLength, isKept, weight } = this.bound.streamed![number]!;
    const seconds = byteLength / costs.uploadBytes;
    let ready = 0;
    if (!isKept) {
      const start = Math.max(this.read, this.emptied.at(-readAhead) ?? 0);
      this.read = ready = start + byteLength / costs.diskBytes;
      this.options.onEvent?.({ lane: 'read', label: weight, start, end: ready, piece: number });
    }
    const start = Math.max(isBeside ? this.upload : this.compute, this.compute, ready);
    const end = start + seconds;
    this.options.onEvent?.({ lane: 'upload', label: weight, start, end, piece: number });
    this.upload = end;
    if (!isBeside) this.compute = end;
    if (!isKept) this.emptied.push(end);
    this.arrivals.set(number, end);
    this.uploadTime += seconds;
    this.uploadBytes += byteLength;
  }
}
