import { type CudaArchitecture, cudaArchitectures } from '../../backends/cuda/cuda-target.js';

/** Of a GPU: 9.0 is Hopper. */
export interface ComputeCapability {
  readonly major: number;
  readonly minor: number;
}

/**
 * The architecture of `available` whose machine code runs best on a GPU; undefined when none runs. Code runs on GPUs of
 * the same major version with an equal or higher minor one; with an `a` on the end, on exactly that version.
 */
export function architectureFor(
  { major, minor }: ComputeCapability,
  available: readonly CudaArchitecture[] = cudaArchitectures,
): CudaArchitecture | undefined {
  const fitting = available.filter((name) => {
    const version = versionOf(name);
    return version.major === major && (name.endsWith('a') ? version.minor === minor : version.minor <= minor);
  });
  return fitting.sort((one, other) => versionOf(other).minor - versionOf(one).minor)[0];
}

export function isCudaArchitecture(name: string): name is CudaArchitecture {
  return (cudaArchitectures as readonly string[]).includes(name);
}

function versionOf(name: CudaArchitecture): ComputeCapability {
  const number = Number(/\d+/.exec(name)?.[0]);
  return { major: Math.floor(number / 10), minor: number % 10 };
}
