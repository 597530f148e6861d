/** The emulator and nvcc for tests, or the reason why they are not here. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { it } from 'vitest';
import { printCuda } from '../backends/cuda/cuda.js';
import type { ThreadKernel } from '../ir/kernel/thread.js';
import { CudaEmulatorDevice, type EmulatorOptions } from '../runtime/cuda/node/emulator-device.js';

const execute = promisify(execFile);

/** What goes wrong when the program is started, or nothing. */
async function absence(program: string): Promise<string | undefined> {
  try {
    await execute(program, ['--version']);
    return undefined;
  } catch (error) {
    return `${program} does not start: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** False when the program is not here: then the reason is printed and a skipped test has it in its name. */
export async function hasProgram(program: string, what: string): Promise<boolean> {
  const reason = await absence(program);
  if (reason === undefined) return true;
  process.stderr.write(`SKIPPED: ${what}: ${reason}\n`);
  it.skip(`${what}: ${reason}`, () => undefined);
  return false;
}

/** Without g++ a skipped test says so. */
export async function openEmulator(
  what: string,
  options: EmulatorOptions = {},
): Promise<CudaEmulatorDevice | undefined> {
  return (await hasProgram('g++', what)) ? new CudaEmulatorDevice(options) : undefined;
}

export interface EmulatedLaunch {
  readonly kernel: ThreadKernel;
  readonly buffers: readonly Uint8Array[];
  /** By name; the others are 0. */
  readonly parameters?: Readonly<Record<string, number>>;
  readonly workgroups?: readonly [number, number, number];
  /** Instead of the printed text. */
  readonly source?: string;
}

/** Runs a kernel that may be loaded already; contents of the buffers afterwards. */
export async function emulate(device: CudaEmulatorDevice, launch: EmulatedLaunch): Promise<readonly Uint8Array[]> {
  const { kernel, buffers, parameters = {}, workgroups = [1, 1, 1], source = printCuda(kernel) } = launch;
  await device.loadKernels([{ name: kernel.name, kernel, source }]);
  const memory = buffers.map((bytes, at) => {
    const buffer = device.createBuffer(bytes.byteLength, `${kernel.buffers[at]?.name}`);
    device.write(buffer, 0, bytes);
    return buffer;
  });
  const sequence = device.record(
    [
      {
        kernel: kernel.name,
        label: `test of ${kernel.name}`,
        bindings: memory.map((buffer) => ({ buffer, byteOffset: 0, byteLength: buffer.byteLength })),
        parameters: Int32Array.from(kernel.parameters, (name) => parameters[name] ?? 0),
        workgroups,
      },
    ],
    kernel.name,
  );
  try {
    device.run(sequence);
    return await Promise.all(memory.map((buffer) => device.read(buffer, 0, buffer.byteLength)));
  } finally {
    for (const buffer of memory) buffer.destroy();
  }
}
