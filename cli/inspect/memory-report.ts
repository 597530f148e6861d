/** What a function needs in memory, and what budgets cost in time. */
import type { Target } from '../../backends/target.js';
import type { DimBinding } from '../../ir/dim.js';
import { nextTile } from '../../models/flux2/decode-picture.js';
import type { NetworkName } from '../../models/flux2/networks.js';
import { type DeviceCosts, usualCosts } from '../../runtime/memory/device-costs.js';
import { countKeptBytes } from '../../runtime/memory/host-kept.js';
import { leastBudget, type PlannedMemory, planWithinBudget, uploadsBeside } from '../../runtime/memory/plan-memory.js';
import type { CostOptions } from '../memory-options.js';
import type { InspectedFunction } from './subject.js';

export interface MemoryRequestOptions extends CostOptions {
  /** Default: several, from the smallest that works to all that there is. */
  readonly budgetBytes?: number;
  readonly hostBytes?: number;
}

export interface FunctionMemory {
  readonly name: NetworkName;
  /** Everything on the device. */
  readonly wholeBytes: number;
  /** With less the function does not run. */
  readonly leastBytes: number;
  /** Of the decoder, which takes large pictures in tiles where the whole has no room: tokens a side, and the least that works then. */
  readonly tiles: readonly { readonly size: number; readonly leastBytes: number }[];
  readonly arenaBytes: number;
  readonly boundaryBytes: number;
  readonly costs: DeviceCosts;
  readonly budgets: readonly BudgetReport[];
}

/** Seconds are predictions. */
export interface BudgetReport {
  readonly budgetBytes: number;
  readonly deviceBytes: number;
  readonly residentBytes: number;
  readonly ringBytes: number;
  /** Uploaded in a step, or in a run without steps. */
  readonly streamedBytes: number;
  /** Streamed weights that host memory keeps. */
  readonly hostBytes: number;
  readonly launches: number;
  /** Reading what stays on the device and what host memory keeps from their files. */
  readonly loadSeconds: number;
  readonly stepSeconds: number;
  readonly idealStepSeconds: number;
  /** A run, without loading. */
  readonly seconds: number;
}

export interface ReportedMemory {
  readonly memory: FunctionMemory;
  /** The plan of the one budget that was asked for, or of the middle one. */
  readonly planned: PlannedMemory;
  /** Uploads run beside launches. */
  readonly isBeside: boolean;
}

/** Errors of `planWithinBudget`. */
export function reportMemory(
  { name, plan, kernels }: InspectedFunction,
  sizes: DimBinding,
  target: Target,
  options: MemoryRequestOptions,
): ReportedMemory {
  const costs = costsOf(target, options);
  const { hostBytes } = options;
  const planFor = (deviceBytes: number): PlannedMemory =>
    planWithinBudget(plan, sizes, target, kernels, {
      deviceBytes,
      costs,
      ...(hostBytes !== undefined && { hostBytes }),
    });
  const whole = planFor(Infinity);
  const leastBytes = leastBudget(plan, sizes, target, kernels);
  const budgets = options.budgetBytes === undefined ? ladder(leastBytes, whole.deviceBytes) : [options.budgetBytes];
  const planned = budgets.map((budget) => ({ budget, plan: budget >= whole.deviceBytes ? whole : planFor(budget) }));
  const memory: FunctionMemory = {
    name,
    wholeBytes: whole.deviceBytes,
    leastBytes,
    tiles:
      name === 'vae_decoder'
        ? tileSizes(sizes).map((size) => ({
            size,
            leastBytes: leastBudget(plan, { ...sizes, h: size, w: size }, target, kernels),
          }))
        : [],
    arenaBytes: whole.bound.memory.arenaBytes,
    boundaryBytes: whole.bound.memory.boundaryBytes,
    costs,
    budgets: planned.map(({ budget, plan: one }) => describeBudget(budget, one, costs)),
  };
  return { memory, planned: planned[planned.length >> 1]!.plan, isBeside: uploadsBeside(target) };
}

/** Sides that the pipeline tries, from the longer one of the picture on. */
function tileSizes({ h = 0, w = 0 }: DimBinding): readonly number[] {
  const tiles: number[] = [];
  for (let size = nextTile(Math.max(h, w)); size !== undefined; size = nextTile(size)) tiles.push(size);
  return tiles;
}

function costsOf(target: Target, { bandwidth, disk, compute }: CostOptions): DeviceCosts {
  return {
    ...usualCosts(target),
    ...(bandwidth !== undefined && { uploadBytes: bandwidth * 1e9 }),
    ...(disk !== undefined && { diskBytes: disk * 1e9 }),
    ...(compute !== undefined && { flop: compute * 1e12 }),
  };
}

/** Memory that devices have, between the least and all; quarters where none of them is. */
function ladder(least: number, whole: number): readonly number[] {
  const usual = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 80].map((gibibytes) => gibibytes * 2 ** 30);
  const between = usual.filter((bytes) => bytes > least && bytes < whole);
  const quarters = [1, 2, 3].map((part) => Math.ceil(least + (part * (whole - least)) / 4));
  return [...new Set([least, ...(between.length > 0 ? between : quarters), whole])].filter((bytes) => bytes >= least);
}

/** What a plan within a budget holds, moves and is predicted to take. */
export function describeBudget(
  budgetBytes: number,
  { bound, prediction, deviceBytes }: PlannedMemory,
  costs: DeviceCosts,
): BudgetReport {
  const { stepSeconds, idealStepSeconds, seconds, streamedBytes } = prediction;
  const hostBytes = countKeptBytes(bound);
  const loop = bound.steps.find((step) => step.kind === 'loop');
  const steps = loop?.kind === 'loop' && loop.count > 0 ? loop.iteration(0) : bound.steps;
  return {
    budgetBytes,
    deviceBytes,
    residentBytes: bound.memory.weightBytes,
    ringBytes: bound.memory.ringBytes ?? 0,
    streamedBytes,
    hostBytes,
    loadSeconds: (bound.memory.weightBytes + hostBytes) / costs.diskBytes,
    launches: steps.filter(({ kind }) => kind === 'launch').length,
    stepSeconds,
    idealStepSeconds,
    seconds,
  };
}
