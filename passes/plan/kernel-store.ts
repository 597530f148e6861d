import type { Target } from '../../backends/target.js';
import { Flux2cError } from '../../ir/diagnostics.js';
import { Dim } from '../../ir/dim.js';
import type { Schedule, TileKernel } from '../../ir/kernel/tile.js';
import type { GridAxis } from '../../ir/plan.js';
import { alone } from '../kernel/axis-spreads.js';
import { buildKernel } from '../kernel/from-group/build-kernel.js';
import { describeGroup, type KernelFacts } from '../kernel/from-group/facts.js';
import { groupKey } from '../kernel/from-group/group-key.js';
import type { KernelGroup } from '../kernel/from-group/group.js';
import { renameSymbols } from '../kernel/from-group/rename-symbols.js';
import { findAccesses } from '../kernel/find-accesses.js';
import { checkSchedule } from '../kernel/check-schedule.js';
import { checkSpreads } from '../kernel/check-spreads.js';
import { describeKernel } from '../kernel/describe-kernel.js';
import { costOfGroup } from './group-cost.js';
import { listSchedules } from '../kernel/choose-schedule.js';
import { gatherParameters, inParameters } from './kernel-parameters.js';
import { canMultiply } from '../kernel/lower/can-multiply.js';
import { lowerTile } from '../kernel/lower/lower-tile.js';
import type { CompiledKernel } from '../compiled.js';

/** A group's kernel as one launch uses it: the shared kernel and this launch's sizes. Equal groups share theirs. */
export interface KernelUse {
  readonly kernel: CompiledKernel;
  /** Values of the kernel's size parameters. */
  readonly parameters: readonly { readonly name: string; readonly value: Dim }[];
  readonly grid: readonly [GridAxis, GridAxis, GridAxis];
  /** Of the group, in the sizes of its module. */
  readonly cost: { readonly flop: Dim; readonly bytes: Dim };
}

/** Makes the backend's text from a lowered kernel, with a comment of some lines at its head. */
export type PrintKernel = (kernel: CompiledKernel['thread'], comment: string) => string;

export interface KernelStoreOptions {
  readonly print: PrintKernel;
  /** Schedules by kernel key (`CompiledKernel.key`), in place of the chosen ones. */
  readonly schedules?: ReadonlyMap<string, Schedule>;
  /** Kernels of other modules and targets, whose kernels are then those of this one too, as far as they are equal. */
  readonly cache?: KernelCache;
}

/** What was made of a group, by the text of the schedule that was given for it: empty where it was chosen. */
interface KeyedGroup {
  readonly key: () => string;
  readonly uses: Map<string, KernelUse>;
}

/**
 * Kernels of several modules and targets, each compiled once. All of them are printed in the same way. Different kernels have different
 * names.
 */
export class KernelCache {
  private readonly uses = new Map<Target, Map<string, KeyedGroup>>();
  private readonly kernels = new Map<string, { readonly text: string; readonly kernel: CompiledKernel }>();

  get(name: string, text: string): CompiledKernel | undefined {
    const known = this.kernels.get(name);
    if (known === undefined || known.text === text) return known?.kernel;
    throw new Error(`internal: two kernels are called ${name}`);
  }

  add(text: string, kernel: CompiledKernel): void {
    this.kernels.set(kernel.name, { text, kernel });
  }

  /** What was made of groups for a target, by what a store knows them by. */
  usesFor(target: Target): Map<string, KeyedGroup> {
    let uses = this.uses.get(target);
    if (uses === undefined) {
      uses = new Map();
      this.uses.set(target, uses);
    }
    return uses;
  }
}

/**
 * Kernels of a module, each once. A group like one before it is recognised before anything is built (`groupKey`), so the time
 * for the 48 single-stream blocks of dev is that for one. Groups that differ may have one kernel still: what it is called
 * after and its text after gathering its size parameters are its identity. Kernels of several modules may
 * be loaded on one device, so the text's digest keeps their names apart.
 */
export class KernelStore {
  readonly kernels = new Map<string, CompiledKernel>();
  private readonly cache: KernelCache;
  private readonly groups: Map<string, KeyedGroup>;

  constructor(
    readonly target: Target,
    private readonly options: KernelStoreOptions,
  ) {
    this.cache = options.cache ?? new KernelCache();
    this.groups = this.cache.usesFor(target);
  }

  /**
   * @throws F2C306 more storage buffers than the target binds, F2C304 a given schedule that does not fit, and what building and
   *   lowering throw
   */
  use(group: KernelGroup, hint: string): KernelUse {
    const text = `${hint} ${groupKey(group)}`;
    let known = this.groups.get(text);
    if (known === undefined) {
      known = { key: once(() => this.keyOf(group, hint)), uses: new Map() };
      this.groups.set(text, known);
    }
    const { key, uses } = known;
    const { schedules } = this.options;
    const given = schedules === undefined || schedules.size === 0 ? undefined : schedules.get(key());
    const way = given === undefined ? '' : JSON.stringify(given);
    let use = uses.get(way);
    if (use === undefined) {
      use = this.makeUse(group, hint, key, given);
      uses.set(way, use);
    }
    this.kernels.set(use.kernel.name, use.kernel);
    return use;
  }

  /** Of the tile form without tiles: a tile of one everywhere, which no target and no choice of schedules changes. */
  private keyOf(original: KernelGroup, hint: string): string {
    const { group } = renameSymbols(original);
    const spread = Object.fromEntries(describeGroup(group).axes.map(({ name }) => [name, alone]));
    const built = buildKernel(group, { spread, threadOrder: [], unroll: 1 });
    return `${hint}_${digest(textOf(gatherParameters(built).kernel))}`;
  }

  private makeUse(original: KernelGroup, hint: string, key: () => string, given: Schedule | undefined): KernelUse {
    const { group, original: names } = renameSymbols(original);
    const restored = Object.fromEntries([...names].map(([name, symbol]) => [name, Dim.symbol(symbol)]));
    const restore = (dim: Dim): Dim => dim.substitute(restored);
    this.expectFewBuffers(group, hint);
    const facts = describeGroup(group);
    const { schedule, built } =
      given === undefined ? this.build(group, facts) : this.buildUnder(given, group, facts, key());
    const { kernel, parameters } = gatherParameters(built);
    const text = `${textOf(kernel)} ${JSON.stringify(schedule)}`;
    const name = `${hint}_${digest(text)}`;
    const { flop, bytes } = costOfGroup(group);
    let compiled = this.cache.get(name, text);
    if (compiled === undefined) {
      const cost = inParameters([flop, bytes], parameters);
      compiled = { key, facts, ...this.compile({ ...kernel, name }, schedule, cost) };
      this.cache.add(text, compiled);
    }
    const grid = (['grid_x', 'grid_y', 'grid_z'] as const).map((kind): GridAxis => {
      const axis = built.axes.find((candidate) => candidate.kind === kind);
      return { extent: axis === undefined ? Dim.of(1) : restore(axis.extent), tile: axis?.tile ?? 1 };
    });
    return {
      kernel: compiled,
      parameters: parameters.map(({ name, value }) => ({ name, value: restore(value) })),
      grid: grid as [GridAxis, GridAxis, GridAxis],
      cost: { flop: restore(flop), bytes: restore(bytes) },
    };
  }

  /** The kernel under the first schedule that fits it; the last one always does. */
  private build(group: KernelGroup, facts: KernelFacts): { readonly schedule: Schedule; readonly built: TileKernel } {
    const candidates = listSchedules(facts, this.target);
    for (const schedule of candidates.slice(0, -1)) {
      const built = buildKernel(group, schedule);
      if (canMultiply(built, schedule, this.target)) return { schedule, built };
    }
    const schedule = candidates.at(-1) as Schedule;
    return { schedule, built: buildKernel(group, schedule) };
  }

  private buildUnder(
    schedule: Schedule,
    group: KernelGroup,
    facts: KernelFacts,
    key: string,
  ): { readonly schedule: Schedule; readonly built: TileKernel } {
    checkSpreads(facts, schedule, this.target, key);
    const built = buildKernel(group, schedule);
    checkSchedule({ ...built, name: key }, schedule, this.target);
    return { schedule, built };
  }

  private compile(
    tile: TileKernel,
    schedule: Schedule,
    cost: readonly Dim[] | undefined,
  ): Omit<CompiledKernel, 'key' | 'facts'> {
    const thread = lowerTile(tile, schedule);
    return {
      name: tile.name,
      tile,
      schedule,
      thread,
      accesses: findAccesses(tile),
      source: this.options.print(thread, describeKernel(tile, schedule, cost)),
    };
  }

  private expectFewBuffers({ operands, results }: KernelGroup, hint: string): void {
    const count = operands.filter(({ within }) => within === undefined).length + results.length;
    if (count <= this.target.maxStorageBuffers) return;
    throw new Flux2cError('F2C306', 'a kernel needs more storage buffers than the target has', {
      where: [hint],
      expected: `at most ${this.target.maxStorageBuffers}`,
      found: `${count}`,
      hint: 'Use a device that binds more storage buffers to a kernel.',
    });
  }
}

/** Calls a function when its value is first asked for. */
function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}

function textOf(kernel: TileKernel): string {
  return JSON.stringify(kernel, exactNumbers);
}

/** JSON writes infinities and NaN alike, and -0 as 0; kernels that differ in them are different. */
function exactNumbers(_: string, value: unknown): unknown {
  return typeof value !== 'number' || (Number.isFinite(value) && !Object.is(value, -0))
    ? value
    : Object.is(value, -0)
      ? '-0'
      : String(value);
}

/** FNV-1a over UTF-16 code units, two lanes of 32 bits folded to 8 hexadecimal digits. */
function digest(text: string): string {
  let low = 0x811c9dc5;
  let high = 0xcbf29ce4;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    low = Math.imul(low ^ unit, 0x01000193);
    high = Math.imul(high ^ unit ^ (low >>> 13), 0x01000193);
  }
  return ((low ^ (high >>> 7)) >>> 0).toString(16).padStart(8, '0');
}
