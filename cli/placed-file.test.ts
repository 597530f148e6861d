import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { requireRoom } from './free-space.js';
import { type WritableFile, writePlacedFile } from './placed-file.js';

const folder = mkdtempSync(join(tmpdir(), 'flux2c-placed-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** A file on a disk that is full after `room` bytes; it takes at most 3 at a time. */
function fullDisk(room: number, closed: string[]): (path: string) => Promise<WritableFile> {
  return async (path) => ({
    write: async (_bytes, _offset, length) => {
      if (room === 0) throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
      const bytesWritten = Math.min(3, length, room);
      room -= bytesWritten;
      return { bytesWritten };
    },
    sync: async () => undefined,
    close: async () => void closed.push(path),
  });
}

describe('a file whose pieces come in any order', () => {
  it('has each where it belongs', async () => {
    const path = join(folder, 'pieces');
    await writePlacedFile(path, 6, async (put) => {
      await put(4, Uint8Array.of(5, 6));
      await Promise.all([put(2, Uint8Array.of(3, 4)), put(0, Uint8Array.of(1, 2))]);
    });
    expect([...readFileSync(path)]).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it('says which file has no room, how large it is and what to do, and is closed', async () => {
    const closed: string[] = [];
    const writing = writePlacedFile('there/weights-vae.safetensors', 10, (put) => put(0, new Uint8Array(10)), fullDisk(7, closed)); // prettier-ignore
    await expect(writing).rejects.toMatchObject({
      code: 'F2C711',
      detail: {
        where: ['weights-vae.safetensors'],
        expected: 'room for 10 bytes',
        found: expect.stringContaining('ENOSPC') as string,
        hint: expect.stringContaining('The disk is full') as string,
      },
    });
    expect(closed).toEqual(['there/weights-vae.safetensors']);
    await writePlacedFile('there/again', 7, (put) => put(0, new Uint8Array(7)), fullDisk(7, closed));
  });

  it('is closed when its content cannot be had', async () => {
    const closed: string[] = [];
    const failing = writePlacedFile('x', 1, () => Promise.reject(new Error('no content')), fullDisk(1, closed));
    await expect(failing).rejects.toThrow('no content');
    expect(closed).toEqual(['x']);
  });
});

describe('room on the disk', () => {
  it('is asked for before anything is written', async () => {
    const free = async (): Promise<number> => 2 ** 30;
    await requireRoom('out/artifact', 2 ** 30, free);
    await expect(requireRoom('out/artifact', 2 ** 30 + 1, free)).rejects.toMatchObject({
      code: 'F2C712',
      detail: { where: ['out/artifact'], expected: expect.stringContaining('1.00 GiB') as string },
    });
    await requireRoom('out/artifact', Infinity, async () => undefined);
  });

  it('is that of the folder that will hold it, made already or not', async () => {
    await requireRoom(join(folder, 'not/made/yet'), 1);
    await expect(requireRoom(join(folder, 'not/made/yet'), 2 ** 80)).rejects.toMatchObject({ code: 'F2C712' });
  });
});
