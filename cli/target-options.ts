/** What `compile` and `inspect` compile for. */
import { type Command, Option } from 'commander';
import {
  type CudaArchitecture,
  cudaArchitectures,
  cudaTarget,
  groupArchitectures,
} from '../backends/cuda/cuda-target.js';
import { cpuTarget, portableWebgpu, type Target } from '../backends/target.js';
import type { Operands } from '../passes/compile.js';
import { isCudaArchitecture } from '../runtime/cuda/architecture.js';
import { contradiction, wrongValue } from './options.js';

export interface TargetOptions {
  readonly target: 'webgpu' | 'cpu' | 'cuda';
  readonly arch?: readonly CudaArchitecture[];
}

interface OperandsOptions {
  readonly operands?: Operands;
}

export function addTargetOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--target <kind>', 'any WebGPU adapter, the processor, or NVIDIA GPUs')
        .choices(['webgpu', 'cpu', 'cuda'])
        .default('webgpu'),
    )
    .option(
      '--arch <names>',
      `with --target cuda, the GPUs to run on, each with the best kernels for it (default: ${cudaArchitectures.join(',')})`,
      architecturesOf,
    );
}

function architecturesOf(text: string): readonly CudaArchitecture[] {
  const names = text.split(',').map((name) => name.trim());
  return cudaArchitectures.filter((known) => {
    const unknown = names.find((name) => !isCudaArchitecture(name));
    if (unknown !== undefined) throw wrongValue('--arch', `names of ${cudaArchitectures.join(', ')}`, unknown);
    return names.includes(known);
  });
}

/** What one build of an artifact is compiled for. */
export interface BuildTarget {
  readonly target: Target;
  /** The GPUs; empty for other devices. */
  readonly architectures: readonly CudaArchitecture[];
}

/**
 * A target for each family of GPUs, one for anything else. 8-bit floats are among what a device must have only where kernels use them.
 * Throws F2C703 for architectures of something else than GPUs.
 */
export function targetsOf({ target, arch, operands }: TargetOptions & OperandsOptions): readonly BuildTarget[] {
  if (target === 'cuda') {
    const fp8 = operands === 'fp8';
    return groupArchitectures(arch ?? cudaArchitectures, { fp8 }).map((architectures) => {
      const { fp8: has, ...others } = cudaTarget(architectures);
      return { target: fp8 && has !== undefined ? { ...others, fp8: has } : others, architectures };
    });
  }
  if (arch !== undefined)
    throw contradiction('--arch names GPUs', 'Take it together with --target cuda, or leave it out.');
  return [{ target: target === 'cpu' ? cpuTarget : portableWebgpu, architectures: [] }];
}
