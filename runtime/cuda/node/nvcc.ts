import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { CudaArchitecture } from '../../../backends/cuda/cuda-target.js';
import type { CudaSource, KernelCompiler } from '../kernel-compiler.js';
import { compilerOptions, doesNotCompile } from './compiler-options.js';
import { inScratchFolder, runCompiler } from './compiler-process.js';

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
  return inScratchFolder(tmpdir(), 'flux2c-nvcc-', async (folder) => {
    for (const [name, text] of source.headers) await writeFile(join(folder, name), text);
    // The same name for all: it is written into the machine code, which should only depend on the text.
    await writeFile(join(folder, 'kernel.cu'), source.text);
    const options = ['-cubin', `-arch=${architecture}`, ...compilerOptions, '-I.', '-o', 'kernel.cubin', 'kernel.cu'];
    const { code, output } = await runCompiler(path, options, folder, signal);
    if (code !== 0) throw doesNotCompile(source, architecture, 'nvcc', output);
    return readFile(join(folder, 'kernel.cubin'));
  });
}
