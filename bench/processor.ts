import { availableParallelism, cpus } from 'node:os';

/** The machine's processor, for results: `AMD EPYC, 2 threads`. */
export function describeProcessor(): string {
  return `${cpus()[0]?.model.trim() ?? 'unknown processor'}, ${availableParallelism()} threads`;
}
