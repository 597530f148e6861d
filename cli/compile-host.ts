/** The C++ programs of `compile --target cuda --host cpp`. */
import type { CudaArchitecture } from '../backends/cuda/cuda-target.js';
import { hostHeader, hostHeaderName } from '../backends/cuda/host/host-header.js';
import type { HostTensor, HostWeights } from '../backends/cuda/host/host-program.js';
import { printHost } from '../backends/cuda/host/print-host.js';
import type { ThreadKernel } from '../ir/kernel/thread.js';
import type { Plan } from '../ir/plan.js';
import type { ArtifactWeights, WeightEntry } from '../runtime/artifact.js';
import { planLifetimes } from '../runtime/plan/plan-lifetimes.js';

export interface HostRequest {
  /** The model's name. */
  readonly name: string;
  readonly builds: readonly HostBuild[];
  readonly weights: ArtifactWeights | null;
}

export interface HostBuild {
  readonly name: string;
  readonly functions: ReadonlyMap<string, { readonly component: string; readonly plan: Plan }>;
  readonly kernels: ReadonlyMap<string, { readonly thread: ThreadKernel }>;
  readonly architectures: readonly CudaArchitecture[];
}

/**
 * What builds the program of each build, in the artifact's folder, in the builds' order. For several architectures nvcc asks
 * the GPU that is there; -arch names another.
 */
export function hostBuildLines(builds: readonly Pick<HostBuild, 'name' | 'architectures'>[]): readonly string[] {
  return builds.map(
    (build) => `nvcc -std=c++17 -O2 ${architectureOption(build.architectures)} ${sourceOf(build, builds)} -o host`,
  );
}

/** `host.cu`; `host.wgmma.cu` where there are other builds. */
function sourceOf({ name }: { readonly name: string }, builds: readonly unknown[]): string {
  return builds.length === 1 ? 'host.cu' : `host.${name}.cu`;
}

function architectureOption([only, ...others]: readonly CudaArchitecture[]): string {
  if (only === undefined || others.length > 0) return '-arch=native';
  // For -arch=sm_90a nvcc 13 makes PTX of compute_90 too, which has no wgmma.
  return only.endsWith('a') ? `-gencode arch=${only.replace('sm', 'compute')},code=${only}` : `-arch=${only}`;
}

/** A program for each build, and what they share, by their paths in the artifact. Errors as `printHost`. */
export function printHostFiles({ name, builds, weights }: HostRequest): ReadonlyMap<string, string> {
  const lines = hostBuildLines(builds);
  const programs = builds.map((build, index): [string, string] => {
    const source = printHost({
      name,
      functions: new Map([...build.functions].map(([key, fn]) => [key, { ...fn, lifetimes: planLifetimes(fn.plan) }])),
      kernels: new Map([...build.kernels].map(([key, { thread }]) => [key, thread])),
      weights: weights && toHostWeights(weights),
      buildLine: lines[index]!,
    });
    return [sourceOf(build, builds), source];
  });
  return new Map([...programs, [hostHeaderName, hostHeader]]);
}

/** Encoded matrices are of a type that no program reads, and that it is refused for. */
function toHostWeights({ files, components }: ArtifactWeights): HostWeights {
  const toHost = ([name, entry]: readonly [string, WeightEntry]): [string, HostTensor] => {
    return [name, 'encoding' in entry ? { dtype: entry.encoding, shape: entry.shape, parts: [] } : entry];
  };
  return {
    files,
    components: new Map([...components].map(([name, entries]) => [name, new Map([...entries].map(toHost))])),
  };
}
