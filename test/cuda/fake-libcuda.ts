/** Builds `fake-libcuda.c`, a driver library for machines without a GPU. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, it } from 'vitest';
import { toolkitFolders } from '../../runtime/cuda/node/cuda-toolkit.js';

/** The library's path until the file's tests are over; without a C compiler or `cuda.h` a skipped test says so. Flags are the compiler's. */
export function fakeLibcuda(what: string, ...flags: readonly string[]): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'flux2c-libcuda-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'libcuda-fake.so');
  const reason = build(path, flags);
  if (reason === undefined) return path;
  console.warn(`SKIPPED: ${what}: ${reason}`);
  it.skip(`${what}: ${reason}`, () => undefined);
  return undefined;
}

/** Why it cannot be built. */
function build(path: string, flags: readonly string[]): string | undefined {
  const includes = [...toolkitFolders().map((folder) => join(folder, 'include')), '/usr/include'];
  const include = includes.find((folder) => existsSync(join(folder, 'cuda.h')));
  if (include === undefined) return 'no cuda.h here';
  const source = fileURLToPath(new URL('fake-libcuda.c', import.meta.url));
  try {
    execFileSync('cc', ['-shared', '-fPIC', '-O1', ...flags, `-I${include}`, '-o', path, source], { stdio: 'pipe' });
    return undefined;
  } catch (error) {
    return `no C compiler here: ${String(error)}`;
  }
}
