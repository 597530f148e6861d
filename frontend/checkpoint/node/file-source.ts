import type { Stats } from 'node:fs';
import { open, stat, type FileHandle } from 'node:fs/promises';
import { Flux2cError } from '../../../ir/diagnostics.js';
import { checkRange, type ByteSource } from '../byte-source.js';

// One read of the system call returns at most 2^31 - 4096 bytes on Linux.
const LARGEST_READ = 2 ** 30;

/**
 * Opens a file for random access; it may be larger than 4 GiB. The handle is held until `close`. Reads give F2C405 once the file's size
 * or time is not what it was when it was opened: numbers of two files must not mix.
 * @throws Flux2cError F2C401, naming the file, when it does not exist, is no ordinary file or cannot be opened
 */
export async function openFileSource(path: string): Promise<ByteSource> {
  // Asked before opening, because opening a named pipe waits for its writer.
  const status = await explainFailure(path, 'opened', () => stat(path));
  if (!status.isFile()) {
    throw new Flux2cError('F2C401', 'this is not an ordinary file', {
      where: [path],
      found: status.isDirectory() ? 'a folder' : 'a device, pipe or socket',
    });
  }
  const handle = await explainFailure(path, 'opened', () => open(path, 'r'));
  const opened = await explainFailure(path, 'opened', () => handle.stat());
  return {
    name: path,
    size: opened.size,
    read: async (offset, length) => {
      const bytes = await readRange(path, handle, opened.size, offset, length);
      // Afterwards, so that what was written while the file was read is noticed, too.
      requireUnchanged(path, opened, await explainFailure(path, 'read', () => handle.stat()));
      return bytes;
    },
    close: () => explainFailure(path, 'closed', () => handle.close()),
  };
}

/**
 * Runs an operation on the file system and turns its failure into a `Flux2cError` F2C401 that names the file.
 * @param done what could not be done: `the file cannot be ${done}`
 */
export async function explainFailure<T>(path: string, done: string, operation: () => Promise<T>): Promise<T> {
  try {
    return await operation();
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
    throw new Flux2cError('F2C401', `the file cannot be ${done}`, {
      where: [path],
      found: cause instanceof Error ? cause.message : String(cause),
      ...(code === 'ENOENT' ? { hint: 'Check the path: no such file or folder exists.' } : {}),
      ...(code === 'EMFILE' ? { hint: 'Too many files are open: raise the limit with `ulimit -n`.' } : {}),
      cause,
    });
  }
}

async function readRange(
  path: string,
  handle: FileHandle,
  size: number,
  offset: number,
  length: number,
): Promise<Uint8Array<ArrayBuffer>> {
  checkRange(path, size, offset, length);
  const bytes = await explainFailure(path, 'read', async () => new Uint8Array(length));
  let done = 0;
  while (done < length) {
    const wanted = Math.min(LARGEST_READ, length - done);
    const { bytesRead } = await explainFailure(path, 'read', () => handle.read(bytes, done, wanted, offset + done));
    if (bytesRead === 0) {
      throw new Flux2cError('F2C402', 'the file became shorter while it was in use', {
        where: [path],
        expected: `${size} bytes`,
        found: `${offset + done} bytes`,
      });
    }
    done += bytesRead;
  }
  return bytes;
}

/** Throws F2C405. */
function requireUnchanged(path: string, opened: Stats, now: Stats): void {
  if (opened.size === now.size && opened.mtimeMs === now.mtimeMs) return;
  const describe = ({ size, mtime }: Stats): string => `${size} bytes, of ${mtime.toISOString()}`;
  throw new Flux2cError('F2C405', 'the file changed while it was in use', {
    where: [path],
    expected: describe(opened),
    found: describe(now),
    hint: 'Leave files with weights as they are while a model runs from them, and open it again.',
  });
}
