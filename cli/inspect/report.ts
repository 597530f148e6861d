/** What there is to say about a compiled function for given sizes, as plain data. */
import type { DimBinding } from '../../ir/dim.js';
import type { WeightDeclaration } from '../../ir/graph/graph.js';
import type { Schedule } from '../../ir/kernel/tile.js';
import type { Plan } from '../../ir/plan.js';
import { componentOf } from '../../models/flux2/component-functions.js';
import type { NetworkName } from '../../models/flux2/networks.js';
import { instantiatePlan } from '../../runtime/instantiate.js';
import { verifyBoundPlan } from '../../runtime/plan/verify-bound-plan.js';
import type { BoundPlan, BoundStep, MemoryReport, PlannedLaunch } from '../../runtime/plan/bound-plan.js';
import type { ScheduleChoice, ScheduleOrigin } from '../schedule-options.js';
import { describeKernel, type KernelFacts } from './describe-kernel.js';
import { blockOf } from './label-block.js';
import type { InspectedFunction, InspectedKernel, InspectSubject } from './subject.js';
import type { FunctionMemory } from './memory-report.js';
import { countElementsOf, type StoredWeight } from './stored-weights.js';
import { leastTraffic } from './traffic.js';

export interface Work {
  readonly launches: number;
  readonly flop: number;
  readonly bytes: number;
}

export interface KernelReport extends KernelFacts {
  readonly name: string;
  /** What tables of schedules know it by; undefined for kernels of artifacts, as the two below. */
  readonly key: string | undefined;
  readonly schedule: Schedule | undefined;
  readonly origin: ScheduleOrigin | undefined;
  /** Before and after the loop; all launches of a function without one. */
  readonly once: Work;
  /** In one iteration of the loop. */
  readonly step: Work;
  /** Of its first launches: what people look for. */
  readonly labels: readonly string[];
}

/** Launches by kind of block: `single` with how many of them there are. */
export interface BlockReport {
  readonly family: string;
  readonly count: number;
  readonly work: Work;
}

export interface FunctionReport {
  readonly name: NetworkName;
  readonly component: string;
  readonly sizes: DimBinding;
  readonly inputs: readonly string[];
  readonly results: readonly string[];
  /** Iterations of the loop; 0 without one. */
  readonly steps: number;
  readonly once: Work;
  readonly step: Work;
  /** Bytes that a step, or a function without a loop, moves at least (`leastTraffic`). */
  readonly leastBytes: number;
  readonly hostSteps: number;
  readonly copies: number;
  /** Of a step, or of the function without a loop; most work first. */
  readonly blocks: readonly BlockReport[];
  /** Most work first. */
  readonly kernels: readonly KernelReport[];
  readonly parameters: number;
  readonly memory: MemoryReport;
  readonly largestBinding: { readonly bytes: number; readonly label: string };
}

export interface ComponentReport {
  readonly name: string;
  readonly parameters: number;
  readonly bytes: number;
  readonly tensors: number;
  /** Element types and encodings. */
  readonly storedAs: readonly string[];
}

export interface InspectReport {
  readonly name: string;
  readonly source: InspectSubject['source'];
  readonly target: InspectSubject['target'];
  readonly build: InspectSubject['buildName'];
  readonly builds: InspectSubject['builds'];
  readonly components: readonly ComponentReport[];
  readonly functions: readonly FunctionReport[];
  /** Functions that do not fit the target with these sizes, and why. */
  readonly misfits: readonly { readonly name: NetworkName; readonly reason: string }[];
  /** Where it was asked for. */
  readonly memory?: readonly FunctionMemory[];
}

/** Binds the plan to the sizes and counts. Errors of `instantiatePlan`: sizes that do not fit the target; F2C315 of the verifier. */
export function reportFunction(
  compiled: InspectedFunction,
  sizes: DimBinding,
  target: InspectSubject['target'],
  choice: ScheduleChoice,
): { readonly report: FunctionReport; readonly bound: BoundPlan } {
  const { name, plan, kernels } = compiled;
  const bound = instantiatePlan(plan, sizes, target, kernels);
  verifyBoundPlan(bound);
  const tally = new Tally();
  tally.walk(bound.steps);
  const repeated = tally.steps > 0 ? tally.stepLaunches : tally.onceLaunches;
  const used = [...kernels.values()].filter(({ name: kernel }) => tally.labels.has(kernel));
  const report: FunctionReport = {
    name,
    component: componentOf[name],
    sizes: Object.fromEntries(symbolsOf(plan).map((symbol) => [symbol, sizes[symbol] ?? 0])),
    inputs: plan.inputs.map(({ name: input, dtype, shape }) => `${input}: ${dtype}[${shape.join(', ')}]`),
    results: plan.results.map(({ name: result, dtype, shape }) => `${result}: ${dtype}[${shape.join(', ')}]`),
    steps: tally.steps,
    once: sumWork(tally.onceLaunches),
    step: sumWork(tally.stepLaunches),
    leastBytes: leastTraffic(plan, sizes, kernels),
    hostSteps: bound.hostSteps.length,
    copies: tally.copies,
    blocks: groupByBlock(repeated),
    kernels: used
      .map((kernel) => ({
        name: kernel.name,
        once: sumWork(tally.onceLaunches.filter((launch) => launch.kernel === kernel.name)),
        step: sumWork(tally.stepLaunches.filter((launch) => launch.kernel === kernel.name)),
        labels: [...(tally.labels.get(kernel.name) ?? [])].slice(0, 3),
        ...describeOrigin(kernel, choice),
        ...describeKernel(kernel),
      }))
      .sort((a, b) => b.step.flop - a.step.flop || b.once.flop - a.once.flop || (a.name < b.name ? -1 : 1)),
    parameters: plan.weights.reduce((sum, weight) => sum + countParameters(weight), 0),
    memory: bound.memory,
    largestBinding: tally.largestBinding,
  };
  return { report, bound };
}

function describeOrigin(
  { key, schedule }: InspectedKernel,
  { schedules, origin }: ScheduleChoice,
): Pick<KernelReport, 'key' | 'schedule' | 'origin'> {
  const known = key?.();
  const isChosen = known === undefined || !schedules.has(known);
  return { key: known, schedule, origin: known === undefined ? undefined : isChosen ? 'chosen' : origin };
}

class Tally {
  readonly onceLaunches: PlannedLaunch[] = [];
  readonly stepLaunches: PlannedLaunch[] = [];
  readonly labels = new Map<string, Set<string>>();
  steps = 0;
  copies = 0;
  largestBinding = { bytes: 0, label: '' };

  walk(steps: readonly BoundStep[], inLoop = false): void {
    for (const step of steps) {
      if (step.kind === 'loop') {
        this.steps += step.count;
        if (step.count > 0) this.walk(step.iteration(0), true);
      } else if (step.kind === 'copy') this.copies++;
      else if (step.kind === 'launch') this.launch(step, inLoop);
    }
  }

  private launch(launch: PlannedLaunch, inLoop: boolean): void {
    (inLoop ? this.stepLaunches : this.onceLaunches).push(launch);
    const labels = this.labels.get(launch.kernel);
    if (labels === undefined) this.labels.set(launch.kernel, new Set([launch.label]));
    else labels.add(launch.label);
    for (const { byteLength } of launch.bindings) {
      if (byteLength > this.largestBinding.bytes) this.largestBinding = { bytes: byteLength, label: launch.label };
    }
  }
}

export function sumWork(launches: readonly Pick<PlannedLaunch, 'flop' | 'bytes'>[]): Work {
  return {
    launches: launches.length,
    flop: launches.reduce((sum, { flop }) => sum + flop, 0),
    bytes: launches.reduce((sum, { bytes }) => sum + bytes, 0),
  };
}

function groupByBlock(launches: readonly PlannedLaunch[]): readonly BlockReport[] {
  const families = new Map<string, PlannedLaunch[]>();
  const indices = new Map<string, Set<number | undefined>>();
  for (const launch of launches) {
    const block = blockOf(launch.label);
    const family = block?.family ?? 'other';
    families.set(family, [...(families.get(family) ?? []), launch]);
    indices.set(family, (indices.get(family) ?? new Set()).add(block?.index));
  }
  return [...families]
    .map(([family, members]) => ({ family, count: indices.get(family)?.size ?? 1, work: sumWork(members) }))
    .sort((a, b) => b.work.flop - a.work.flop);
}

/** The networks and the weights that functions use of them; those that several use count once. */
export function reportComponents(
  functions: readonly { readonly name: NetworkName; readonly weights: readonly StoredWeight[] }[],
): readonly ComponentReport[] {
  const components = new Map<string, Map<string, StoredWeight>>();
  for (const { name, weights } of functions) {
    const component = componentOf[name];
    const known = components.get(component) ?? new Map<string, StoredWeight>();
    for (const weight of weights) known.set(weight.name, weight);
    components.set(component, known);
  }
  return [...components].map(([name, weights]) => {
    const all = [...weights.values()];
    return {
      name,
      parameters: all.reduce((sum, { parameters }) => sum + parameters, 0),
      bytes: all.reduce((sum, { bytes }) => sum + bytes, 0),
      tensors: all.length,
      storedAs: [...new Set(all.map(({ storedAs }) => storedAs))],
    };
  });
}

/** Numbers of the model that a weight holds: none where it only has scales of others. */
function countParameters(weight: WeightDeclaration): number {
  const { source } = weight;
  if (source.kind === 'row_scales') return 0;
  if (source.kind !== 'encoded_rows') return countElementsOf(weight);
  return source.field === 'codes' ? source.of.shape.reduce((product, size) => product * size, 1) : 0;
}

function symbolsOf(plan: Plan): readonly string[] {
  const symbols = plan.inputs.flatMap(({ shape }) => shape.flatMap((dim) => dim.symbols));
  return [...new Set(symbols)].sort();
}
