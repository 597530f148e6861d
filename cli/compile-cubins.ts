/** Machine code for kernels, made when they are compiled rather than where they run. */
import type { CudaArchitecture } from '../backends/cuda/cuda-target.js';
import { forEachParallel } from '../runtime/for-each-parallel.js';
import { findKernelCompiler } from '../runtime/cuda/node/open-compiler.js';
import type { LoadableKernel } from '../runtime/plan/bound-plan.js';

export interface CubinRequest {
  readonly kernels: ReadonlyMap<string, LoadableKernel>;
  readonly headers: ReadonlyMap<string, string>;
  readonly architectures: readonly CudaArchitecture[];
  readonly signal: AbortSignal;
  readonly onProgress: (done: number, of: number) => void;
}

/**
 * The kernels with machine code for each architecture; or why there is none, when the machine has no compiler for them.
 * Throws F2C511 with the kernel that does not compile, and the signal's reason.
 */
export async function compileCubins(request: CubinRequest): Promise<ReadonlyMap<string, LoadableKernel> | string> {
  const { kernels, headers, architectures, signal, onProgress } = request;
  const compiler = await findKernelCompiler();
  if (typeof compiler === 'string') return compiler;
  const made = new Map([...kernels.keys()].map((name) => [name, new Map<string, Uint8Array>()]));
  const jobs = [...kernels.values()].flatMap(({ name, source }) =>
    architectures.map((architecture) => ({ source: { name, text: source, headers }, architecture })),
  );
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
  // In the order asked for, not in which they were done.
  const inOrder = (name: string) => new Map(architectures.map((each) => [each, made.get(name)!.get(each)!] as const));
  return new Map([...kernels].map(([name, kernel]) => [name, { ...kernel, binaries: inOrder(name) }]));
}
