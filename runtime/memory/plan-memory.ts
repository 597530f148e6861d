import type { Target } from '../../backends/target.js';
import { Flux2cError } from '../../ir/diagnostics.js';
import type { DimBinding } from '../../ir/dim.js';
import type { Plan } from '../../ir/plan.js';
import { instantiatePlan, type PlannedKernel } from '../instantiate.js';
import type { BoundPlan } from '../plan/bound-plan.js';
import { alignmentOf, roundUp } from '../plan/storage-layout.js';
import { type Candidate, chooseResidents, findCandidates, findSmall } from './choose-residents.js';
import { type DeviceCosts, usualCosts } from './device-costs.js';
import { chooseKept, countReadAhead } from './host-kept.js';
import { printBudget } from './byte-budget.js';
import { layOutRing } from './ring.js';
import { type Prediction, simulate } from './simulate.js';
import { streamWeights } from './stream-weights.js';
import { verifyStream } from './verify-stream.js';
import { findPhases, type Phase } from './weight-uses.js';

export interface MemoryRequest {
  /** For all buffers of the function on the device. */
  readonly deviceBytes: number;
  /** For weights that the host keeps or reads ahead. Default: all of them. */
  readonly hostBytes?: number;
  /** Default: what devices of the target's kind usually take. */
  readonly costs?: DeviceCosts;
  /** Uploads run beside launches. Default: with CUDA. */
  readonly isBeside?: boolean;
}

export interface PlannedMemory {
  readonly bound: BoundPlan;
  readonly prediction: Prediction;
  readonly deviceBytes: number;
}

/** Pieces that launches and weights are divided into, largest first: fewer launches, but a larger ring. */
const pieceLimits = [Infinity, 512, 256, 128, 64, 32, 16, 8, 4, 2, 1, 1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64].map((mebibytes) => mebibytes * 2 ** 20); // prettier-ignore

/** Sizes of the ring that are tried, in units of the smallest that works. */
const ringSizes = [1, 1.25, 1.5, 2, 2.5, 3, 4, 6, 8, 12, 16];

/** More are thousands of launches and seconds of planning, for a few megabytes. */
const maxPieces = 4096;

/** A plan this close to what launches and uploads take at least is not improved on. */
const goodEnough = 1.01;

/**
 * Instantiates a plan within a budget: as it is where everything fits, otherwise with some weights streamed through a ring, those chosen
 * (and the ring's size, and the size of pieces) that a simulation says are fastest. The result has been verified.
 *
 * @throws F2C317 the budget is too small, naming the smallest that works; otherwise as `instantiatePlan`
 */
export function planWithinBudget(
  plan: Plan,
  sizes: DimBinding,
  target: Target,
  kernels: ReadonlyMap<string, PlannedKernel>,
  request: MemoryRequest,
): PlannedMemory {
  return new Planner(plan, sizes, target, kernels, request).plan();
}

/** The smallest budget that the planner finds a plan for, of any speed. Bytes; errors of `instantiatePlan`. */
export function leastBudget(
  plan: Plan,
  sizes: DimBinding,
  target: Target,
  kernels: ReadonlyMap<string, PlannedKernel>,
): number {
  return new Planner(plan, sizes, target, kernels, { deviceBytes: 0 }).least();
}

class Planner {
  private readonly costs: DeviceCosts;
  private readonly isBeside: boolean;
  private best: PlannedMemory | undefined;
  /** The least that any division into pieces needs. */
  private smallest = Infinity;

  constructor(
    private readonly source: Plan,
    private readonly sizes: DimBinding,
    private readonly target: Target,
    private readonly kernels: ReadonlyMap<string, PlannedKernel>,
    private readonly request: MemoryRequest,
  ) {
    this.costs = request.costs ?? usualCosts(target);
    this.isBeside = request.isBeside ?? uploadsBeside(target);
  }

  plan(): PlannedMemory {
    const { deviceBytes } = this.request;
    for (const search of this.searches()) {
      const total = countBytes(search.bound);
      if (total <= deviceBytes) return { bound: search.bound, prediction: search.resident, deviceBytes: total };
      const found = search.find();
      const before = this.best?.prediction.stepSeconds ?? Infinity;
      if (found !== undefined && found.prediction.stepSeconds < before) this.best = found;
      if (this.best === undefined) continue;
      // Smaller pieces leave a smaller ring and more room, until launches for them cost more than that.
      const { stepSeconds } = this.best.prediction;
      if (stepSeconds <= goodEnough * search.ideal || stepSeconds * goodEnough > before) break;
    }
    if (this.best === undefined) this.refuse();
    verifyStream(this.best.bound, deviceBytes);
    return this.best;
  }

  /** Bytes of the smallest budget that works. */
  least(): number {
    for (const { bound } of this.searches()) this.smallest = Math.min(this.smallest, countBytes(bound));
    return this.smallest;
  }

  /** By pieces, the largest first; weights that are smaller already are divided no further. */
  private *searches(): Generator<PieceSearch> {
    let before = Infinity;
    let streamable = 0;
    for (const limit of pieceLimits) {
      if (limit >= before || streamable / limit > maxPieces) continue;
      const bound = this.instantiate(limit);
      if (bound === undefined) return;
      const search = new PieceSearch(bound, this.request, this.costs, this.isBeside);
      before = search.largest;
      streamable = search.streamable;
      this.smallest = Math.min(this.smallest, search.smallest);
      yield search;
    }
  }

  /** Undefined where pieces have fewer rows than a workgroup of some kernel computes. */
  private instantiate(maxWeightBytes: number): BoundPlan | undefined {
    try {
      return instantiatePlan(this.source, this.sizes, this.target, this.kernels, { maxWeightBytes });
    } catch (error) {
      if (maxWeightBytes < Infinity && error instanceof Flux2cError && error.code === 'F2C312') return undefined;
      throw error;
    }
  }

  private refuse(): never {
    throw new Flux2cError('F2C317', `'${this.source.name}' cannot run in so little memory`, {
      where: [this.source.name],
      expected: `a budget of at least ${printBudget(this.smallest)} for these sizes`,
      found: printBudget(this.request.deviceBytes),
      hint: 'Give it more memory, or take a smaller picture, fewer reference pictures or weights of fewer bits.',
    });
  }
}

/** The plans that one division of weights into pieces allows. */
class PieceSearch {
  readonly largest: number;
  /** Bytes of all pieces. */
  readonly streamable: number;
  /** Bytes that this division needs at least. */
  readonly smallest: number;
  /** Seconds of a step that no plan with these pieces is below. */
  readonly ideal: number;
  private readonly phases: readonly Phase[];
  private readonly small: ReadonlySet<number>;
  /** Everything that has to be on the device besides what can be streamed. */
  private readonly fixed: number;
  private readonly leastRing: number;
  private readonly candidates: readonly Candidate[];

  /** With all weights on the device. */
  readonly resident: Prediction;

  constructor(
    readonly bound: BoundPlan,
    private readonly request: MemoryRequest,
    private readonly costs: DeviceCosts,
    private readonly isBeside: boolean,
  ) {
    this.phases = findPhases(bound);
    this.small = findSmall(bound);
    const streamable = bound.buffers.filter(({ kind }, index) => kind === 'weight' && !this.small.has(index));
    this.largest = Math.max(0, ...streamable.map(({ byteLength }) => byteLength));
    this.streamable = totalBytes(streamable);
    this.fixed = countBytes(bound) - this.streamable;
    this.leastRing = this.findLeastRing();
    this.smallest = this.fixed + this.leastRing;
    this.resident = simulate(bound, { costs, isBeside });
    this.candidates = findCandidates(bound, this.phases, costs);
    const room = Math.max(0, request.deviceBytes - this.fixed - this.leastRing);
    const hasLoop = this.phases.some(({ kind }) => kind === 'loop');
    // What runs once comes from files once.
    const uploads = hasLoop
      ? Math.max(0, totalBytes(this.candidates) - room) / costs.uploadBytes
      : this.streamable / Math.min(costs.uploadBytes, costs.diskBytes);
    const { computeSeconds } = this.resident;
    this.ideal = isBeside ? Math.max(computeSeconds, uploads) : computeSeconds + uploads;
  }

  find(): PlannedMemory | undefined {
    const room = this.request.deviceBytes - this.fixed;
    if (room < this.leastRing) return undefined;
    let best: PlannedMemory | undefined;
    const { candidates } = this;
    const sizes = [...new Set(ringSizes.map((factor) => Math.min(room, this.align(factor * this.leastRing))))];
    for (const ring of sizes) {
      for (const by of candidates.length > 0 ? (['bytes', 'time'] as const) : (['bytes'] as const)) {
        const residents = chooseResidents(candidates, room - ring, by);
        const planned = this.attempt(residents, ring);
        if (planned !== undefined && planned.prediction.stepSeconds <= goodEnough * this.ideal) return planned;
        if (planned !== undefined && (best === undefined || planned.prediction.stepSeconds < best.prediction.stepSeconds * 0.999)) best = planned; // prettier-ignore
      }
    }
    return best;
  }

  private attempt(residents: ReadonlySet<number>, ringBytes: number): PlannedMemory | undefined {
    const { bound, costs, isBeside } = this;
    const isStreamed = this.isStreamed(residents);
    const isKept = chooseKept(bound, this.phases, isStreamed, this.request.hostBytes);
    const streamed = streamWeights(bound, { isStreamed, isKept, ring: this.divideRing(ringBytes) });
    if (streamed === undefined) return undefined;
    const readAhead = countReadAhead(streamed, this.request.hostBytes);
    const prediction = simulate(streamed, { costs, isBeside, ...(readAhead !== undefined && { readAhead }) });
    return { bound: streamed, prediction, deviceBytes: countBytes(streamed) };
  }

  private isStreamed(residents: ReadonlySet<number>): (buffer: number) => boolean {
    return (buffer) =>
      this.bound.buffers[buffer]?.kind === 'weight' && !this.small.has(buffer) && !residents.has(buffer);
  }

  /** The smallest ring that works when everything is streamed; between the largest piece and all of them. */
  private findLeastRing(): number {
    const { alignment } = this;
    const isStreamed = this.isStreamed(new Set());
    const bytesOf = (buffer: number): number => this.bound.buffers[buffer]!.byteLength;
    const works = (bytes: number): boolean =>
      layOutRing(this.phases, isStreamed, bytesOf, this.divideRing(bytes), alignment) !== undefined;
    let [bad, good] = [0, this.align(this.largest)];
    while (!works(good)) {
      bad = good;
      good *= 2;
      if (good > 2 ** 50) throw new Error('internal: no ring is large enough');
    }
    while (good - bad > Math.max(alignment, good / 256)) {
      const middle = this.align((good + bad) / 2);
      if (middle >= good) break;
      if (works(middle)) good = middle;
      else bad = middle;
    }
    return good;
  }

  private get alignment(): number {
    return alignmentOf(this.bound.target);
  }

  private align(bytes: number): number {
    return roundUp(bytes, this.alignment);
  }

  /** In buffers of the size that the target allows. */
  private divideRing(bytes: number): readonly number[] {
    const most = Math.floor(this.bound.target.maxBufferBytes / this.alignment) * this.alignment;
    const count = Math.ceil(bytes / most);
    const each = this.align(bytes / count);
    return Array.from({ length: count }, (_, index) => Math.min(each, bytes - index * each));
  }
}

/** Whether a device copies weights while it computes. Queues of WebGPU do one after the other. */
export function uploadsBeside({ backend }: Target): boolean {
  return backend === 'cuda';
}

/** Bytes of all buffers of a plan. */
export function countBytes({ buffers }: BoundPlan): number {
  return totalBytes(buffers);
}

function totalBytes(buffers: readonly { readonly byteLength: number }[]): number {
  return buffers.reduce((sum, { byteLength }) => sum + byteLength, 0);
}
