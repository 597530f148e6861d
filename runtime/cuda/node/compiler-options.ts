import type { CudaArchitecture } from '../../../backends/cuda/cuda-target.js';
import { Flux2cError } from '../../../ir/diagnostics.js';
import type { CudaSource } from '../kernel-compiler.js';

/** What nvcc and NVRTC are both told. Nothing here may change numbers beyond what the kernels' text says. */
export const compilerOptions: readonly string[] = ['-std=c++17'];

const shownLines = 8;

/** F2C511 with the compiler's first lines about it. */
export function doesNotCompile(
  { name, text }: CudaSource,
  architecture: CudaArchitecture,
  compiler: string,
  output: string,
): Flux2cError {
  const lines = output.split('\n').filter((line) => line.trim() !== '');
  const failing = /^kernel\.cu\((\d+)\)/m.exec(output)?.[1];
  const line = failing === undefined ? undefined : text.split('\n')[Number(failing) - 1]?.trim();
  return new Flux2cError('F2C511', 'a kernel does not compile', {
    where: [`kernel ${name}`, architecture, ...(line === undefined ? [] : [`line ${failing}: ${line}`])],
    found: `${compiler}: ${lines.slice(0, shownLines).join('\n           ')}`,
    hint: 'This is a bug of flux2c or of the compiler; please report it with the kernel text.',
  });
}
