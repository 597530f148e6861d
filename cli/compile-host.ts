/** The C++ program of `compile --target cuda --host cpp`. */
import type { CudaArchitecture } from '../backends/cuda/cuda-target.js';
import { hostHeader, hostHeaderName } from '../backends/cuda/host/host-header.js';
import { printHost } from '../backends/cuda/host/print-host.js';
import type { ThreadKernel } from '../ir/kernel/thread.js';
import type { Plan } from '../ir/plan.js';
import type { ArtifactWeights } from '../runtime/artifact.js';
import { planLifetimes } from '../runtime/plan/plan-lifetimes.js';

export interface HostRequest {
  /** The model's name. */
  readonly name: string;
  readonly functions: ReadonlyMap<string, { readonly component: string; readonly plan: Plan }>;
  readonly kernels: ReadonlyMap<string, { readonly thread: ThreadKernel }>;
  readonly weights: ArtifactWeights | null;
  readonly architectures: readonly CudaArchitecture[];
}

/** In the artifact's folder. */
export const HOST_SOURCE = 'host.cu';

/**
 * What builds the program, in the artifact's folder. For several architectures nvcc asks the GPU that is there; -arch names
 * another.
 */
export function hostBuildLine(architectures: readonly CudaArchitecture[]): string {
  return `nvcc -std=c++17 -O2 ${architectureOption(architectures)} ${HOST_SOURCE} -o host`;
}

function architectureOption([only, ...others]: readonly CudaArchitecture[]): string {
  if (only === undefined || others.length > 0) return '-arch=native';
  // For -arch=sm_90a nvcc 13 makes PTX of compute_90 too, which has no wgmma.
  return only.endsWith('a') ? `-gencode arch=${only.replace('sm', 'compute')},code=${only}` : `-arch=${only}`;
}

/** The program's files by their paths in the artifact. Errors as `printHost`. */
export function printHostFiles(request: HostRequest): ReadonlyMap<string, string> {
  const { name, functions, kernels, weights, architectures } = request;
  const source = printHost({
    name,
    functions: new Map([...functions].map(([key, fn]) => [key, { ...fn, lifetimes: planLifetimes(fn.plan) }])),
    kernels: new Map([...kernels].map(([key, { thread }]) => [key, thread])),
    weights,
    buildLine: hostBuildLine(architectures),
  });
  return new Map([
    [HOST_SOURCE, source],
    [hostHeaderName, hostHeader],
  ]);
}
