import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { sep } from 'node:path';

/** Folders of compilations at work, each with its compiler once that runs. */
const atWork = new Map<string, ChildProcess | undefined>();

process.once('exit', () => {
  for (const [folder, child] of atWork) {
    if (child !== undefined) killGroup(child);
    try {
      // Again while processes that are ending still make files there.
      rmSync(folder, { recursive: true, force: true, maxRetries: 3, retryDelay: 20 });
    } catch {
      // The system empties its folder for temporary files some day.
    }
  }
});

/** Does work in an empty folder of its own in `parent`, which goes when the work or the process ends. */
export async function inScratchFolder<T>(
  parent: string,
  prefix: string,
  work: (folder: string) => Promise<T>,
): Promise<T> {
  // At once with the note of it, so that no end of the process comes between.
  const folder = mkdtempSync(`${parent}${sep}${prefix}`);
  atWork.set(folder, undefined);
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
    atWork.delete(folder);
  }
}

export interface CompilerOutcome {
  readonly code: number | null;
  /** Of both streams. */
  readonly output: string;
}

/**
 * Runs a compiler in a scratch folder. It leads a group of processes, because it is only the driver of others: an abort ends
 * them all. Rejects with the signal's reason, and with the system's error when the program does not start.
 */
export async function runCompiler(
  path: string,
  options: readonly string[],
  folder: string,
  signal: AbortSignal | undefined,
): Promise<CompilerOutcome> {
  // Here, because a signal that was given before says nothing more to a listener.
  signal?.throwIfAborted();
  const outcome = await runGroup(path, options, folder, signal);
  signal?.throwIfAborted();
  return outcome;
}

function runGroup(
  path: string,
  options: readonly string[],
  folder: string,
  signal: AbortSignal | undefined,
): Promise<CompilerOutcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(path, options, {
      cwd: folder,
      detached: process.platform !== 'win32',
      stdio: ['ignore', 'pipe', 'pipe'],
      // What a compiler leaves behind when it is killed goes with the folder.
      env: { ...process.env, TMPDIR: folder },
    });
    atWork.set(folder, child);
    const abort = (): void => killGroup(child);
    signal?.addEventListener('abort', abort, { once: true });
    const end = (): void => {
      atWork.set(folder, undefined);
      signal?.removeEventListener('abort', abort);
    };
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text: Buffer) => (output += text.toString()));
    child.on('error', (error) => {
      end();
      reject(error);
    });
    child.on('close', (code) => {
      end();
      resolve({ code, output });
    });
  });
}

function killGroup(child: ChildProcess): void {
  try {
    if (process.platform === 'win32' || child.pid === undefined) child.kill();
    else process.kill(-child.pid, 'SIGKILL');
  } catch {
    // It has ended meanwhile.
  }
}
