/** Host programs of `compile --target cuda --host cpp`, built for the emulator. */
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { encodeSafetensors } from '../../frontend/checkpoint/index.js';
import type { TensorData } from '../../frontend/checkpoint/index.js';
import type { NetworkTensor } from '../../models/flux2/networks.js';
import { emulatorHeader } from '../../runtime/cuda/emulator/emulator-header.js';
import { hostShim } from '../../runtime/cuda/emulator/host-shim.js';
import { runCommandLine } from '../cli-harness.js';

const execute = promisify(execFile);

export interface ProgramRun {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Compiles an artifact with a host program into a folder, for sm_80 unless told otherwise; stdout of the command. */
export async function compileWithHost(path: string, ...options: readonly string[]): Promise<string> {
  const always = ['--target', 'cuda', '--arch', 'sm_80', '--no-cubin', '--host', 'cpp', '-o', path];
  const { exitCode, stdout, stderr } = await runCommandLine(['compile', ...always, ...options]);
  if (exitCode !== 0) throw new Error(stderr);
  return stdout;
}

/** Builds an artifact's program with g++, in a folder of its own; the program's path. */
export async function buildForEmulator(artifact: string, folder: string, ...flags: readonly string[]): Promise<string> {
  mkdirSync(join(folder, 'kernels'), { recursive: true });
  for (const name of ['host.cu', 'flux2c-host.h', 'kernels']) {
    cpSync(join(artifact, name), join(folder, name), { recursive: true });
  }
  writeFileSync(join(folder, 'kernels/flux2c.cuh'), emulatorHeader);
  writeFileSync(join(folder, 'cuda_runtime.h'), hostShim);
  const floats = ['-O1', '-march=native', '-ffp-contract=off', '-fwrapv', '-fno-strict-aliasing'];
  const fibers = ['-fno-stack-protector', '-fcf-protection=none'];
  const all = ['-x', 'c++', '-std=c++17', ...floats, ...fibers, '-w', '-I.', '-Ikernels', ...flags];
  await execute('g++', [...all, 'host.cu', '-o', 'host'], { cwd: folder, maxBuffer: 2 ** 24 });
  return join(folder, 'host');
}

export async function runProgram(
  path: string,
  arguments_: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<ProgramRun> {
  const env = { ...process.env, ...environment };
  try {
    return { exitCode: 0, ...(await execute(path, arguments_, { env })) };
  } catch (error) {
    const { code, stdout, stderr } = error as { code?: number | string; stdout: string; stderr: string };
    // A signal has no exit code.
    return { exitCode: typeof code === 'number' ? code : -1, stdout, stderr };
  }
}

export function writeTensors(path: string, tensors: Readonly<Record<string, TensorData | NetworkTensor>>): string {
  const encoded = Object.entries(tensors).map(([name, tensor]): [string, TensorData] => {
    if ('data' in tensor) return [name, tensor];
    const { dtype, shape, values } = tensor;
    return [name, { dtype, shape, data: new Uint8Array(values.buffer, values.byteOffset, values.byteLength) }];
  });
  writeFileSync(path, encodeSafetensors(new Map(encoded)));
  return path;
}
