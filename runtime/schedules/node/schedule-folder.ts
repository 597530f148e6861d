import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { explainFailure } from '../../../frontend/checkpoint/node/file-source.js';
import { writeFileAtomically } from '../../../frontend/checkpoint/node/write-file.js';
import { cacheFolder } from '../../node/cache-folder.js';
import type { ScheduleStore } from '../schedule-store.js';

/** Tables of schedules in a folder, by default in the user's folder for caches; undefined when nothing is to be kept there. */
export function openScheduleFolder(given: string | undefined = cacheFolder()): ScheduleStore | undefined {
  if (given === undefined) return undefined;
  const folder = join(given, 'schedules');
  return {
    place: folder,
    read: async (name) => {
      const path = join(folder, name);
      return explainFailure(path, 'read', () =>
        readFile(path).catch((error: unknown) => {
          if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
          throw error;
        }),
      );
    },
    write: async (name, bytes) => {
      await explainFailure(folder, 'made', () => mkdir(folder, { recursive: true }));
      await writeFileAtomically(join(folder, name), bytes);
    },
  };
}
