/** What flux2c is to reach beside its peers, and whether it does. */
import { nameOf } from './contestants.js';
import { formatNumber } from '../../cli/inspect/format.js';
import {
  type Clock,
  type ContestantResult,
  fastestPeer,
  isRanked,
  ownContestant,
  printTask,
  ratioOf,
  type WorkResult,
} from './result.js';

export interface GoalOutcome {
  /** `transformer 4x64,2+6,256+64 on lavapipe: against the fastest WebGPU peer`. */
  readonly what: string;
  /** Times as fast; of a device's rate a share. */
  readonly goal: number;
  /** By wall and processor time; undefined where a contestant has no times. */
  readonly wall: number | undefined;
  /** Undefined too where processor time does not answer the question. */
  readonly cpu: number | undefined;
  readonly rival: string;
}

/** Whether a goal is reached by a clock; undefined when that is not known. */
export function isReached({ goal, ...ratios }: GoalOutcome, clock: Clock): boolean | undefined {
  const ratio = ratios[clock];
  return ratio === undefined ? undefined : ratio >= goal;
}

interface Rivalry {
  readonly goal: number;
  readonly against: string;
  readonly own: ContestantResult | undefined;
  /** By each clock the rival may be another. */
  readonly rival: (clock: Clock) => ContestantResult | undefined;
  /**
   * Threads share work that one thread does alone: what they take together says nothing. Nor does the processor where a GPU
   * computes.
   */
  readonly wallOnly?: boolean;
}

/** The goals of all works, on GPUs the share of a device's rate among them. */
export function judgeAll(results: readonly WorkResult[]): readonly GoalOutcome[] {
  return results.flatMap((result) => [...judgeGoals(result), ...judgeShare(result, results)]);
}

/** Of the rate of products that flux2c measured through WebGPU in the same run. */
const shareOfProducts = 0.4;

/** How much of the rate of the fastest product a transformer in f16 reaches on a GPU. */
function judgeShare(result: WorkResult, results: readonly WorkResult[]): readonly GoalOutcome[] {
  const { work, place, hardware, numbers } = result;
  if (!hardware || numbers !== 'f16' || work.kind !== 'transformer') return [];
  const rates = results
    .filter((other) => other.work.kind === 'product' && other.place === place && other.numbers === numbers)
    .flatMap((other) => {
      const rate = rateOf(other);
      return rate === undefined ? [] : [{ other, rate }];
    })
    .sort((a, b) => b.rate - a.rate);
  const [best] = rates;
  const own = rateOf(result);
  const share = best === undefined || own === undefined ? undefined : own / best.rate;
  const rival =
    best === undefined || own === undefined
      ? 'nothing to compare with'
      : `${formatNumber(own)} of ${formatNumber(best.rate)} TFLOP/s, which ${printTask(best.other)} reaches`;
  const what = `${printTask(result)}: share of the rate of products`;
  return [{ what, goal: shareOfProducts, wall: share, cpu: undefined, rival }];
}

/** TFLOP/s of flux2c through WebGPU. */
function rateOf(result: WorkResult): number | undefined {
  const own = ownContestant(result, onWebgpu);
  return own?.wall === undefined || !isRanked(own) ? undefined : result.flop / own.wall.median / 1e9;
}

const onWebgpu = { kind: 'webgpu', threads: 1 } as const;

/** The goals that a work on a place has. */
export function judgeGoals(result: WorkResult): readonly GoalOutcome[] {
  return rivalriesOf(result).map(({ goal, against, own, rival, wallOnly = false }) => {
    const byWall = rival('wall');
    return {
      what: `${printTask(result)}: ${against}`,
      goal,
      wall: ratioOf(own, byWall, 'wall'),
      cpu: wallOnly ? undefined : ratioOf(own, rival('cpu'), 'cpu'),
      rival: byWall === undefined ? 'nothing to compare with' : describeRival(byWall),
    };
  });
}

function rivalriesOf(result: WorkResult): readonly Rivalry[] {
  const { work, place, hardware, contestants } = result;
  if (place === 'processor') return work.kind === 'transformer' ? wasmRivalries(result) : [];
  const own = ownContestant(result, onWebgpu);
  const goal = hardware ? 3 : webgpuGoal(work.kind, place);
  if (goal === undefined) return [];
  const against = 'against the fastest WebGPU peer';
  const fastest = { goal, against, own, rival: (clock: Clock) => fastestPeer(result, onWebgpu, clock) };
  if (hardware) return [{ ...fastest, wallOnly: true }];
  if (work.kind !== 'attention') return [fastest];
  const plain = { ...result, contestants: contestants.filter(({ fused }) => !fused) };
  const fused = contestants.find((one) => one.fused);
  return [
    { goal, against: 'against the fastest plain form', own, rival: (clock) => fastestPeer(plain, onWebgpu, clock) },
    // Its result is off on some adapters; the goal is about its time all the same.
    { goal: 1.5, against: "against onnxruntime's fused operator", own, rival: () => fused },
  ];
}

/** Of software adapters. */
function webgpuGoal(kind: WorkResult['work']['kind'], place: string): number | undefined {
  const isLavapipe = /lavapipe|llvmpipe/i.test(place);
  switch (kind) {
    case 'transformer':
      return isLavapipe ? 3 : /swiftshader/i.test(place) ? 2 : undefined;
    case 'product':
    case 'convolution':
      return isLavapipe ? 4 : undefined;
    case 'attention':
      return isLavapipe ? 3 : undefined;
  }
}

function wasmRivalries(result: WorkResult): readonly Rivalry[] {
  const ownWith = (threads: number): ContestantResult | undefined =>
    result.contestants.find((one) => one.own && one.threads === threads);
  const against = [1, 2].map((threads) => ({
    goal: 1.3,
    against: `against the fastest WebAssembly peer, ${threads} thread${threads === 1 ? '' : 's'}`,
    own: ownWith(threads),
    rival: (clock: Clock) => fastestPeer(result, { kind: 'wasm', threads }, clock),
  }));
  const scaling = { goal: 1.7, against: 'two threads against one', own: ownWith(2), rival: () => ownWith(1) };
  return [...against, { ...scaling, wallOnly: true }];
}

function describeRival(rival: ContestantResult): string {
  const name = nameOf(rival);
  if (rival.own || isRanked(rival)) return name;
  return rival.error === undefined ? `${name} (failed)` : `${name} (off by ${rival.error.toExponential(1)})`;
}
