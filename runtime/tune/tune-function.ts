/** Looks for schedules that are faster than the chosen ones, for a function's kernels on a device. */
import type { DimBinding } from '../../ir/dim.js';
import { Flux2cError } from '../../ir/diagnostics.js';
import { forEachExpression } from '../../ir/kernel/statements.js';
import type { Schedule } from '../../ir/kernel/tile.js';
import type { CompiledKernel, CompiledModule } from '../../passes/compiled.js';
import { listCandidates } from '../../passes/kernel/schedule-candidates.js';
import type { Device, Sequence } from '../device.js';
import { instantiatePlan } from '../instantiate.js';
import type { BoundStep, PlannedLaunch } from '../plan/bound-plan.js';
import type { TunedKernel } from '../schedules/schedule-table.js';
import { distanceOf, LaunchSample, type Output, type SampleLaunch, toleranceOf } from './launch-sample.js';
import { race, roundsToHope, type Runner } from './race.js';

export interface TuneRequest {
  /** The function's name in the module. */
  readonly name: string;
  /** Compiles the module under schedules, as `prepareModule` gives it. */
  readonly make: (schedules?: ReadonlyMap<string, Schedule>) => CompiledModule;
  readonly sizes: DimBinding;
  readonly device: Device;
  /** Known already, by kernel key: they are left out. */
  readonly known?: ReadonlySet<string>;
  /** Milliseconds that may pass; what has been begun is ended. */
  readonly milliseconds: number;
  /** Ends the search with what was found. */
  readonly signal?: AbortSignal;
  readonly onKernel?: (report: KernelTuning) => void;
  /** Milliseconds; default: `performance.now`. */
  readonly now?: () => number;
}

/** What came out for one kernel. */
export interface KernelTuning {
  readonly key: string;
  readonly label: string;
  /** Launches of it in the function, or in a step of its loop. */
  readonly launches: number;
  readonly chosen: Schedule;
  readonly chosenMilliseconds: number;
  /** How many schedules were timed, besides the chosen one. */
  readonly tried: number;
  /** Absent where none is faster. */
  readonly found?: TunedKernel;
  /** Schedules under which the kernel computes something else: bugs. */
  readonly wrong: readonly Schedule[];
}

export const defaultMargin = 0.05;
const rounds = 9;
/** Shorter launches are repeated in a submission until they take so long. */
const shortestMilliseconds = 1;
const mostRepeats = 64;
/** Texts that are so many times as long as the chosen one's take drivers long to compile, and are no faster. */
const longestText = 4;
/** The search goes on from the best that it has found so often. */
const generations = 3;

/**
 * Takes the kernels by their share of the time, each with its share of the time left. Every kernel is run on buffers of its own with
 * made-up contents, so neither weights nor inputs are needed. Errors of the device and of sizes that do not fit it; a schedule that does
 * not compile is left out.
 */
export async function tuneFunction(request: TuneRequest): Promise<readonly KernelTuning[]> {
  const { device, milliseconds, signal, now = () => performance.now() } = request;
  const end = now() + milliseconds;
  const module = request.make();
  const used = launchesByKernel(module, request);
  const kernels: { tuner: KernelTuner; share: number }[] = [];
  const done: KernelTuning[] = [];
  for (const launches of used) {
    if (signal?.aborted === true || now() > end) break;
    if (request.known?.has(launches.kernel.key()) === true) continue;
    const tuner = new KernelTuner(request, launches, now);
    const time = await tuner.begin();
    kernels.push({ tuner, share: time * launches.count });
    tuner.leave();
  }
  kernels.sort((a, b) => b.share - a.share);
  let rest = kernels.reduce((sum, { share }) => sum + share, 0);
  for (const { tuner, share } of kernels) {
    const left = end - now();
    if (signal?.aborted === true || left <= 0) break;
    const report = await tuner.search(now() + (left * share) / rest);
    rest -= share;
    done.push(report);
    request.onKernel?.(report);
  }
  await device.finish();
  return done;
}

/** A kernel and its largest launch. */
interface KernelLaunches {
  readonly kernel: CompiledKernel;
  readonly label: string;
  readonly count: number;
}

function launchesByKernel(
  { plans, kernels, target }: CompiledModule,
  { name, sizes }: TuneRequest,
): readonly KernelLaunches[] {
  const plan = plans.get(name);
  if (plan === undefined) throw new Error(`internal: no function ${name}`);
  const launches = repeated(instantiatePlan(plan, sizes, target, kernels).steps);
  const byKey = new Map<string, { kernel: CompiledKernel; largest: PlannedLaunch; labels: Set<string> }>();
  for (const launch of launches) {
    const kernel = kernels.get(launch.kernel) as CompiledKernel;
    const known = byKey.get(kernel.key());
    if (known === undefined) byKey.set(kernel.key(), { kernel, largest: launch, labels: new Set([launch.label]) });
    else {
      known.labels.add(launch.label);
      if (launch.flop + launch.bytes > known.largest.flop + known.largest.bytes) known.largest = launch;
    }
  }
  return [...byKey.values()].map(({ kernel, largest, labels }) => ({
    kernel,
    label: largest.label,
    count: labels.size,
  }));
}

/** The first iteration of loops, which are what takes time; everything where there is none. */
function repeated(steps: readonly BoundStep[]): readonly PlannedLaunch[] {
  const loop = steps.find((step) => step.kind === 'loop');
  const around = steps.filter((step) => step.kind === 'launch');
  return loop === undefined ? around : [...around, ...repeated(loop.count > 0 ? loop.iteration(0) : [])];
}

/** A schedule that computes the right thing, ready to run. */
interface Candidate {
  readonly schedule: Schedule;
  readonly run: Runner;
  readonly sequence: Sequence;
}

class KernelTuner {
  private readonly key: string;
  private readonly chosen: Schedule;
  private readonly tried = new Set<string>();
  /** What became of them. */
  private readonly texts = new Set<string>();
  private readonly wrong: Schedule[] = [];
  private sample: LaunchSample | undefined;
  private want: readonly Output[] = [];
  private repeats = 1;
  private chosenTime = Infinity;
  private timed = 0;

  constructor(
    private readonly request: TuneRequest,
    private readonly launches: KernelLaunches,
    private readonly now: () => number,
  ) {
    this.key = launches.kernel.key();
    this.chosen = launches.kernel.schedule;
  }

  /** Times the chosen schedule: milliseconds of a launch. */
  async begin(): Promise<number> {
    const candidate = await this.open();
    await candidate.run();
    this.chosenTime = Math.min(await candidate.run(), await candidate.run());
    candidate.sequence.destroy();
    return this.chosenTime;
  }

  /** Gives its buffers back; `search` makes them again. */
  leave(): void {
    this.sample?.destroy();
    this.sample = undefined;
  }

  async search(end: number): Promise<KernelTuning> {
    const first = await this.open();
    let best: { readonly schedule: Schedule; readonly time: number } | undefined;
    try {
      for (let generation = 0; generation < generations && !this.isOver(end); generation++) {
        const found = await this.searchAround(best?.schedule, first, end);
        if (found === undefined) break;
        best = found;
      }
    } finally {
      first.sequence.destroy();
      this.leave();
    }
    const { label, count } = this.launches;
    return {
      key: this.key,
      label,
      launches: count,
      chosen: this.chosen,
      chosenMilliseconds: this.chosenTime,
      tried: this.timed,
      wrong: this.wrong,
      ...(best && {
        found: {
          schedule: best.schedule,
          label,
          sizes: { ...this.request.sizes },
          milliseconds: { chosen: this.chosenTime, tuned: best.time },
        },
      }),
    };
  }

  /** The fastest of those that have not been tried, if it beats the chosen one and `around`, from which they are neighbours. */
  private async searchAround(
    around: Schedule | undefined,
    first: Candidate,
    end: number,
  ): Promise<{ readonly schedule: Schedule; readonly time: number } | undefined> {
    const { facts } = this.launches.kernel;
    const untried = listCandidates(facts, this.request.device.target, around).filter((schedule) => {
      const text = JSON.stringify(schedule);
      if (this.tried.has(text)) return false;
      this.tried.add(text);
      return true;
    });
    const candidates: Candidate[] = [];
    try {
      if (around !== undefined) {
        const again = await this.prepare(around, 'again');
        if (again !== undefined) candidates.push(again);
      }
      for (const schedule of untried) {
        if (this.isOver(end)) break;
        const candidate = await this.prepare(schedule);
        if (candidate !== undefined) candidates.push(candidate);
      }
      this.timed += candidates.length - (around === undefined ? 0 : 1);
      const runners = [first, ...candidates].map(({ run }) => run);
      const isOver = (behind: number): boolean =>
        this.request.signal?.aborted === true || (behind >= roundsToHope && this.now() > end);
      const { best, medians } = await race(runners, { rounds, margin: defaultMargin, isOver });
      this.chosenTime = medians[0] ?? this.chosenTime;
      const winner = best === 0 ? undefined : candidates[best - 1];
      if (winner === undefined || JSON.stringify(winner.schedule) === JSON.stringify(around)) return undefined;
      return { schedule: winner.schedule, time: medians[best] as number };
    } finally {
      for (const { sequence } of candidates) sequence.destroy();
    }
  }

  private isOver(end: number): boolean {
    return this.request.signal?.aborted === true || this.now() > end;
  }

  /** The chosen schedule, on buffers that are made with it. */
  private async open(): Promise<Candidate> {
    const { device, signal } = this.request;
    const launch = this.launchUnder(undefined);
    await device.loadKernels([loadable(launch.kernel)], undefined, signal);
    this.sample ??= await LaunchSample.create(device, launch);
    const { body, workgroupSize } = launch.kernel.thread;
    this.tried.add(JSON.stringify(this.chosen));
    this.texts.add(JSON.stringify([workgroupSize, body]));
    const once = this.record(launch, 1);
    this.want = await this.sample.outputsOf(once);
    const time = Math.min(await this.time(once, 1), await this.time(once, 1));
    once.destroy();
    this.repeats = Math.min(mostRepeats, Math.max(1, Math.ceil(shortestMilliseconds / time)));
    return this.candidate(this.chosen, this.record(launch, this.repeats));
  }

  private record(launch: SampleLaunch, times: number): Sequence {
    const sequence = this.sample?.record(launch, times);
    if (sequence === undefined) throw new Error(`internal: ${this.key} does not fit its own buffers`);
    return sequence;
  }

  private candidate(schedule: Schedule, sequence: Sequence): Candidate {
    return { schedule, sequence, run: () => this.time(sequence, this.repeats) };
  }

  /** Compiles and checks; undefined where a schedule does not fit or computes something else. */
  private async prepare(schedule: Schedule, which: 'new' | 'again' = 'new'): Promise<Candidate | undefined> {
    const { device, signal } = this.request;
    let launch: SampleLaunch;
    try {
      launch = this.launchUnder(schedule);
      // Many a schedule differs in what does not matter to the kernel.
      const { body, workgroupSize } = launch.kernel.thread;
      const text = JSON.stringify([workgroupSize, body]);
      if (which === 'new' && this.texts.has(text)) return undefined;
      this.texts.add(text);
      if (sizeOf(launch) > longestText * sizeOf(this.launches) + 500) return undefined;
      await device.loadKernels([loadable(launch.kernel)], undefined, signal);
    } catch (error) {
      if (signal?.aborted === true) return undefined;
      // What does not fit the kernel, and what a driver does not compile.
      if (error instanceof Flux2cError && ['F2C304', 'F2C312', 'F2C511', 'F2C542'].includes(error.code))
        return undefined;
      throw error;
    }
    const once = this.sample?.record(launch, 1);
    if (once === undefined || this.sample === undefined) return undefined;
    const outputs = await this.sample.outputsOf(once);
    once.destroy();
    if (distanceOf(outputs, this.want) > toleranceOf(this.want)) {
      this.wrong.push(schedule);
      return undefined;
    }
    return this.candidate(schedule, this.record(launch, this.repeats));
  }

  private launchUnder(schedule: Schedule | undefined): SampleLaunch {
    const { make, name, sizes } = this.request;
    const module = make(schedule && new Map([[this.key, schedule]]));
    const plan = module.plans.get(name)!;
    const { steps } = instantiatePlan(plan, sizes, module.target, module.kernels);
    const pieces = repeated(steps).filter(
      ({ kernel, label }) => label === this.launches.label && module.kernels.get(kernel)?.key() === this.key,
    );
    const kernel = module.kernels.get(pieces[0]?.kernel ?? '');
    if (kernel === undefined) throw new Error(`internal: ${this.key} is not launched for ${this.launches.label}`);
    return { kernel, pieces };
  }

  private async time(sequence: Sequence, repeats: number): Promise<number> {
    const { device } = this.request;
    if (device.timeLaunches !== undefined) {
      const nanoseconds = await device.timeLaunches(sequence);
      return nanoseconds.reduce((sum, one) => sum + one, 0) / 1e6 / repeats;
    }
    const start = this.now();
    device.run(sequence);
    await device.finish();
    return (this.now() - start) / repeats;
  }
}

function loadable({ name, thread, source }: SampleLaunch['kernel']): Parameters<Device['loadKernels']>[0][number] {
  return { name, kernel: thread, source };
}

function sizeOf({ kernel }: { readonly kernel: Pick<SampleLaunch['kernel'], 'thread'> }): number {
  let count = 0;
  forEachExpression(kernel.thread.body, () => count++);
  return count;
}
