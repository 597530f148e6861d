import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFile, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { cudaEntryPoint } from '../../backends/cuda/cuda-names.js';
import type { CudaArchitecture } from '../../backends/cuda/cuda-target.js';
import { cudaPrelude, cudaPreludeName } from '../../backends/cuda/prelude/prelude.js';
import type { KernelResources } from './occupancy.js';

const execute = promisify(execFile);

export interface KernelText {
  readonly name: string;
  readonly source: string;
}

export interface CompiledBatch {
  readonly architecture: CudaArchitecture;
  readonly kernels: readonly string[];
  /** Path of the machine code of all kernels of the batch. */
  readonly cubin: string;
}

export interface CompiledKernels {
  readonly batches: readonly CompiledBatch[];
  /** By architecture, then kernel name. */
  readonly resources: ReadonlyMap<CudaArchitecture, ReadonlyMap<string, KernelResources>>;
}

/** `13.0.88`, or undefined when there is no nvcc on the path. */
export async function nvccVersion(): Promise<string | undefined> {
  try {
    const { stdout } = await execute('nvcc', ['--version']);
    return /V(\d[\d.]*)/.exec(stdout)?.[1] ?? 'unknown';
  } catch {
    return undefined;
  }
}

/** Characters of one translation unit, a long kernel is one of its own: starting the compiler costs as much as several small kernels. */
const batchCharacters = 300_000;

/**
 * Compiles kernels for each architecture, several to a file. Kernels of different models that are equal have equal names, so
 * a name stands once.
 *
 * @param folder where the machine code goes
 * @param parallel compilers at a time
 * @throws with the compiler's messages
 */
export async function compileKernels(
  kernels: readonly KernelText[],
  architectures: readonly CudaArchitecture[],
  folder: string,
  parallel = 2,
): Promise<CompiledKernels> {
  const work = await mkdtemp(join(tmpdir(), 'flux2c-gpu-'));
  try {
    await writeFile(join(work, cudaPreludeName), cudaPrelude);
    const jobs: (() => Promise<void>)[] = [];
    const batches: CompiledBatch[] = [];
    const resources = new Map<CudaArchitecture, Map<string, KernelResources>>();
    for (const [at, batch] of divide(kernels).entries()) {
      const file = `kernels-${at}`;
      await writeFile(join(work, `${file}.cu`), batch.map(({ source }) => source).join('\n'));
      for (const architecture of architectures) {
        const cubin = join(folder, `${file}.${architecture}.cubin`);
        batches.push({ architecture, kernels: batch.map(({ name }) => name), cubin });
        jobs.push(async () => {
          const isSlow = batch.some(({ source }) => source.length > slowCharacters);
          const found = await compileFile(`${file}.cu`, cubin, architecture, work, isSlow);
          const known = resources.get(architecture) ?? new Map<string, KernelResources>();
          resources.set(architecture, known);
          for (const { name } of batch) known.set(name, expectResources(found, name));
        });
      }
    }
    await runAll(jobs, parallel);
    return { batches, resources };
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/**
 * What makes the compiler take minutes and gigabytes: unrolled kernels of ten thousand lines. They come last, alone, and
 * with the optimisations that take so long left out.
 */
export const slowCharacters = 300_000;

/** Batches of about equal length, long kernels last. */
function divide(kernels: readonly KernelText[]): readonly (readonly KernelText[])[] {
  const batches: KernelText[][] = [];
  let characters = Infinity;
  for (const kernel of [...kernels].sort((a, b) => a.source.length - b.source.length)) {
    if (characters + kernel.source.length > batchCharacters) {
      batches.push([]);
      characters = 0;
    }
    batches.at(-1)?.push(kernel);
    characters += kernel.source.length;
  }
  return batches;
}

function expectResources(found: ReadonlyMap<string, KernelResources>, name: string): KernelResources {
  const resources = found.get(cudaEntryPoint({ name }));
  if (resources === undefined) throw new Error(`ptxas says nothing of ${name}`);
  return resources;
}

async function compileFile(
  source: string,
  cubin: string,
  architecture: CudaArchitecture,
  cwd: string,
  isSlow: boolean,
): Promise<ReadonlyMap<string, KernelResources>> {
  const effort = isSlow ? ['--Ofast-compile=max'] : [];
  const options = ['-cubin', ...codeOptions(architecture), ...effort, '-std=c++17', '-Xptxas', '-v', '-I.', '-o'];
  const known = await cachePath(join(cwd, source), options);
  try {
    await copyFile(`${known}.cubin`, cubin);
    return parseResources(await readFile(`${known}.txt`, 'utf8'));
  } catch {
    // Not compiled before.
  }
  try {
    const environment = { ...process.env, TMPDIR: cwd };
    const { stderr } = await execute('nvcc', [...options, cubin, source], {
      cwd,
      maxBuffer: 2 ** 26,
      env: environment,
    });
    await keep(`${known}.txt`, (path) => writeFile(path, stderr));
    await keep(`${known}.cubin`, (path) => copyFile(cubin, path));
    return parseResources(stderr);
  } catch (error) {
    const { stderr } = error as { readonly stderr?: string };
    const lines = (stderr ?? String(error)).split('\n').filter((line) => /error|fatal/i.test(line));
    throw new Error(`nvcc refuses kernels for ${architecture}:\n${lines.slice(0, 12).join('\n')}`, { cause: error });
  }
}

/** Compilers take minutes for all kernels of a model, and most texts stay: what they made is found again by its text. */
async function cachePath(source: string, options: readonly string[]): Promise<string> {
  const folder = join(tmpdir(), 'flux2c-cubins');
  await mkdir(folder, { recursive: true });
  const hash = createHash('sha256').update(JSON.stringify([await nvccVersion(), options, cudaPrelude]));
  return join(folder, hash.update(await readFile(source)).digest('hex'));
}

/** Others may look for the file meanwhile: it appears whole. */
async function keep(path: string, write: (path: string) => Promise<void>): Promise<void> {
  const unfinished = `${path}.${process.pid}`;
  await write(unfinished);
  await rename(unfinished, path);
}

/** `-arch=sm_90a` would compile a second time for plain sm_90 in some versions, which has none of its instructions. */
function codeOptions(architecture: CudaArchitecture): readonly string[] {
  return ['-gencode', `arch=${architecture.replace('sm_', 'compute_')},code=${architecture}`];
}

/** The report of `ptxas -v`, by entry point. */
export function parseResources(report: string): ReadonlyMap<string, KernelResources> {
  const found = new Map<string, KernelResources>();
  let entry: string | undefined;
  let stack = 0;
  let spilled = 0;
  for (const line of report.split('\n')) {
    entry = /Compiling entry function '([^']+)'/.exec(line)?.[1] ?? entry;
    const memory = /(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads/.exec(line);
    if (memory !== null) [stack, spilled] = [Number(memory[1]), Number(memory[2]) + Number(memory[3])];
    const registers = /Used (\d+) registers/.exec(line)?.[1];
    if (registers === undefined || entry === undefined) continue;
    const barriers = Number(/used (\d+) barriers/.exec(line)?.[1] ?? 0);
    found.set(entry, { registers: Number(registers), spilled, stack, barriers });
    entry = undefined;
  }
  return found;
}

/** Runs jobs in order, so many at a time; the first failure ends it. */
async function runAll(jobs: readonly (() => Promise<void>)[], parallel: number): Promise<void> {
  const waiting = [...jobs];
  const worker = async (): Promise<void> => {
    for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) await job();
  };
  const workers = Array.from({ length: parallel }, () =>
    worker().catch((error: unknown) => {
      waiting.length = 0;
      throw error;
    }),
  );
  const results = await Promise.allSettled(workers);
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}
