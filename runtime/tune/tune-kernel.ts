/** The search for a faster schedule of one kernel. */
import { Flux2cError } from '../../ir/diagnostics.js';
import { forEachExpression } from '../../ir/kernel/statements.js';
import type { ThreadKernel } from '../../ir/kernel/thread.js';
import type { Schedule } from '../../ir/kernel/tile.js';
import type { CompiledKernel } from '../../passes/compiled.js';
import { listCandidates } from '../../passes/kernel/schedule-candidates.js';
import type { Sequence } from '../device.js';
import { instantiatePlan } from '../instantiate.js';
import type { BoundStep, PlannedLaunch } from '../plan/bound-plan.js';
import { distanceOf, LaunchSample, type Output, type SampleLaunch, toleranceOf } from './launch-sample.js';
import { race, roundsToHope, type Runner } from './race.js';
import type { KernelTuning, TuneRequest } from './tuning.js';

/** A kernel and its largest launch. */
export interface KernelLaunches {
  readonly kernel: CompiledKernel;
  readonly label: string;
  readonly count: number;
}

const margin = 0.05;
const rounds = 7;
const roundsToConfirm = 15;
/** Shorter launches are repeated in a submission until they take so long. */
const shortestMilliseconds = 1;
const mostRepeats = 64;
/**
 * Kernels that are so much longer than the chosen one, or load in so many more places, are left out: few are faster, and drivers take long
 * to compile them. Those that compute on the processor may take minutes and gigabytes (SwiftShader, attention of twice as many queries).
 */
const longest = { times: 4, inSoftware: 1.5, more: 300 };
const mostLoads = { times: 4, inSoftware: 2, more: 30 };
/** Drivers compile on several threads. */
const compiledAtOnce = 4;
/** The search goes on from the best that it has found so often. */
const generations = 3;

/** The first iteration of loops, which are what takes time; everything where there is none. */
export function repeated(steps: readonly BoundStep[]): readonly PlannedLaunch[] {
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

interface Found {
  readonly schedule: Schedule;
  /** Milliseconds of a launch. */
  readonly time: number;
}

export class KernelTuner {
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
    let best: Found | undefined;
    try {
      for (let generation = 0; generation < generations && !this.isOver(end); generation++) {
        const before = best?.schedule;
        best = await this.searchAround(before, first, end);
        if (best === undefined || best.schedule === before) break;
      }
      best &&= await this.confirm(best.schedule, first);
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

  /**
   * The fastest of `around`, the best so far, and of those near it that have not been tried: undefined where none beats the chosen one, as
   * `around` may have done by chance.
   */
  private async searchAround(around: Schedule | undefined, first: Candidate, end: number): Promise<Found | undefined> {
    const { facts } = this.launches.kernel;
    const untried = listCandidates(facts, this.request.device.target, around ?? this.chosen).filter((schedule) => {
      const text = JSON.stringify(schedule);
      if (this.tried.has(text)) return false;
      this.tried.add(text);
      return true;
    });
    const candidates: Candidate[] = [];
    try {
      if (around !== undefined) {
        const launch = this.launchUnder(around);
        candidates.push(this.candidate(around, this.record(launch, this.repeats)));
      }
      for (let at = 0; at < untried.length && !this.isOver(end); at += compiledAtOnce) {
        candidates.push(...(await this.prepareAll(untried.slice(at, at + compiledAtOnce))));
      }
      this.timed += candidates.length - (around === undefined ? 0 : 1);
      const runners = [first, ...candidates].map(({ run }) => run);
      const isOver = (behind: number): boolean =>
        this.request.signal?.aborted === true || (behind >= roundsToHope && this.now() > end);
      const { best, medians } = await race(runners, { rounds, margin, isOver });
      this.chosenTime = medians[0] ?? this.chosenTime;
      const winner = best === 0 ? undefined : candidates[best - 1];
      return winner && { schedule: winner.schedule, time: medians[best] as number };
    } finally {
      for (const { sequence } of candidates) sequence.destroy();
    }
  }

  /** Against the chosen one alone: of many that are tried, one seems fast by chance. */
  private async confirm(schedule: Schedule, first: Candidate): Promise<Found | undefined> {
    const launch = this.launchUnder(schedule);
    const again = this.candidate(schedule, this.record(launch, this.repeats));
    try {
      const { best, medians } = await race([first.run, again.run], { rounds: roundsToConfirm, margin });
      this.chosenTime = medians[0] ?? this.chosenTime;
      return best === 0 ? undefined : { schedule, time: medians[1] as number };
    } finally {
      again.sequence.destroy();
    }
  }

  private isOver(end: number): boolean {
    return this.request.signal?.aborted === true || this.now() > end;
  }

  /** The chosen schedule, on buffers that are made with it. */
  private async open(): Promise<Candidate> {
    const launch = this.launchUnder(undefined);
    await this.load([launch]);
    this.sample ??= await LaunchSample.create(this.request.device, launch);
    this.tried.add(JSON.stringify(this.chosen));
    this.texts.add(textOf(launch.kernel.thread));
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

  /** Compiles some together and checks them: those that fit and compute the right thing. */
  private async prepareAll(schedules: readonly Schedule[]): Promise<readonly Candidate[]> {
    const fitting = schedules.flatMap((schedule) => {
      const launch = refused(() => this.launchUnder(schedule));
      return launch === undefined || !this.isWorthwhile(launch) ? [] : [{ schedule, launch }];
    });
    await this.load(fitting.map(({ launch }) => launch)).catch(() => undefined);
    const candidates: Candidate[] = [];
    for (const { schedule, launch } of fitting) {
      if (this.request.signal?.aborted === true) break;
      try {
        // One that a driver does not compile fails alone.
        await this.load([launch]);
      } catch (error) {
        if (error instanceof Flux2cError && ['F2C511', 'F2C542'].includes(error.code)) continue;
        throw error;
      }
      const candidate = await this.check(schedule, launch);
      if (candidate !== undefined) candidates.push(candidate);
    }
    return candidates;
  }

  private async load(launches: readonly SampleLaunch[]): Promise<void> {
    const kernels = launches.map(({ kernel: { name, thread, source } }) => ({ name, kernel: thread, source }));
    await this.request.device.loadKernels(kernels);
  }

  /** Many a schedule differs in what does not matter to the kernel; some take drivers long to compile. */
  private isWorthwhile({ kernel }: SampleLaunch): boolean {
    const text = textOf(kernel.thread);
    if (this.texts.has(text)) return false;
    this.texts.add(text);
    const [size, chosen] = [sizeOf(kernel.thread), sizeOf(this.launches.kernel.thread)];
    const { stagingPays, loops } = this.request.device.target;
    const factor = !stagingPays && loops === undefined ? 'inSoftware' : 'times';
    return (
      size.expressions <= longest[factor] * chosen.expressions + longest.more &&
      size.loads <= mostLoads[factor] * chosen.loads + mostLoads.more
    );
  }

  private async check(schedule: Schedule, launch: SampleLaunch): Promise<Candidate | undefined> {
    const { sample } = this;
    const once = sample?.record(launch, 1);
    if (sample === undefined || once === undefined) return undefined;
    const outputs = await sample.outputsOf(once);
    once.destroy();
    if (distanceOf(outputs, this.want) <= toleranceOf(this.want)) {
      return this.candidate(schedule, this.record(launch, this.repeats));
    }
    this.wrong.push(schedule);
    return undefined;
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

/** Undefined where a schedule does not fit the kernel, or its launch the device. */
function refused(make: () => SampleLaunch): SampleLaunch | undefined {
  try {
    return make();
  } catch (error) {
    if (error instanceof Flux2cError && ['F2C304', 'F2C312'].includes(error.code)) return undefined;
    throw error;
  }
}

function textOf({ body, workgroupSize }: ThreadKernel): string {
  return JSON.stringify([workgroupSize, body]);
}

function sizeOf({ body }: ThreadKernel): { readonly expressions: number; readonly loads: number } {
  let [expressions, loads] = [0, 0];
  forEachExpression(body, ({ kind }) => {
    expressions++;
    if (kind === 'load') loads++;
  });
  return { expressions, loads };
}
