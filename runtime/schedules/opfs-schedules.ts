import { Flux2cError } from '../../ir/diagnostics.js';
import type { ScheduleStore } from './schedule-store.js';

const folderName = 'flux2c-schedules';

/**
 * Tables of schedules in the origin private file system of a page's origin, in a page or a worker. F2C539 where there is none: in old
 * browsers and on pages that are not secure.
 */
export async function openOpfsSchedules(): Promise<ScheduleStore> {
  const storage = (globalThis.navigator as Partial<Navigator> | undefined)?.storage as
    Partial<StorageManager> | undefined;
  const root = await storage?.getDirectory?.().catch((cause: unknown) => refuse(cause));
  if (root === undefined) return refuse(undefined);
  const folder = await root.getDirectoryHandle(folderName, { create: true });
  return {
    place: `opfs:/${folderName}`,
    read: async (name) => {
      try {
        const file = await (await folder.getFileHandle(name)).getFile();
        return new Uint8Array(await file.arrayBuffer());
      } catch (error) {
        if (error instanceof DOMException && error.name === 'NotFoundError') return undefined;
        throw error;
      }
    },
    write: async (name, bytes) => {
      const handle = await folder.getFileHandle(name, { create: true });
      // What is written lies beside the file until it is closed, and takes its place then.
      const writable = await handle.createWritable();
      try {
        await writable.write(new Uint8Array(bytes));
      } catch (error) {
        await writable.abort().catch(() => undefined);
        throw error;
      }
      await writable.close();
    },
  };
}

function refuse(cause: unknown): never {
  throw new Flux2cError('F2C539', 'this page has no private files', {
    where: ['navigator.storage.getDirectory'],
    ...(cause !== undefined && { found: String(cause), cause }),
    hint: 'They need a recent browser, and a page from https:// or http://localhost.',
  });
}
