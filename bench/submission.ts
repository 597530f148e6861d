/** A compiled function's launches on buffers of their own, with made-up contents: neither weights nor inputs are needed. */
import type { DimBinding } from '../ir/dim.js';
import type { InspectedFunction } from '../cli/inspect/subject.js';
import type { Device, DeviceBuffer, Sequence } from '../runtime/device.js';
import { instantiatePlan } from '../runtime/instantiate.js';
import type { BoundPlan, BoundStep, PlannedLaunch } from '../runtime/plan/bound-plan.js';

export interface Submission {
  readonly bound: BoundPlan;
  /** Of one iteration, where the function has a loop. */
  readonly launches: readonly PlannedLaunch[];
  readonly isStep: boolean;
  /** Records some of the launches; who asks frees it. */
  record(launches: readonly PlannedLaunch[]): Sequence;
  destroy(): void;
}

/** Loads the kernels and makes the buffers. Errors of the device, and of sizes that do not fit it. */
export async function prepareSubmission(
  { plan, kernels }: Pick<InspectedFunction, 'plan' | 'kernels'>,
  sizes: DimBinding,
  device: Device,
  signal?: AbortSignal,
): Promise<Submission> {
  const bound = instantiatePlan(plan, sizes, device.target, kernels);
  const { launches, isStep } = repeatedLaunches(bound.steps);
  const used = [...kernels.values()].filter((kernel) => launches.some((launch) => launch.kernel === kernel.name));
  const loadable = used.map(({ name, thread, source }) => ({ name, kernel: thread, source }));
  await device.loadKernels(loadable, undefined, signal);
  const buffers = await allocate(bound, device);
  return {
    bound,
    launches,
    isStep,
    record: (which) => recordLaunches(which, buffers, device),
    destroy: () => buffers.forEach((buffer) => buffer.destroy()),
  };
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

export async function runAndFinish(device: Device, sequence: Sequence): Promise<void> {
  device.run(sequence);
  await device.finish();
}
