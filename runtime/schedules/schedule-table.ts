/** What a tuner found for an adapter, as data: a schedule for each kernel that is faster under another than the chosen one. */
import { parseStrictJson } from '../../frontend/checkpoint/strict-json.js';
import { Flux2cError } from '../../ir/diagnostics.js';
import type { Schedule } from '../../ir/kernel/tile.js';
import {
  boolean,
  count,
  type Decoder,
  dictionary,
  number,
  object,
  objectWith,
  oneOf,
  string,
} from '../artifact/decode.js';
import type { AdapterIdentity, AdapterLimits } from './adapter.js';
import { decodeSchedule } from './schedule-json.js';

/** Raised when readers of the old version could misread the new one. */
export const TABLE_VERSION = 1;
const FORMAT = 'flux2c-schedules';

export interface ScheduleTable {
  /** The version of flux2c that made it: others may make other kernels of the same keys. */
  readonly compiler: string;
  readonly adapter: AdapterIdentity;
  /** By kernel key (`CompiledKernel.key`). */
  readonly kernels: ReadonlyMap<string, TunedKernel>;
}

export interface TunedKernel {
  readonly schedule: Schedule;
  /** Of the launch that was timed: the values it makes, for people. */
  readonly label: string;
  /** The sizes that it was timed for. */
  readonly sizes: Readonly<Record<string, number>>;
  /** Of one launch: medians under the chosen schedule and under this one. */
  readonly milliseconds: { readonly chosen: number; readonly tuned: number };
}

export function encodeTable({ compiler, adapter, kernels }: ScheduleTable): string {
  const table = { format: FORMAT, version: TABLE_VERSION, compiler, adapter, kernels: Object.fromEntries(kernels) };
  return `${JSON.stringify(table, null, 1)}\n`;
}

/**
 * `update` over what was known of its adapter, where that is of the same version.
 *
 * @param tried kernels whose schedules are not known any more: those that `update` has none for keep the chosen one
 */
export function mergeTables(
  known: ScheduleTable | undefined,
  update: ScheduleTable,
  tried: ReadonlySet<string>,
): ScheduleTable {
  if (known?.compiler !== update.compiler) return update;
  const kept = [...known.kernels].filter(([key]) => !tried.has(key));
  return { ...update, kernels: new Map([...kept, ...update.kernels]) };
}

/** Schedules for `CompileOptions.schedules`. */
export function schedulesOf({ kernels }: ScheduleTable): ReadonlyMap<string, Schedule> {
  return new Map([...kernels].map(([key, { schedule }]) => [key, schedule]));
}

const limits: Decoder<AdapterLimits> = objectWith(
  { f16: boolean, workgroupMemory: count, stagingPays: boolean, maxWorkgroupInvocations: count },
  {
    fp8: boolean,
    subgroups: object({ min: count, max: count }),
    matrix: oneOf('mma', 'wgmma', 'subgroup'),
    subgroupProduct: object({ rows: count, columns: count, depth: count }),
    tensorCopies: boolean,
    loops: object({ vectorRegisters: count, memoryBytes: count }),
  },
);

const adapter: Decoder<AdapterIdentity> = object({
  backend: oneOf('webgpu', 'cpu', 'cuda'),
  vendor: string,
  architecture: string,
  description: string,
  limits,
});

const sizes: Decoder<TunedKernel['sizes']> = (value, at) => Object.fromEntries(dictionary(count)(value, at));

const kernel: Decoder<TunedKernel> = object({
  schedule: decodeSchedule,
  label: string,
  sizes,
  milliseconds: object({ chosen: number, tuned: number }),
});

const body = object({
  format: oneOf(FORMAT),
  version: count,
  compiler: string,
  adapter,
  kernels: dictionary(kernel),
});

/** F2C538 when the bytes are no table of this version. */
export function decodeTable(bytes: Uint8Array, file: string): ScheduleTable {
  try {
    const json = parseStrictJson(bytes, file, 'F2C538', { depth: 12, values: 1_000_000 });
    const version = json instanceof Map ? json.get('version') : undefined;
    if (version !== undefined && version !== TABLE_VERSION)
      throw noTable([file, 'version'], `${TABLE_VERSION}`, `${JSON.stringify(version)}`);
    const { compiler, adapter, kernels } = body(json, [file]);
    return { compiler, adapter, kernels };
  } catch (error) {
    if (!(error instanceof Flux2cError) || error.code !== 'F2C530') throw error;
    const { where, expected, found } = error.detail;
    throw noTable(where ?? [file], expected ?? '', found ?? '');
  }
}

function noTable(where: readonly string[], expected: string, found: string): Flux2cError {
  return new Flux2cError('F2C538', 'this is no table of schedules', {
    where,
    expected,
    found,
    hint: 'Make one anew: flux2c tune -o FILE.',
  });
}
