import type { Target } from '../backends/target.js';
import { Flux2cError } from '../ir/diagnostics.js';
import type { DimBinding } from '../ir/dim.js';
import type { HostStep, Plan } from '../ir/plan.js';
import { AccessWindows } from './plan/access-windows.js';
import type { BoundPlan, BoundStep, LoadableKernel, Placement, PlannedCopy, Segment } from './plan/bound-plan.js';
import { cutLaunch } from './plan/cut-launch.js';
import type { CutContext } from './plan/cut-launch.js';
import { findLifetimes } from './plan/liveness.js';
import { placeStorages } from './plan/place-storages.js';
import { SizeScope, sizeSteps, stepsOfIteration } from './plan/size-plan.js';
import type { SizedCopy, SizedLaunch, SizedStep } from './plan/size-plan.js';
import { roundUp } from './plan/storage-layout.js';

/**
 * Makes a plan concrete: evaluates its dimensions, drops what does nothing for these sizes, places storages in buffers
 * by liveness and cuts launches to the target's limits. Touches no device.
 *
 * @param sizes values of all symbols of the plan but those of its loops
 * @param kernels the module's kernels by name
 * @throws F2C102 a size is missing, F2C310 a negative one, F2C311 a tensor larger than a buffer, F2C312 a launch that
 *   does not fit the target, F2C313 an index that does not fit 32 bits
 */
export function instantiatePlan(
  plan: Plan,
  sizes: DimBinding,
  target: Target,
  kernels: ReadonlyMap<string, PlannedKernel>,
  options: InstantiateOptions = {},
): BoundPlan {
  const scope = new SizeScope(sizes);
  const sized = sizeSteps(plan.steps, scope);
  const liveness = findLifetimes(sized, new Set(plan.results.map(({ storage }) => storage)));
  const { buffers, placements, memory } = placeStorages(plan, scope, target, liveness, options.maxWeightBytes);
  const binder = new StepBinder(kernels, { target, storages: plan.storages, placements });
  const steps = binder.bindAll(sized);
  const hostSteps = plan.steps.filter((step): step is HostStep => step.kind === 'host');
  return { plan, sizes, target, buffers, placements, hostSteps, steps, memory };
}

export interface InstantiateOptions {
  /** Larger weights are divided into buffers of their own, and launches with them. Default: the target's largest buffer. */
  readonly maxWeightBytes?: number;
}

/** What of a kernel a plan is instantiated with. */
export type PlannedKernel = Pick<LoadableKernel, 'thread' | 'accesses'>;

class StepBinder {
  /** By kernel and sizes: a model's blocks share them. */
  private readonly windows = new Map<string, AccessWindows>();
  /** Steps that several iterations share are bound once. */
  private readonly bound = new WeakMap<SizedStep, readonly BoundStep[]>();

  constructor(
    private readonly kernels: ReadonlyMap<string, PlannedKernel>,
    private readonly context: CutContext,
  ) {}

  bindAll(steps: readonly SizedStep[]): readonly BoundStep[] {
    return steps.flatMap((step) => this.bind(step));
  }

  private bind(step: SizedStep): readonly BoundStep[] {
    let steps = this.bound.get(step);
    if (steps === undefined) {
      steps = this.bindNew(step);
      this.bound.set(step, steps);
    }
    return steps;
  }

  private bindNew(step: SizedStep): readonly BoundStep[] {
    switch (step.kind) {
      case 'launch': {
        const kernel = this.kernels.get(step.step.kernel);
        if (kernel !== undefined) return cutLaunch(step, kernel.thread, this.windowsOf(step, kernel), this.context);
        throw new Flux2cError('F2C314', 'the artifact lacks a kernel of the plan', {
          where: [step.step.label],
          expected: step.step.kernel,
          hint: 'Compile the module again.',
        });
      }
      case 'copy':
        return [this.bindCopy(step)];
      case 'loop': {
        const { symbol, carried } = step.step;
        const isUniform = step.slots.every(({ isVarying }) => !isVarying);
        const first = this.bindAll(stepsOfIteration(step, 0));
        const iteration = (index: number): readonly BoundStep[] =>
          isUniform || index === 0 ? first : this.bindAll(stepsOfIteration(step, index));
        return [{ kind: 'loop', symbol, count: step.count, isUniform, iteration, carried }];
      }
    }
  }

  private windowsOf({ step, parameters }: SizedLaunch, { accesses }: PlannedKernel): AccessWindows {
    const key = [step.kernel, ...parameters.values()].join(' ');
    let windows = this.windows.get(key);
    if (windows === undefined) {
      windows = new AccessWindows(accesses, parameters);
      this.windows.set(key, windows);
    }
    return windows;
  }

  private bindCopy({ step, fromOffset, toOffset, size }: SizedCopy): PlannedCopy {
    const from = this.locate(step.from.storage, fromOffset, size, step.label);
    const to = this.locate(step.to.storage, toOffset, size, step.label);
    const exact = size * from.elementBytes;
    const byteLength = roundUp(exact, 4);
    // Whole words: the padding of a storage's end may be copied along, a neighbour may not.
    const isWhole = byteLength === exact || toOffset + size === to.segment.end;
    if (from.elementBytes !== to.elementBytes || from.byteOffset % 4 !== 0 || to.byteOffset % 4 !== 0 || !isWhole) {
      throw new Error(`internal: the copy ${step.label} does not move whole words`);
    }
    const place = ({ segment, byteOffset }: CopyEnd): { buffer: number; byteOffset: number } => ({
      buffer: segment.buffer,
      byteOffset,
    });
    return {
      kind: 'copy',
      label: step.label,
      from: { storage: step.from.storage, ...place(from) },
      to: { storage: step.to.storage, ...place(to) },
      byteLength,
    };
  }

  private locate(storage: number, offset: number, size: number, label: string): CopyEnd {
    const { elementBytes, segments } = this.context.placements[storage] as Placement;
    const segment = segments.find((candidate) => offset >= candidate.start && offset + size <= candidate.end);
    if (segment === undefined) throw new Error(`internal: the copy ${label} leaves storage ${storage}`);
    return { segment, elementBytes, byteOffset: segment.byteOffset + (offset - segment.start) * elementBytes };
  }
}

interface CopyEnd {
  readonly segment: Segment;
  readonly elementBytes: number;
  readonly byteOffset: number;
}
