/** Numbers for repeated measurements. */

/** Of samples in one unit: the middle and where the middle half lies. */
export interface Summary {
  readonly count: number;
  readonly least: number;
  readonly firstQuartile: number;
  readonly median: number;
  readonly thirdQuartile: number;
}

/** At least one sample. Medians and quartiles: a shared machine's outliers are always on one side. */
export function summarize(samples: readonly number[]): Summary {
  const sorted = [...samples].sort((a, b) => a - b);
  return {
    count: sorted.length,
    least: quantile(sorted, 0),
    firstQuartile: quantile(sorted, 0.25),
    median: quantile(sorted, 0.5),
    thirdQuartile: quantile(sorted, 0.75),
  };
}

/** Between the two nearest of `sorted`, as numpy's default. */
export function quantile(sorted: readonly number[], share: number): number {
  const [first] = sorted;
  if (first === undefined) throw new Error('internal: a quantile of no samples');
  const place = share * (sorted.length - 1);
  const below = Math.floor(place);
  const low = sorted[below] as number;
  return low + ((sorted[below + 1] ?? low) - low) * (place - below);
}

/** Interquartile range: how far repeated measurements lie apart. */
export function spreadOf({ firstQuartile, thirdQuartile }: Summary): number {
  return thirdQuartile - firstQuartile;
}

/** Sample by sample: repetition i of all together. */
export function sumSamples(lists: readonly (readonly number[])[]): readonly number[] {
  const length = Math.min(...lists.map((list) => list.length));
  return Array.from({ length }, (_, at) => lists.reduce((sum, list) => sum + (list[at] as number), 0));
}
