import { randomBytes } from 'node:crypto';
import { unlinkSync } from 'node:fs';
import { open, rename, unlink, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { explainFailure } from './file-source.js';

const LARGEST_WRITE = 2 ** 30;
const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Files being written in this process; removed when it is told to end. */
const unfinished = new Set<string>();

/**
 * Writes a file so that a reader sees either the old file or the whole new one: the data go to a file beside it with a
 * random suffix, are flushed to disk, and take the name at the end. On an error, a signal or the end of the process
 * the unfinished file is removed. A symbolic link at `path` is replaced, not followed.
 * @param content the bytes, or chunks of them as they become available
 * @throws Flux2cError F2C401 naming the file; what `content` throws passes through
 */
export async function writeFileAtomically(
  path: string,
  content: Uint8Array | AsyncIterable<Uint8Array>,
): Promise<void> {
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  markUnfinished(temporary);
  try {
    const handle = await explainFailure(path, 'written', () => open(temporary, 'wx'));
    try {
      const chunks = content instanceof Uint8Array ? [content] : content;
      for await (const chunk of chunks) await writeAll(path, handle, chunk);
      await explainFailure(path, 'written', () => handle.sync());
    } finally {
      await explainFailure(path, 'closed', () => handle.close());
    }
    await explainFailure(path, 'written', () => rename(temporary, path));
  } catch (error) {
    await unlink(temporary).catch(() => undefined); // it may never have been made
    throw error;
  } finally {
    markFinished(temporary);
  }
  await syncFolder(dirname(path));
}

async function writeAll(path: string, handle: FileHandle, bytes: Uint8Array): Promise<void> {
  let done = 0;
  while (done < bytes.byteLength) {
    const wanted = Math.min(LARGEST_WRITE, bytes.byteLength - done);
    const { bytesWritten } = await explainFailure(path, 'written', () => handle.write(bytes, done, wanted));
    done += bytesWritten;
  }
}

/** Makes the new name itself survive a loss of power. Some file systems cannot flush a folder; the data are safe then. */
async function syncFolder(folder: string): Promise<void> {
  try {
    const handle = await open(folder, 'r');
    await handle.sync().finally(() => handle.close());
  } catch {
    return;
  }
}

function markUnfinished(file: string): void {
  if (unfinished.size === 0) {
    for (const signal of signals) process.on(signal, endBySignal);
    process.on('exit', removeUnfinished);
  }
  unfinished.add(file);
}

function markFinished(file: string): void {
  unfinished.delete(file);
  if (unfinished.size > 0) return;
  for (const signal of signals) process.off(signal, endBySignal);
  process.off('exit', removeUnfinished);
}

function removeUnfinished(): void {
  for (const file of unfinished) {
    try {
      unlinkSync(file);
    } catch {
      continue; // not made yet, or renamed a moment ago
    }
  }
}

function endBySignal(signal: NodeJS.Signals): void {
  removeUnfinished();
  process.off(signal, endBySignal);
  // Listening took away the default action, which is to end the process. A program with a listener of its own decides.
  if (process.listenerCount(signal) === 0) process.kill(process.pid, signal);
}
