import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { CudaArchitecture } from '../../../backends/cuda/cuda-target.js';
import type { CudaSource, KernelCompiler } from '../kernel-compiler.js';
import { compilerOptions, doesNotCompile } from './compiler-options.js';

/** Compilers at work. Each leads a group of processes, because nvcc is only the driver of others. */
const running = new Set<ChildProcess>();

process.once('exit', () => {
  for (const child of running) killGroup(child);
});

function killGroup(child: ChildProcess): void {
  try {
    if (process.platform === 'win32' || child.pid === undefined) child.kill();
    else process.kill(-child.pid, 'SIGKILL');
  } catch {
    // It has ended meanwhile.
  }
}

/** A program of NVIDIA's toolkit. Rejects when `path` does not run. */
export async function openNvcc(path: string): Promise<KernelCompiler> {
  const { stdout } = await promisify(execFile)(path, ['--version']);
  const version = /V(\d[\d.]*)/.exec(stdout)?.[1] ?? 'of unknown version';
  return {
    description: `nvcc ${version}`,
    parallelism: availableParallelism(),
    compile: (source, architecture, signal) => compile(path, source, architecture, signal),
  };
}

async function compile(
  path: string,
  source: CudaSource,
  architecture: CudaArchitecture,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const folder = await mkdtemp(join(tmpdir(), 'flux2c-nvcc-'));
  try {
    for (const [name, text] of source.headers) await writeFile(join(folder, name), text);
    // The same name for all: it is written into the machine code, which should only depend on the text.
    await writeFile(join(folder, 'kernel.cu'), source.text);
    const options = ['-cubin', `-arch=${architecture}`, ...compilerOptions, '-I.', '-o', 'kernel.cubin', 'kernel.cu'];
    // Here, because a signal that was given before says nothing more to `runGroup`.
    signal?.throwIfAborted();
    const { code, output } = await runGroup(path, options, folder, signal);
    signal?.throwIfAborted();
    if (code !== 0) throw doesNotCompile(source, architecture, 'nvcc', output);
    return await readFile(join(folder, 'kernel.cubin'));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function runGroup(
  path: string,
  options: readonly string[],
  folder: string,
  signal: AbortSignal | undefined,
): Promise<{ readonly code: number | null; readonly output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(path, options, {
      cwd: folder,
      detached: process.platform !== 'win32',
      stdio: ['ignore', 'pipe', 'pipe'],
      // What nvcc leaves behind when it is killed goes with the folder.
      env: { ...process.env, TMPDIR: folder },
    });
    running.add(child);
    const abort = (): void => killGroup(child);
    signal?.addEventListener('abort', abort, { once: true });
    const end = (): void => {
      running.delete(child);
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
