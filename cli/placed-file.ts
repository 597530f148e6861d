/** Files whose pieces come in any order. */
import { open } from 'node:fs/promises';
import { basename } from 'node:path';
import { Flux2cError } from '../ir/diagnostics.js';

/** Writes bytes where they belong in the file. */
export type PutBytes = (offset: number, bytes: Uint8Array) => Promise<void>;

/** What is written of a file on disk. */
export interface WritableFile {
  write(
    bytes: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ readonly bytesWritten: number }>;
  sync(): Promise<void>;
  close(): Promise<void>;
}

const LARGEST_WRITE = 2 ** 30;

/**
 * Makes a new file of `byteLength` bytes, which `fill` writes, and flushes it to disk. On an error the file is left as it is: it
 * lies in a folder that goes as a whole. `openNew` is `open` of the file system.
 *
 * @throws Flux2cError F2C711 when it cannot be written, as on a full disk; what `fill` throws passes through
 */
export async function writePlacedFile(
  path: string,
  byteLength: number,
  fill: (put: PutBytes) => Promise<void>,
  openNew: (path: string) => Promise<WritableFile> = (file) => open(file, 'wx'),
): Promise<void> {
  const explain = async <T>(operation: () => Promise<T>): Promise<T> => {
    try {
      return await operation();
    } catch (cause) {
      throw writeError(basename(path), byteLength, cause);
    }
  };
  const file = await explain(() => openNew(path));
  const put: PutBytes = async (offset, bytes) => {
    let done = 0;
    while (done < bytes.byteLength) {
      const wanted = Math.min(LARGEST_WRITE, bytes.byteLength - done);
      done += (await explain(() => file.write(bytes, done, wanted, offset + done))).bytesWritten;
    }
  };
  try {
    await fill(put);
    await explain(() => file.sync());
  } finally {
    await explain(() => file.close());
  }
}

/** A file of the artifact that could not be written. */
export function writeError(name: string, byteLength: number, cause: unknown): Flux2cError {
  const isFull = cause instanceof Error && 'code' in cause && (cause.code === 'ENOSPC' || cause.code === 'EDQUOT');
  return new Flux2cError('F2C711', 'the artifact cannot be written', {
    where: [name],
    expected: `room for ${byteLength} bytes`,
    found: cause instanceof Error ? cause.message : String(cause),
    ...(isFull && { hint: 'The disk is full: make room, or choose a folder on another one with -o.' }),
    cause,
  });
}
