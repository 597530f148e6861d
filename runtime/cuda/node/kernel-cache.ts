import { createHash } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { writeFileAtomically } from '../../../frontend/checkpoint/node/write-file.js';
import type { KernelCompiler } from '../kernel-compiler.js';
import { compilerOptions } from './compiler-options.js';

/** Raised when what is kept changes its form. */
const cacheVersion = 1;

/** Where machine code is kept: FLUX2C_CACHE (empty: nowhere), else the user's folder for caches. */
export function cacheFolder(): string | undefined {
  const { env, platform } = process;
  if (env.FLUX2C_CACHE !== undefined) return env.FLUX2C_CACHE === '' ? undefined : env.FLUX2C_CACHE;
  if (platform === 'win32') return join(env.LOCALAPPDATA ?? join(homedir(), 'AppData', 'Local'), 'flux2c', 'cache');
  if (platform === 'darwin') return join(homedir(), 'Library', 'Caches', 'flux2c');
  return join(env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'flux2c');
}

/**
 * Keeps what a compiler makes, by everything that it depends on: text, headers, architecture, options and version. A
 * folder that cannot be written is no error, only slower.
 */
export function cacheKernels(compiler: KernelCompiler, folder: string | undefined): KernelCompiler {
  if (folder === undefined) return compiler;
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
      const path = join(folder, 'cuda', `${createHash('sha256').update(key).digest('hex')}.cubin`);
      const kept = await readFile(path).catch(() => undefined);
      if (kept !== undefined && isCubin(kept)) return kept;
      const cubin = await compiler.compile(source, architecture, signal);
      await mkdir(join(folder, 'cuda'), { recursive: true })
        .then(() => writeFileAtomically(path, cubin))
        .catch(() => undefined);
      return cubin;
    },
  };
}

/** Cubins are ELF files. */
function isCubin(bytes: Uint8Array): boolean {
  return bytes.byteLength > 64 && bytes[0] === 0x7f && bytes[1] === 0x45 && bytes[2] === 0x4c && bytes[3] === 0x46;
}
