/** Whether the disk has room for what is to be written. */
import { statfs } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { Flux2cError } from '../ir/diagnostics.js';
import { formatBytes } from './inspect/format.js';

/**
 * Refuses to begin what the disk has no room for; an artifact that is to be replaced stays until the new one is whole. Where the file system
 * does not say what is free, nothing is refused. `freeBytesOf` says it of a folder.
 *
 * @throws Flux2cError F2C712
 */
export async function requireRoom(
  path: string,
  byteLength: number,
  freeBytesOf: (folder: string) => Promise<number | undefined> = askFileSystem,
): Promise<void> {
  const free = await freeBytesOf(dirname(resolve(path)));
  if (free === undefined || byteLength <= free) return;
  throw new Flux2cError('F2C712', 'the disk has no room for the artifact', {
    where: [path],
    expected: `${byteLength} bytes (${formatBytes(byteLength)})`,
    found: `${free} bytes (${formatBytes(free)}) that are free`,
    hint: 'Make room, or choose a folder on another disk with -o.',
  });
}

/** Of the folder or, before it is made, of the nearest one above that is there. */
async function askFileSystem(folder: string): Promise<number | undefined> {
  try {
    const { bavail, bsize } = await statfs(folder);
    return bavail * bsize;
  } catch {
    const above = dirname(folder);
    return above === folder ? undefined : askFileSystem(above);
  }
}
