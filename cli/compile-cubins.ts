/** Machine code for kernels, made when they are compiled rather than where they run. */
import type { CudaArchitecture } from '../backends/cuda/cuda-target.js';
import { forEachParallel } from '../runtime/for-each-parallel.js';
import { findKernelCompiler } from '../runtime/cuda/node/open-compiler.js';
import type { LoadableKernel } from '../runtime/plan/bound-plan.js';

export interface CubinRequest {
  /** With what each is for. */
  readonly builds: readonly {
    readonly kernels: ReadonlyMap<string, LoadableKernel>;
    readonly architectures: readonly CudaArchitecture[];
  }[];
  readonly headers: ReadonlyMap<string, string>;
  readonly signal: AbortSignal;
  readonly onProgress: (done: number, of: number) => void;
}

/** By kernel, then by architecture. */
export type MachineCode = ReadonlyMap<string, ReadonlyMap<CudaArchitecture, Uint8Array>>;

/**
 * Machine code of each kernel for the architectures of all builds that have it; or why there is none, when the machine has no
 * compiler for them. Throws F2C511 with the kernel that does not compile, and the signal's reason.
 */
export async function compileCubins(request: CubinRequest): Promise<MachineCode | string> {
  const { builds, headers, signal, onProgress } = request;
  const compiler = await findKernelCompiler();
  if (typeof compiler === 'string') return compiler;
  const made = new Map<string, Map<CudaArchitecture, Uint8Array>>();
  const jobs = builds.flatMap(({ kernels, architectures }) =>
    [...kernels.values()].flatMap(({ name, source }) =>
      architectures.map((architecture) => ({ source: { name, text: source, headers }, architecture })),
    ),
  );
  for (const { source } of jobs) made.set(source.name, new Map());
  let done = 0;
  onProgress(done, jobs.length);
  await forEachParallel(
    jobs,
    compiler.parallelism,
    async ({ source, architecture }, stop) => {
      made.get(source.name)!.set(architecture, await compiler.compile(source, architecture, stop));
      onProgress(++done, jobs.length);
    },
    signal,
  );
  return made;
}
