/** Where tables of schedules are kept, one for each adapter: a folder (`node/schedule-folder.ts`), or a browser's private files. */
import { Flux2cError } from '../../ir/diagnostics.js';
import type { Schedule } from '../../ir/kernel/tile.js';
import { sha256 } from '../artifact/manifest.js';
import type { Device } from '../device.js';
import { type AdapterIdentity, identifyAdapter } from './adapter.js';
import { decodeTable, encodeTable, mergeTables, type ScheduleTable, schedulesOf } from './schedule-table.js';

/** Small files by name. Whoever reads while another writes gets the old one or the new one. */
export interface ScheduleStore {
  /** For people: where they are. */
  readonly place: string;
  /** Undefined when there is none of the name. */
  read(name: string): Promise<Uint8Array | undefined>;
  write(name: string, bytes: Uint8Array): Promise<void>;
}

/** The file of an adapter's table. */
export async function tableName(adapter: AdapterIdentity): Promise<string> {
  const digest = await sha256(new TextEncoder().encode(JSON.stringify(adapter)));
  return `${adapter.backend}-${digest.slice(0, 16)}.json`;
}

/** The table of a device's adapter; undefined when there is none. F2C538 for one that is damaged. */
export async function readTable(
  store: ScheduleStore,
  device: Pick<Device, 'target' | 'description' | 'adapter'>,
): Promise<ScheduleTable | undefined> {
  const name = await tableName(identifyAdapter(device));
  const bytes = await store.read(name);
  return bytes === undefined ? undefined : decodeTable(bytes, `${store.place}/${name}`);
}

/**
 * Adds a table to what is known of its adapter, and gives what is known then (`mergeTables`). One that is damaged, or of another version,
 * goes.
 */
export async function writeTable(
  store: ScheduleStore,
  table: ScheduleTable,
  tried: ReadonlySet<string> = new Set(),
): Promise<ScheduleTable> {
  const name = await tableName(table.adapter);
  const bytes = await store.read(name);
  const merged = mergeTables(bytes === undefined ? undefined : readable(bytes, name), table, tried);
  await store.write(name, new TextEncoder().encode(encodeTable(merged)));
  return merged;
}

function readable(bytes: Uint8Array, name: string): ScheduleTable | undefined {
  try {
    return decodeTable(bytes, name);
  } catch (error) {
    if (error instanceof Flux2cError) return undefined;
    throw error;
  }
}

/**
 * The schedules that were tuned for a device by this version of flux2c, for `compile`'s `schedules`; undefined when there are none. F2C538
 * for a table that is damaged.
 */
export async function loadSchedules(
  store: ScheduleStore,
  device: Pick<Device, 'target' | 'description' | 'adapter'>,
  compiler: string,
): Promise<ReadonlyMap<string, Schedule> | undefined> {
  const table = await readTable(store, device);
  return table === undefined || table.compiler !== compiler || table.kernels.size === 0
    ? undefined
    : schedulesOf(table);
}
