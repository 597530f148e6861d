/** What flux2c is to reach beside its peers, and whether it does. */
import { nameOf } from './contestants.js';
import { type Clock, type ContestantResult, fastestPeer, isRanked, ratioOf, type WorkResult } from './result.js';
import { printPlace, printWork } from './works.js';

export interface GoalOutcome {
  /** `transformer 4x64,2+6,256+64 on lavapipe: against the fastest WebGPU peer`. */
  readonly what: string;
  /** Times as fast. */
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
  /** Threads share work that one thread does alone: what they take together says nothing. */
  readonly wallOnly?: boolean;
}

/** The goals that a work on a place has. */
export function judgeGoals(result: WorkResult): readonly GoalOutcome[] {
  return rivalriesOf(result).map(({ goal, against, own, rival, wallOnly = false }) => {
    const byWall = rival('wall');
    return {
      what: `${printWork(result.work)} on ${printPlace(result.place)}: ${against}`,
      goal,
      wall: ratioOf(own, byWall, 'wall'),
      cpu: wallOnly ? undefined : ratioOf(own, rival('cpu'), 'cpu'),
      rival: byWall === undefined ? 'nothing to compare with' : describeRival(byWall),
    };
  });
}

function rivalriesOf(result: WorkResult): readonly Rivalry[] {
  const { work, place, contestants } = result;
  if (place === 'processor') return work.kind === 'transformer' ? wasmRivalries(result) : [];
  const own = contestants.find((one) => one.own);
  const goal = webgpuGoal(work.kind, place);
  if (goal === undefined) return [];
  const against = 'against the fastest WebGPU peer';
  const peers = { kind: 'webgpu', threads: 1 } as const;
  if (work.kind !== 'attention') return [{ goal, against, own, rival: (clock) => fastestPeer(result, peers, clock) }];
  const plain = { ...result, contestants: contestants.filter(({ fused }) => !fused) };
  const fused = contestants.find((one) => one.fused);
  return [
    { goal, against: 'against the fastest plain form', own, rival: (clock) => fastestPeer(plain, peers, clock) },
    // Its result is off on some adapters; the goal is about its time all the same.
    { goal: 1.5, against: "against onnxruntime's fused operator", own, rival: () => fused },
  ];
}

/** Software adapters have goals; others are only measured. */
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
