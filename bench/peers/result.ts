/** What a comparison found, as it is written to JSON. */
import { Flux2cError } from '../../ir/diagnostics.js';
import type { Summary } from '../statistics.js';
import type { ContestantKind } from './contestants.js';
import { type Numbers, tolerances } from './numbers.js';
import { printPlace, printWork, type Work } from './works.js';

export const PEERS_VERSION = 1;

export interface PeersResult {
  readonly version: typeof PEERS_VERSION;
  /** ISO 8601. */
  readonly date: string;
  readonly compiler: string;
  readonly processor: string;
  /** Of the versions that took part. */
  readonly packages: Readonly<Record<string, string>>;
  readonly works: readonly WorkResult[];
}

/** One work on one adapter, or on the processor. */
export interface WorkResult {
  readonly work: Work;
  /** What weights and inputs are, exactly. */
  readonly numbers: Numbers;
  /** `lavapipe`, a GPU's name, or `processor`. */
  readonly place: string;
  /** The place is a GPU, and processor time says nothing. */
  readonly hardware: boolean;
  readonly flop: number;
  readonly rounds: number;
  /** Rounds before and after which the processor was free. */
  readonly calmRounds: number;
  readonly contestants: readonly ContestantResult[];
}

export interface ContestantResult {
  readonly id: string;
  readonly stack: string;
  readonly kind: ContestantKind;
  readonly threads: number;
  readonly own: boolean;
  readonly fused: boolean;
  /** What it computes in. */
  readonly numbers: Numbers;
  /** ‖result − reference‖ / ‖reference‖, the worst of all processes. */
  readonly error?: number;
  /** Why there are no times. */
  readonly failure?: string;
  /** Milliseconds of a run; of calm rounds where there are enough of them. */
  readonly wall?: Summary;
  /** User and system time, divided by the threads that compute. */
  readonly cpu?: Summary;
  /** Milliseconds that the first run took longer than later ones, and pipelines before it; nothing was cached. */
  readonly compileTime?: number;
  readonly coldStart?: ColdStart;
}

/** Milliseconds from the start of a process to its first result. */
export interface ColdStart {
  /** With an empty cache of the driver and of the stack. */
  readonly empty: number;
  /** Once more, with what the first process left there. */
  readonly warm: number;
}

/** `product 512x512x512 in f16 on lavapipe`. */
export function printTask({ work, numbers, place }: Pick<WorkResult, 'work' | 'numbers' | 'place'>): string {
  return `${printWork(work)}${numbers === 'f32' ? '' : ` in ${numbers}`} on ${printPlace(place)}`;
}

/** Whether a contestant may be ranked: it has times, and its results are right. */
export function isRanked({ wall, numbers, error = Infinity }: ContestantResult): boolean {
  return wall !== undefined && error <= tolerances[numbers];
}

/** The time that ratios are made of. */
export type Clock = 'wall' | 'cpu';
export const clocks: readonly Clock[] = ['wall', 'cpu'];

/** How many times as long as `own` the other takes; undefined where one of them has no times. */
export function ratioOf(
  own: ContestantResult | undefined,
  other: ContestantResult | undefined,
  clock: Clock,
): number | undefined {
  const [mine, theirs] = [own?.[clock]?.median, other?.[clock]?.median];
  return mine === undefined || theirs === undefined ? undefined : theirs / mine;
}

/** The contestant of flux2c that another is held against: of its kind, native ones against WebAssembly, CUDA against WebGPU. */
export function ownRival(result: WorkResult, { kind, threads }: ContestantResult): ContestantResult | undefined {
  const rivalKind = kind === 'native' ? 'wasm' : kind === 'cuda' ? 'webgpu' : kind;
  return ownContestant(result, { kind: rivalKind, threads });
}

/** flux2c itself, computing in the numbers of the comparison where it does both. */
export function ownContestant(
  { contestants, numbers }: WorkResult,
  { kind, threads }: Pick<ContestantResult, 'kind' | 'threads'>,
): ContestantResult | undefined {
  const own = contestants.filter((one) => one.own && one.kind === kind && one.threads === threads);
  return own.find((one) => one.numbers === numbers) ?? own[0];
}

/** The fastest peer of the kind with so many threads whose results are right. */
export function fastestPeer(
  { contestants }: WorkResult,
  rivalry: Pick<ContestantResult, 'kind' | 'threads'>,
  clock: Clock,
): ContestantResult | undefined {
  return contestants
    .filter((one) => !one.own && one.kind === rivalry.kind && one.threads === rivalry.threads && isRanked(one))
    .sort((a, b) => (a[clock]?.median ?? Infinity) - (b[clock]?.median ?? Infinity))[0];
}

export function encodePeersResult(result: PeersResult): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify(result, null, 2)}\n`);
}

/** Reads what `--json` wrote, of earlier versions too, which knew f32 on the processor only. F2C711 for anything else. */
export function decodePeersResult(text: string, path: string): PeersResult {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw notAResult(path, 'something that is not JSON', cause);
  }
  const { version, works } = (value ?? {}) as { readonly version?: unknown; readonly works?: unknown };
  if (version === PEERS_VERSION && Array.isArray(works)) return completed(value as PeersResult);
  throw notAResult(path, `version ${JSON.stringify(version)}`);
}

function completed(result: PeersResult): PeersResult {
  const works = result.works.map((work): WorkResult => {
    const contestants = work.contestants.map((one) => ({ ...one, numbers: one.numbers ?? 'f32' }));
    return { ...work, numbers: work.numbers ?? 'f32', hardware: work.hardware ?? false, contestants };
  });
  return { ...result, works };
}

function notAResult(path: string, found: string, cause?: unknown): Flux2cError {
  return new Flux2cError('F2C711', 'this is not a result of `npm run peers`', {
    where: [path],
    expected: `version ${PEERS_VERSION}`,
    found,
    ...(cause !== undefined && { cause }),
  });
}
