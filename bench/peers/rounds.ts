/** Samples of several contestants, taken in turn, and which of them other work on the machine has spoiled. */
import { quantile, summarize, type Summary } from '../statistics.js';

/** One contestant in one round; milliseconds, the median of its runs. */
export interface Sample {
  readonly wall: number;
  readonly cpu: number;
}

export interface Round {
  /** Operations a nanosecond of the calibrator, the worse of before and after. */
  readonly speed: number;
  readonly samples: ReadonlyMap<string, Sample>;
}

/** A processor that reaches this share of its best is free. */
const calmShare = 0.85;
/** With fewer calm rounds all count: a median of two is none. */
const leastCalmRounds = 3;

/** Contestants in the order of round `at`: each is first, second, ... equally often. */
export function orderOfRound<T>(contestants: readonly T[], at: number): readonly T[] {
  const first = contestants.length === 0 ? 0 : at % contestants.length;
  return [...contestants.slice(first), ...contestants.slice(0, first)];
}

/** The rounds in which the processor was free. `best` is the highest speed that the calibrator reached at all. */
export function calmRounds(rounds: readonly Round[], best: number): readonly Round[] {
  return rounds.filter(({ speed }) => speed >= calmShare * best);
}

/** The times of a contestant over calm rounds, or over all where too few are calm; undefined without any. */
export function summarizeRounds(
  rounds: readonly Round[],
  best: number,
  contestant: string,
): { readonly wall: Summary; readonly cpu: Summary } | undefined {
  const calm = calmRounds(rounds, best);
  const samples = (calm.length >= leastCalmRounds ? calm : rounds).flatMap(({ samples }) => {
    const sample = samples.get(contestant);
    return sample === undefined ? [] : [sample];
  });
  if (samples.length === 0) return undefined;
  return { wall: summarize(samples.map(({ wall }) => wall)), cpu: summarize(samples.map(({ cpu }) => cpu)) };
}

export function medianOf(values: readonly number[]): number {
  return quantile(
    [...values].sort((a, b) => a - b),
    0.5,
  );
}

/** Runs for one wait, so that it takes about `budget` milliseconds; 1 to 256. */
export function batchWithin(budget: number, runTime: number): number {
  return Math.max(1, Math.min(256, Math.round(budget / Math.max(runTime, 0.01))));
}

/** Runs a round of about `budget` milliseconds has room for, 1 to 20. */
export function repeatsWithin(budget: number, runTime: number): number {
  return Math.max(1, Math.min(20, Math.round(budget / Math.max(runTime, 0.01))));
}
