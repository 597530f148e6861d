/** Which schedules kernels are compiled under: those that were tuned for the device, those of a file, or the chosen ones. */
import { readFile } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import { explainFailure } from '../frontend/checkpoint/node/file-source.js';
import type { CompileOptions } from '../passes/compile.js';
import type { Device } from '../runtime/device.js';
import { openScheduleFolder } from '../runtime/schedules/node/schedule-folder.js';
import { readTable } from '../runtime/schedules/schedule-store.js';
import { decodeTable, type ScheduleTable, schedulesOf } from '../runtime/schedules/schedule-table.js';
import { isArtifact } from './artifact-folder.js';
import { contradiction } from './options.js';
import { VERSION } from './version.js';

export interface ScheduleOptions {
  /** A file, or `none`. */
  readonly schedules?: string;
}

/** Where a kernel's schedule comes from. */
export type ScheduleOrigin = 'chosen' | 'tuned' | 'given';

export interface ScheduleChoice {
  /** By kernel key. */
  readonly schedules: NonNullable<CompileOptions['schedules']>;
  /** Of the schedules: of those kernels that have none it is `chosen`. */
  readonly origin: ScheduleOrigin;
}

const chosen: ScheduleChoice = { schedules: new Map(), origin: 'chosen' };

export function addScheduleOption(command: Command): Command {
  return command.addOption(
    new Option(
      '--schedules <file>',
      "kernels' schedules, as `flux2c tune -o` writes them, or `none` (default: those that were tuned for the device)",
    ),
  );
}

/**
 * The schedules for a device, and a sentence about them where they are not the chosen ones.
 *
 * @param device undefined where kernels are compiled for no device in particular
 * @throws F2C401, F2C538 a file that cannot be read, F2C703 a file for a model whose kernels are compiled
 */
export async function loadScheduleChoice(
  { schedules: given }: ScheduleOptions,
  model: string | undefined,
  device: Pick<Device, 'target' | 'description' | 'adapter'> | undefined,
  notice: (sentence: string) => void,
): Promise<ScheduleChoice> {
  if (given === 'none') return chosen;
  if (model !== undefined && (await isArtifact(model))) {
    if (given === undefined) return chosen;
    throw contradiction(
      'an artifact has kernels already',
      'Leave out --schedules, or compile the model again with it.',
    );
  }
  if (given !== undefined) {
    const table = decodeTable(await explainFailure(given, 'read', () => readFile(given)), given);
    notice(`${describeCount(table)} from ${given}, tuned on ${table.adapter.description}.`);
    return { schedules: schedulesOf(table), origin: 'given' };
  }
  const store = openScheduleFolder();
  if (store === undefined || device === undefined) return chosen;
  const table = await readTable(store, device);
  if (table === undefined) return chosen;
  if (table.compiler !== VERSION) {
    notice(`Schedules that flux2c ${table.compiler} tuned for this device are left aside: flux2c tune makes new ones.`);
    return chosen;
  }
  if (table.kernels.size === 0) return chosen;
  notice(`${describeCount(table)} tuned for this device; --schedules none leaves them out.`);
  return { schedules: schedulesOf(table), origin: 'tuned' };
}

function describeCount({ kernels }: ScheduleTable): string {
  return `Schedules of ${kernels.size} kernel${kernels.size === 1 ? '' : 's'}`;
}
