/** What `compile` and `inspect` compile for. */
import { type Command, Option } from 'commander';
import {
  type CudaArchitecture,
  cudaArchitectures,
  cudaTarget,
  groupArchitectures,
} from '../backends/cuda/cuda-target.js';
import { cpuTarget, portableWebgpu, type Target } from '../backends/target.js';
import { Flux2cError } from '../ir/diagnostics.js';
import type { Operands } from '../passes/compile.js';
import { isCudaArchitecture } from '../runtime/cuda/architecture.js';
import { contradiction, wrongValue } from './options.js';

/** Those with 8-bit floats. */
const eightBit = cudaArchitectures.filter((name) => cudaTarget([name]).fp8 === true);

export interface TargetOptions {
  readonly target: 'webgpu' | 'cpu' | 'cuda';
  readonly arch?: readonly CudaArchitecture[];
  /** With `webgpu`. */
  readonly adapter?: string;
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
      '--adapter <name>',
      'with --target webgpu, only for what this adapter can do: a part of its name or its number in `flux2c devices`',
    )
    .option(
      '--arch <names>',
      `with --target cuda, the GPUs to run on, each with the best kernels for it (default: ${cudaArchitectures.join(',')}; with --operands fp8 ${eightBit.join(',')})`,
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
 * A target for each family of GPUs, one for anything else; no two targets are of one family. 8-bit floats are among what a device must
 * have only where operands are such. Throws F2C307 for architectures that lack them then, F2C703 for architectures of something else
 * than GPUs.
 */
export function targetsOf({ target, arch, operands }: TargetOptions & OperandsOptions): readonly BuildTarget[] {
  if (target === 'cuda') {
    const known = operands === 'fp8' ? eightBit : cudaArchitectures;
    const lacking = arch?.filter((name) => !known.includes(name)) ?? [];
    if (lacking.length > 0) {
      throw new Flux2cError('F2C307', 'not all of the GPUs have 8-bit floats for the operands of products', {
        where: ['--arch'],
        expected: eightBit.join(', '),
        found: lacking.join(', '),
        hint: 'Leave out --arch for all that have them, or choose other --operands.',
      });
    }
    return groupArchitectures(arch ?? known).map((architectures) => {
      const { fp8: _, ...others } = cudaTarget(architectures);
      return { target: operands === 'fp8' ? { ...others, fp8: true } : others, architectures };
    });
  }
  if (arch !== undefined)
    throw contradiction('--arch names GPUs', 'Take it together with --target cuda, or leave it out.');
  return [{ target: target === 'cpu' ? cpuTarget : portableWebgpu, architectures: [] }];
}

/** What to say of the GPUs that the default of `--arch` leaves out. */
export function describeLeftOut({ target, arch, operands }: TargetOptions & OperandsOptions): string | undefined {
  if (target !== 'cuda' || arch !== undefined || operands !== 'fp8') return undefined;
  const names = cudaArchitectures.filter((name) => !eightBit.includes(name));
  return `${names.join(', ')} are left out: they have no 8-bit floats.`;
}
