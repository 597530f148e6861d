/** Times a compiled function on a device: every launch, its kernels, its blocks, one submission of all. */
import type { DimBinding } from '../ir/dim.js';
import { blockOf } from '../cli/inspect/label-block.js';
import { sumWork } from '../cli/inspect/report.js';
import type { InspectedFunction } from '../cli/inspect/subject.js';
import type { Device, DeviceBuffer, Sequence } from '../runtime/device.js';
import { instantiatePlan } from '../runtime/instantiate.js';
import type { BoundPlan, BoundStep, PlannedLaunch } from '../runtime/plan/bound-plan.js';
import type { BlockTiming, FunctionTiming, KernelTiming } from './result.js';
import { summarize, sumSamples } from './statistics.js';
import { measure, type Repetition } from './stopwatch.js';

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
  const bound = instantiatePlan(plan, sizes, device.target, kernels);
  const { launches, isStep } = repeatedLaunches(bound.steps);
  const used = [...kernels.values()].filter((kernel) => launches.some((launch) => launch.kernel === kernel.name));
  const loadable = used.map(({ name: kernel, thread, source }) => ({ name: kernel, kernel: thread, source }));
  await device.loadKernels(loadable, undefined, repetition.signal);
  const buffers = await allocate(bound, device);
  const record = (which: readonly PlannedLaunch[]): Sequence => recordLaunches(which, buffers, device);
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
    for (const buffer of buffers) buffer.destroy();
  }
}

/** The loop's first iteration; everything where there is no loop. Copies are left out: they carry one tensor. */
function repeatedLaunches(steps: readonly BoundStep[]): {
  readonly launches: readonly PlannedLaunch[];
  readonly isStep: boolean;
} {
  const loop = steps.find((step) => step.kind === 'loop');
  const inner = loop === undefined ? steps : loop.iteration(0);
  return { launches: inner.filter((step) => step.kind === 'launch'), isStep: loop !== undefined };
}

/** About 0.01 as two bf16, as one f32, and 1.03 as two f16: nothing that grows, vanishes or is not a number. */
const filling = 0x3c233c23;
const pieceBytes = 16 * 2 ** 20;

async function allocate({ plan, buffers, placements }: BoundPlan, device: Device): Promise<readonly DeviceBuffer[]> {
  const allocated = buffers.map(({ byteLength, label }) => device.createBuffer(byteLength, label));
  const piece = new Uint8Array(new Uint32Array(pieceBytes / 4).fill(filling).buffer);
  let unfinished = 0;
  for (const { id, kind, storage } of plan.storages) {
    const isFloat = storage === 'f32' || storage === 'f16' || storage === 'bf16';
    // Indices stay 0, and temporaries are written before they are read.
    if (!isFloat || kind === 'temporary') continue;
    for (const { buffer, byteOffset, byteLength } of placements[id]?.segments ?? []) {
      for (let at = 0; at < byteLength; at += pieceBytes) {
        const bytes = piece.subarray(0, Math.min(pieceBytes, byteLength - at));
        device.write(allocated[buffer] as DeviceBuffer, byteOffset + at, bytes);
        unfinished += bytes.byteLength;
        // Devices keep copies of what is written until it has arrived.
        if (unfinished < 16 * pieceBytes) continue;
        await device.finish();
        unfinished = 0;
      }
    }
  }
  await device.finish();
  return allocated;
}

function recordLaunches(
  launches: readonly PlannedLaunch[],
  buffers: readonly DeviceBuffer[],
  device: Device,
): Sequence {
  const bound = launches.map(({ kernel, label, parameters, workgroups, bindings }) => ({
    kernel,
    label,
    parameters,
    workgroups,
    bindings: bindings.map(({ buffer, byteOffset, byteLength }) => ({
      buffer: buffers[buffer] as DeviceBuffer,
      byteOffset,
      byteLength,
    })),
  }));
  return device.record(bound, 'bench');
}

async function runAndFinish(device: Device, sequence: Sequence): Promise<void> {
  device.run(sequence);
  await device.finish();
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
