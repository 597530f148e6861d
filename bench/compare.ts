/** Two results side by side. */
import type { BenchResult } from './result.js';
import { spreadOf, type Summary } from './statistics.js';

export interface Comparison {
  readonly name: string;
  /** Milliseconds, medians. */
  readonly before: number;
  readonly after: number;
  /** after / before: below 1 is faster. */
  readonly ratio: number;
  /** The medians lie further apart than either measurement's middle half is wide. */
  readonly moved: boolean;
}

export interface ComparedResults {
  readonly rows: readonly Comparison[];
  /** Measured in one of the two only. */
  readonly onlyBefore: readonly string[];
  readonly onlyAfter: readonly string[];
  /** after / before of the calibrators: how much of a difference is the machine's. */
  readonly ceilings: { readonly gigaflops: number; readonly gigabytes: number };
}

export function compareResults(before: BenchResult, after: BenchResult): ComparedResults {
  const [old, current] = [collectTimes(before), collectTimes(after)];
  const rows = [...old].flatMap(([name, summary]): Comparison[] => {
    const other = current.get(name);
    return other === undefined ? [] : [compareTimes(name, summary, other)];
  });
  return {
    rows,
    onlyBefore: [...old.keys()].filter((name) => !current.has(name)),
    onlyAfter: [...current.keys()].filter((name) => !old.has(name)),
    ceilings: {
      gigaflops: after.ceilings.gigaflops / before.ceilings.gigaflops,
      gigabytes: after.ceilings.gigabytes / before.ceilings.gigabytes,
    },
  };
}

export function compareTimes(name: string, before: Summary, after: Summary): Comparison {
  const distance = Math.abs(after.median - before.median);
  return {
    name,
    before: before.median,
    after: after.median,
    ratio: after.median / before.median,
    moved: distance > Math.max(spreadOf(before), spreadOf(after)),
  };
}

/** Every time by a name that stays when kernels are compiled in another way. */
function collectTimes({ stages, functions }: BenchResult): ReadonlyMap<string, Summary> {
  const times = new Map<string, Summary>();
  for (const { name, times: stage } of stages) times.set(`stage ${name}`, stage.wall);
  for (const fn of functions) {
    times.set(`${fn.name}${fn.isStep ? ' step' : ''}`, fn.times.wall);
    for (const { family, time } of fn.blocks) times.set(`${fn.name} blocks ${family}`, time);
    for (const { label, time } of fn.kernels) times.set(`${fn.name} ${label}`, time);
  }
  return times;
}
