/** Times a compiled function on a device: every launch, its kernels, its blocks, one submission of all. */
import type { DimBinding } from '../ir/dim.js';
import { blockOf } from '../cli/inspect/label-block.js';
import { sumWork } from '../cli/inspect/report.js';
import type { InspectedFunction } from '../cli/inspect/subject.js';
import type { Device, Sequence } from '../runtime/device.js';
import type { PlannedLaunch } from '../runtime/plan/bound-plan.js';
import type { BlockTiming, FunctionTiming, KernelTiming } from './result.js';
import { summarize, sumSamples } from './statistics.js';
import { measure, type Repetition } from './stopwatch.js';
import { prepareSubmission, runAndFinish } from './submission.js';

/**
 * Runs on buffers of its own with made-up contents: neither weights nor inputs are needed. Of a function with a loop
 * the first iteration is timed. Errors of the device, and of sizes that do not fit it.
 */
export async function measureFunction(
  { name, plan, kernels }: InspectedFunction,
  sizes: DimBinding,
  device: Device,
  repetition: Repetition,
): Promise<FunctionTiming> {
  const submission = await prepareSubmission({ plan, kernels }, sizes, device, repetition.signal);
  const { launches, isStep } = submission;
  const record = (which: readonly PlannedLaunch[]): Sequence => submission.record(which);
  const whole = record(launches);
  try {
    const times = await measure(() => runAndFinish(device, whole), repetition);
    const samples = await timeEach(launches, whole, record, device, repetition);
    return {
      name,
      isStep,
      work: sumWork(launches),
      times,
      blocks: groupBlocks(launches, samples),
      kernels: groupKernels(launches, samples),
    };
  } finally {
    whole.destroy();
    submission.destroy();
  }
}

/** Milliseconds of each launch, for each repetition. */
async function timeEach(
  launches: readonly PlannedLaunch[],
  whole: Sequence,
  record: (launches: readonly PlannedLaunch[]) => Sequence,
  device: Device,
  repetition: Repetition,
): Promise<readonly (readonly number[])[]> {
  const samples = launches.map((): number[] => []);
  if (device.timeLaunches !== undefined) {
    for (let run = 0; run < repetition.repeats; run++) {
      const nanoseconds = await device.timeLaunches(whole);
      nanoseconds.forEach((time, at) => samples[at]?.push(time / 1e6));
    }
    return samples;
  }
  // Without a clock on the device each launch is a submission of its own, whose overhead is measured along.
  for (const [at, launch] of launches.entries()) {
    repetition.signal?.throwIfAborted();
    const single = record([launch]);
    for (let run = 0; run <= repetition.repeats; run++) {
      const start = performance.now();
      await runAndFinish(device, single);
      if (run > 0) samples[at]?.push(performance.now() - start);
    }
    single.destroy();
  }
  return samples;
}

function groupKernels(
  launches: readonly PlannedLaunch[],
  samples: readonly (readonly number[])[],
): readonly KernelTiming[] {
  return [...groupBy(launches, ({ kernel }) => kernel)]
    .map(([kernel, members]) => ({
      kernel,
      label: (launches[members[0] as number] as PlannedLaunch).label,
      ...sumWork(members.map((at) => launches[at] as PlannedLaunch)),
      time: summarize(sumSamples(members.map((at) => samples[at] ?? []))),
    }))
    .sort((a, b) => b.time.median - a.time.median);
}

function groupBlocks(
  launches: readonly PlannedLaunch[],
  samples: readonly (readonly number[])[],
): readonly BlockTiming[] {
  return [...groupBy(launches, ({ label }) => blockOf(label)?.family ?? 'other')]
    .map(([family, members]) => ({
      family,
      count: new Set(members.map((at) => blockOf((launches[at] as PlannedLaunch).label)?.index)).size,
      ...sumWork(members.map((at) => launches[at] as PlannedLaunch)),
      time: summarize(sumSamples(members.map((at) => samples[at] ?? []))),
    }))
    .sort((a, b) => b.time.median - a.time.median);
}

/** Positions by key. */
function groupBy(launches: readonly PlannedLaunch[], keyOf: (launch: PlannedLaunch) => string): Map<string, number[]> {
  const groups = new Map<string, number[]>();
  launches.forEach((launch, at) => {
    const key = keyOf(launch);
    const known = groups.get(key);
    if (known === undefined) groups.set(key, [at]);
    else known.push(at);
  });
  return groups;
}
