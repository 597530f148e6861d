/** Measures one work on all contestants of a place, in turn, over several processes. */
import { mkdir } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { burstFlop } from './calibrator.js';
import { calibrator, type Contestant, isOnGpu } from './contestants.js';
import type { Numbers } from './numbers.js';
import type { RequestFor } from './protocol.js';
import { readResult, relativeError } from './reference.js';
import type { ContestantResult, WorkResult } from './result.js';
import {
  batchWithin,
  calmRounds,
  medianOf,
  orderOfRound,
  repeatsWithin,
  type Round,
  type Sample,
  summarizeRounds,
} from './rounds.js';
import type { Reference } from './sampled-reference.js';
import { ContestantFailure, StackProcess } from './stack-process.js';
import { countFlop, printWork, type Work } from './works.js';

export interface Comparison {
  readonly work: Work;
  /** What weights and inputs are, exactly. */
  readonly numbers: Numbers;
  /** What `--adapter` takes; `processor` for contestants that need none. */
  readonly place: string;
  /** The place is a GPU: what its driver lets Node.js wait is longer than many works take. */
  readonly hardware: boolean;
  readonly contestants: readonly Contestant[];
  readonly reference: Reference;
  readonly processes: number;
  readonly rounds: number;
  /** What a contestant's process may take, all in all. */
  readonly seconds?: number | undefined;
  /** A folder for results and for caches of drivers, empty at first. */
  readonly folder: string;
  readonly signal: AbortSignal;
  readonly notice: (sentence: string) => void;
}

/** Milliseconds that a contestant gets in a round, and before the first. */
const roundBudget = 150;
const warmupBudget = 300;
/** Milliseconds of work for a GPU that one wait is for. */
const batchBudget = 50;
/** Threads of onnxruntime look for work for some 15 ms after a run, on the time of whoever comes next. */
const pauseBetween = 30;
const calibrationRuns = 5;

/** What is known of a contestant so far. */
interface Standing {
  readonly contestant: Contestant;
  error: number;
  /** Of the first process. */
  firstTime: number | undefined;
  pipelineTime: number;
  failure: string | undefined;
}

interface Runner {
  readonly standing: Standing;
  readonly process: StackProcess;
  readonly repeats: number;
  readonly batch: number;
}

export async function compareWork(comparison: Comparison): Promise<WorkResult> {
  const { work, numbers, place, hardware, contestants, processes, notice } = comparison;
  const standings = contestants.map((contestant): Standing => {
    return { contestant, error: 0, firstTime: undefined, pipelineTime: 0, failure: undefined };
  });
  const rounds: Round[] = [];
  let best = 0;
  for (let index = 0; index < processes; index++) {
    notice(`${printWork(work)} on ${place}: processes ${index + 1} of ${processes}`);
    const generation = await measureGeneration(comparison, standings);
    rounds.push(...generation.rounds);
    best = Math.max(best, generation.best);
  }
  return {
    work,
    numbers,
    place,
    hardware,
    flop: countFlop(work),
    rounds: rounds.length,
    calmRounds: calmRounds(rounds, best).length,
    contestants: standings.map((standing) => summarizeStanding(standing, rounds, best)),
  };
}

/** One process of each contestant, all alive at once, each running when it is its turn. */
async function measureGeneration(
  comparison: Comparison,
  standings: readonly Standing[],
): Promise<{ readonly rounds: readonly Round[]; readonly best: number }> {
  const { signal } = comparison;
  const runners: Runner[] = [];
  const clock = StackProcess.start();
  const speeds: number[] = [];
  const calibrate = async (): Promise<number> => {
    await setTimeout(pauseBetween);
    const { wall } = await clock.ask<'run'>({ ask: 'run', repeats: calibrationRuns, batch: 1 });
    speeds.push(burstFlop / Math.min(...wall));
    return burstFlop / medianOf(wall);
  };
  try {
    await clock.ask<'prepare'>(prepareRequest(comparison, calibrator));
    await calibrate();
    for (const standing of standings.filter(({ failure }) => failure === undefined)) {
      signal.throwIfAborted();
      const own = join(comparison.folder, standing.contestant.id.replaceAll(':', '-'));
      const environment = await cacheEnvironment(own);
      const process = StackProcess.start({
        nodeFlags: standing.contestant.nodeFlags[comparison.hardware ? 'hardware' : 'software'],
        environment,
        seconds: comparison.seconds,
      });
      const runner = await guard(standing, process, () => prepareRunner(comparison, standing, process));
      if (runner !== undefined) runners.push(runner);
    }
    const rounds: Round[] = [];
    let before = await calibrate();
    for (let at = 0; at < comparison.rounds; at++) {
      const samples = new Map<string, Sample>();
      for (const runner of orderOfRound(runners, at)) {
        signal.throwIfAborted();
        if (runner.standing.failure !== undefined) continue;
        const sample = await guard(runner.standing, runner.process, () => sampleOf(runner));
        if (sample !== undefined) samples.set(runner.standing.contestant.id, sample);
      }
      const after = await calibrate();
      rounds.push({ speed: Math.min(before, after), samples });
      before = after;
    }
    return { rounds, best: Math.max(...speeds) };
  } finally {
    await Promise.all([clock, ...runners.map(({ process }) => process)].map((process) => process.end()));
  }
}

function prepareRequest({ work, place, numbers }: Comparison, { id }: Contestant): RequestFor<'prepare'> {
  return { ask: 'prepare', contestant: id, adapter: place, work, numbers };
}

/** Starts the work in a process, checks its result and warms it up. */
async function prepareRunner(comparison: Comparison, standing: Standing, process: StackProcess): Promise<Runner> {
  const file = join(comparison.folder, 'result');
  const { pipelineTime = 0 } = await process.ask<'prepare'>(prepareRequest(comparison, standing.contestant));
  const { time } = await process.ask<'check'>({ ask: 'check', file });
  const error = relativeError(await readResult(file), comparison.reference);
  if (!Number.isFinite(error)) throw new ContestantFailure('its result has numbers that are none, or too few');
  standing.error = Math.max(standing.error, error);
  if (standing.firstTime === undefined) {
    standing.firstTime = time;
    standing.pipelineTime = pipelineTime;
  }
  const timeOf = async (repeats: number, batch: number): Promise<number> => {
    const { wall } = await process.ask<'run'>({ ask: 'run', repeats, batch });
    return Math.min(...wall);
  };
  const first = await timeOf(2, 1);
  // What remains of a wait that several runs share is little: the second estimate is of the device's time.
  const batch = comparison.hardware ? batchWithin(batchBudget, await timeOf(2, batchWithin(batchBudget, first))) : 1;
  const later = await timeOf(repeatsWithin(warmupBudget, first * batch), batch);
  return { standing, process, repeats: repeatsWithin(roundBudget, later * batch), batch };
}

async function sampleOf({ process, repeats, batch }: Runner): Promise<Sample> {
  await setTimeout(pauseBetween);
  const { wall, cpu } = await process.ask<'run'>({ ask: 'run', repeats, batch });
  return { wall: medianOf(wall), cpu: medianOf(cpu) };
}

/** What fails in a contestant's process is noted, and the process ended. */
async function guard<T>(standing: Standing, process: StackProcess, step: () => Promise<T>): Promise<T | undefined> {
  try {
    return await step();
  } catch (error) {
    await process.end();
    if (!(error instanceof ContestantFailure)) throw error;
    standing.failure = error.message;
    return undefined;
  }
}

function summarizeStanding(standing: Standing, rounds: readonly Round[], best: number): ContestantResult {
  const { contestant, error, failure, firstTime, pipelineTime } = standing;
  const { id, stack, kind, threads, own, fused, numbers } = contestant;
  const common = { id, stack, kind, threads, own, fused, numbers };
  if (failure !== undefined) return { ...common, failure };
  const times = summarizeRounds(rounds, best, id);
  if (times === undefined || firstTime === undefined) return { ...common, failure: 'there were no rounds' };
  // Drivers on the processor compute on all of it.
  const share = isOnGpu(contestant) ? availableParallelism() : threads;
  const cpu = Object.fromEntries(
    Object.entries(times.cpu).map(([name, value]) => [name, name === 'count' ? value : value / share]),
  ) as unknown as typeof times.cpu;
  const compileTime = pipelineTime + Math.max(0, firstTime - times.wall.median);
  return { ...common, error, wall: times.wall, cpu, compileTime };
}

/** Where drivers and stacks keep compiled programs: nowhere but below this folder, which is made. */
export async function cacheEnvironment(folder: string): Promise<Readonly<Record<string, string>>> {
  const cache = join(folder, 'cache');
  // Mesa makes one folder, and without those above it goes on without a cache.
  await mkdir(cache, { recursive: true });
  return { MESA_SHADER_CACHE_DIR: cache, XDG_CACHE_HOME: cache, FLUX2C_CACHE: join(cache, 'flux2c') };
}
