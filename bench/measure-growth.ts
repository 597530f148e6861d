/** What a denoising step costs over sizes of the request and of the network. */
import { sumWork } from '../cli/inspect/report.js';
import { type CompiledFunctions, compileFunctions } from '../models/flux2/compile-artifact.js';
import type { Flux2Description } from '../models/flux2/networks.js';
import type { WeightDTypes } from '../models/flux2/weights.js';
import type { CompileOptions } from '../passes/compile.js';
import type { Device } from '../runtime/device.js';
import { instantiatePlan } from '../runtime/instantiate.js';
import { fitGrowth, type GrowthFit, type GrowthPoint } from './fit-growth.js';
import { type GrowthVariable, growthVariables } from './growth-variables.js';
import { measure, type Repetition } from './stopwatch.js';
import { prepareSubmission, runAndFinish } from './submission.js';

/** `step`, `compile` and `instantiate` are processor milliseconds, `memory` bytes of arenas, `work` FLOP of a step. */
export const growthQuantities = ['step', 'work', 'launches', 'memory', 'compile', 'instantiate'] as const;
export type GrowthQuantity = (typeof growthQuantities)[number];

export interface GrowthSeries {
  readonly variable: string;
  readonly quantity: GrowthQuantity;
  readonly points: readonly GrowthPoint[];
  readonly fit: GrowthFit;
  /** The power with which it may grow. */
  readonly degree: 0 | 1 | 2;
  /** It grows with a higher power than that at the largest sizes, beyond what measuring is off by. */
  readonly isWorse: boolean;
}

export interface GrowthRequest {
  readonly description: Flux2Description;
  readonly dtypes: WeightDTypes;
  readonly operands?: CompileOptions['operands'];
  readonly device: Device;
  /** Tokens of the largest picture. */
  readonly largest: number;
  readonly repetition: Repetition;
  readonly onPoint: (variable: string, value: number) => void;
}

/** By how much the exponent of something measured may exceed its degree; what is counted has no noise. */
const timeTolerance = 0.2;
const countTolerance = 0.02;
const timed: ReadonlySet<GrowthQuantity> = new Set(['step', 'compile', 'instantiate']);

/** Weights and inputs are made up, so any number of blocks can be measured. Errors of the device. */
export async function measureGrowth(request: GrowthRequest): Promise<readonly GrowthSeries[]> {
  const series: GrowthSeries[] = [];
  for (const variable of growthVariables(request.largest)) {
    const points = new Map<GrowthQuantity, GrowthPoint[]>();
    for (const n of variable.values) {
      request.onPoint(variable.name, n);
      const costs = await measurePoint(variable, n, request);
      for (const quantity of growthQuantities) {
        const value = costs[quantity];
        if (value !== undefined) points.set(quantity, [...(points.get(quantity) ?? []), { n, value }]);
      }
    }
    for (const [quantity, list] of points) series.push(judge(variable, quantity, list));
  }
  return series;
}

/** Only attention's work, and with it the step's time, may be quadratic. Launches and memory are linear at most in any size. */
function judge(variable: GrowthVariable, quantity: GrowthQuantity, points: readonly GrowthPoint[]): GrowthSeries {
  const degree = quantity === 'step' || quantity === 'work' ? variable.degree : 1;
  const fit = fitGrowth(points, degree);
  const tolerance = timed.has(quantity) ? timeTolerance : countTolerance;
  return { variable: variable.name, quantity, points, fit, degree, isWorse: fit.exponent > degree + tolerance };
}

async function measurePoint(
  { sizes, network }: GrowthVariable,
  value: number,
  { description, dtypes, operands, device, repetition }: GrowthRequest,
): Promise<Readonly<Partial<Record<GrowthQuantity, number>>>> {
  const { transformer } = description;
  const grown =
    network === undefined || transformer === undefined
      ? description
      : { ...description, transformer: network(value, transformer) };
  const compile = (): CompiledFunctions =>
    compileFunctions({
      description: grown,
      functions: ['denoise'],
      target: device.target,
      dtypesOf: () => dtypes,
      ...(operands && { operands }),
    });
  const { functions, kernels } = compile();
  const { plan } = functions.get('denoise')!;
  const bind = async (): Promise<void> => void instantiatePlan(plan, sizes(value), device.target, kernels);
  const submission = await prepareSubmission({ plan, kernels }, sizes(value), device, repetition.signal);
  const sequence = submission.record(submission.launches);
  try {
    const step = await measure(() => runAndFinish(device, sequence), repetition);
    // What runs in JavaScript needs more warmups, and takes less time, than what runs on the device.
    const instantiate = await measure(bind, { ...repetition, warmups: 20, repeats: 9 });
    const often = { ...repetition, warmups: 2 };
    const compiling = network === undefined ? undefined : await measure(async () => void compile(), often);
    const { flop, launches } = sumWork(submission.launches);
    return {
      step: step.cpu.median,
      work: flop,
      launches,
      memory: submission.bound.memory.arenaBytes,
      instantiate: instantiate.cpu.median,
      ...(compiling && { compile: compiling.cpu.median }),
    };
  } finally {
    sequence.destroy();
    submission.destroy();
  }
}
