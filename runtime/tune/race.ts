/** Which of several ways to do something is fastest, on a machine whose timings scatter. */

/** Something that can be run: gives the milliseconds of a run. */
export type Runner = () => Promise<number>;

export interface RaceOptions {
  /** Runs of each that is not given up. */
  readonly rounds: number;
  /** By how much of its time the first must be beaten: more than timings scatter. */
  readonly margin: number;
  /** Asked before every run, with the rounds behind: whether to end with what is known. */
  readonly isOver?: (rounds: number) => boolean;
}

export interface RaceResult {
  /** The place of the fastest: 0 unless another is faster by more than the margin. */
  readonly best: number;
  /** Medians in milliseconds; undefined for those that never ran. */
  readonly medians: readonly (number | undefined)[];
}

/** A first run that takes so many times the shortest so far is the last. */
const hopelessAtFirst = 1.5;
/** So is, after some rounds, a shortest run that takes so many times the shortest of all. */
const hopeless = 1.15;
export const roundsToHope = 3;

/**
 * Runs all in turn, in rounds, so that what disturbs the machine meets all of them; those far behind drop out early. The first is what
 * the others are held against and never drops out. Another one wins if its median and its shortest run are both shorter by the margin.
 */
export async function race(runners: readonly Runner[], { rounds, margin, isOver }: RaceOptions): Promise<RaceResult> {
  const samples = runners.map((): number[] => []);
  const least = (place: number): number => Math.min(...(samples[place] as number[]));
  let running = runners.map((_, place) => place);
  for (let round = 0; round < rounds && (running.length > 1 || round === 0); round++) {
    // Forwards and backwards in turn: none always runs after the same one.
    const order = round % 2 === 0 ? running : [...running].reverse();
    for (const place of order) {
      if (isOver?.(round) === true) return decide(samples, margin);
      samples[place]?.push(await (runners[place] as Runner)());
    }
    const shortest = Math.min(...running.map(least));
    const factor = round + 1 < roundsToHope ? hopelessAtFirst : hopeless;
    running = running.filter((place) => place === 0 || least(place) <= factor * shortest);
  }
  return decide(samples, margin);
}

function decide(samples: readonly (readonly number[])[], margin: number): RaceResult {
  const medians = samples.map((list) => (list.length === 0 ? undefined : median(list)));
  const leasts = samples.map((list) => Math.min(Infinity, ...list));
  const [first] = medians;
  // One that did not run as often as the first has dropped out, or the race was ended.
  const runs = samples[0]?.length ?? 0;
  let best = 0;
  medians.forEach((time, place) => {
    if (time === undefined || first === undefined || (samples[place]?.length ?? 0) < Math.max(roundsToHope, runs))
      return;
    const wins = time < (1 - margin) * first && (leasts[place] as number) < (1 - margin) * (leasts[0] as number);
    if (wins && time < (medians[best] as number)) best = place;
  });
  return { best, medians };
}

export function median(samples: readonly number[]): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const [low, high] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]] as [number, number];
  return (low + high) / 2;
}
