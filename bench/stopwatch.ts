/** Wall and processor time of something asynchronous. */
import { type Summary, summarize } from './statistics.js';

export interface Times {
  /** Milliseconds. */
  readonly wall: Summary;
  /** Milliseconds of all threads of this process together: what software drivers compute on too. */
  readonly cpu: Summary;
}

export interface Repetition {
  readonly warmups: number;
  readonly repeats: number;
  /** Ends measuring before the next run, and compilers at work; its reason is thrown. */
  readonly signal?: AbortSignal;
}

/** Runs `work` `warmups` times, then measures `repeats` runs of it. */
export async function measure(work: () => Promise<void>, { warmups, repeats, signal }: Repetition): Promise<Times> {
  for (let run = 0; run < warmups; run++) {
    signal?.throwIfAborted();
    await work();
  }
  const wall: number[] = [];
  const cpu: number[] = [];
  for (let run = 0; run < repeats; run++) {
    signal?.throwIfAborted();
    const cpuStart = process.cpuUsage();
    const start = performance.now();
    await work();
    wall.push(performance.now() - start);
    const { user, system } = process.cpuUsage(cpuStart);
    cpu.push((user + system) / 1000);
  }
  return { wall: summarize(wall), cpu: summarize(cpu) };
}
