/** Results of a benchmark: what is written as JSON, compared and drawn. Times are milliseconds. */
import { Flux2cError } from '../ir/diagnostics.js';
import type { Ceilings } from './calibrate.js';
import type { Summary } from './statistics.js';
import type { Times } from './stopwatch.js';

/** Raised when readers of the old version could misread the new one. */
export const RESULT_VERSION = 1;
const FORMAT = 'flux2c-bench';

export interface BenchResult {
  readonly version: typeof RESULT_VERSION;
  /** ISO 8601. */
  readonly date: string;
  readonly compiler: string;
  readonly model: string;
  readonly device: string;
  readonly processor: string;
  readonly sizes: string;
  readonly ceilings: Ceilings;
  readonly functions: readonly FunctionTiming[];
  readonly stages: readonly StageTiming[];
}

/** One iteration of a function's loop, or the whole function without one. */
export interface FunctionTiming {
  readonly name: string;
  readonly isStep: boolean;
  readonly work: TimedWork;
  /** Wall and processor time of one submission of all launches. */
  readonly times: Times;
  readonly blocks: readonly BlockTiming[];
  readonly kernels: readonly KernelTiming[];
}

export interface TimedWork {
  readonly launches: number;
  readonly flop: number;
  readonly bytes: number;
}

/** All launches of a kernel together. */
export interface KernelTiming extends TimedWork {
  readonly kernel: string;
  /** Of its first launch: the same for a kernel that was compiled in another way. */
  readonly label: string;
  readonly time: Summary;
}

/** All blocks of a kind together. */
export interface BlockTiming extends TimedWork {
  readonly family: string;
  readonly count: number;
  readonly time: Summary;
}

/** A part of making a picture, from inputs in memory to results in memory. */
export interface StageTiming {
  readonly name: string;
  readonly times: Times;
}

export function encodeResult(result: BenchResult): string {
  return `${JSON.stringify({ format: FORMAT, ...result }, null, 1)}\n`;
}

/** F2C711 when the text is not a result of this version. */
export function decodeResult(text: string, file: string): BenchResult {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw noResult(file, 'no JSON', cause);
  }
  const { format, version } = (value ?? {}) as { readonly format?: unknown; readonly version?: unknown };
  if (format !== FORMAT) throw noResult(file, 'another file');
  if (version !== RESULT_VERSION) throw noResult(file, `version ${String(version)}`);
  return value as BenchResult;
}

function noResult(file: string, found: string, cause?: unknown): Flux2cError {
  return new Flux2cError('F2C711', 'this is not a result of `flux2c bench`', {
    where: [file],
    expected: `JSON of version ${RESULT_VERSION} that \`flux2c bench --json FILE\` wrote`,
    found,
    ...(cause !== undefined && { cause }),
  });
}
