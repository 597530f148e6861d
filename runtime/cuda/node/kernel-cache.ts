import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomically } from '../../../frontend/checkpoint/node/write-file.js';
import type { KernelCompiler } from '../kernel-compiler.js';
import { compilerOptions } from './compiler-options.js';

/** Raised when what is kept changes its form. */
const cacheVersion = 1;

/** Some thousands of kernels, of dozens of models and versions of flux2c. */
const cacheLimitBytes = 2 ** 30;

/**
 * Keeps what a compiler makes, by everything that it depends on: text, headers, architecture, options and version. What was
 * used longest ago goes when all is more than `limitBytes`. A folder that cannot be written is no error, only slower.
 */
export function cacheKernels(
  compiler: KernelCompiler,
  given: string | undefined,
  limitBytes: number = cacheLimitBytes,
): KernelCompiler {
  if (given === undefined) return compiler;
  const folder = join(given, 'cuda');
  // Pruned with the first that is kept, then before so much more is kept that the limit could be passed.
  const slack = limitBytes / 8;
  let sincePruned = Infinity;
  const keep = async (path: string, cubin: Uint8Array): Promise<void> => {
    await mkdir(folder, { recursive: true });
    await writeFileAtomically(path, cubin);
    sincePruned += cubin.byteLength;
    if (sincePruned < slack) return;
    sincePruned = 0;
    await pruneCache(folder, limitBytes - slack);
  };
  return {
    ...compiler,
    compile: async (source, architecture, signal) => {
      const key = JSON.stringify([
        cacheVersion,
        compiler.description,
        compilerOptions,
        [...source.headers],
        architecture,
        source.text,
      ]);
      const path = join(folder, `${createHash('sha256').update(key).digest('hex')}.cubin`);
      const kept = await readFile(path).catch(() => undefined);
      if (kept !== undefined && isCubin(kept)) {
        await touch(path).catch(() => undefined);
        return kept;
      }
      const cubin = await compiler.compile(source, architecture, signal);
      await keep(path, cubin).catch(() => undefined);
      return cubin;
    },
  };
}

/** The time of a file's last change is that of its last use here: many file systems do not note when files are read. */
function touch(path: string): Promise<void> {
  const now = new Date();
  return utimes(path, now, now);
}

const entryName = /^[\da-f]{64}\.cubin$/;
/** What `writeFileAtomically` leaves behind in a process that is killed. */
const unfinishedName = /^[\da-f]{64}\.cubin\.[\da-f]+\.tmp$/;
const longestWriteMilliseconds = 60 * 60 * 1000;

/**
 * Removes what was used longest ago until the rest has at most `keptBytes`. Other processes may be using, making and removing
 * files meanwhile: what is gone was removed, and who misses a file compiles it again.
 */
async function pruneCache(folder: string, keptBytes: number): Promise<void> {
  const remove = (path: string): Promise<void> => rm(path, { force: true }).catch(() => undefined);
  const entries: { readonly path: string; readonly bytes: number; readonly used: number }[] = [];
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    const status =
      entryName.test(name) || unfinishedName.test(name) ? await stat(path).catch(() => undefined) : undefined;
    if (status === undefined) continue;
    if (entryName.test(name)) entries.push({ path, bytes: status.size, used: status.mtimeMs });
    else if (Date.now() - status.mtimeMs > longestWriteMilliseconds) await remove(path);
  }
  let total = entries.reduce((sum, { bytes }) => sum + bytes, 0);
  for (const { path, bytes } of entries.sort((a, b) => a.used - b.used)) {
    if (total <= keptBytes) return;
    await remove(path);
    total -= bytes;
  }
}

/** Cubins are ELF files. */
function isCubin(bytes: Uint8Array): boolean {
  return bytes.byteLength > 64 && bytes[0] === 0x7f && bytes[1] === 0x45 && bytes[2] === 0x4c && bytes[3] === 0x46;
}
