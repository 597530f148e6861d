/** Ctrl-C while a device compiles its kernels: commands end, with the compilers that they have started and their files. */
import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ts from 'typescript';
import { afterAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { openModel } from '../cli/open-model.js';
import { runCli } from '../cli/program.js';
import { embeddedCheckpoint } from '../models/flux2/node/open-model.js';
import { createCudaEmulatorDevice } from '../runtime/cuda/node/emulator-device.js';
import { openNvcc } from '../runtime/cuda/node/nvcc.js';
import type { Device } from '../runtime/device.js';
import { openMockDevice } from './cuda/mock-device.js';

const root = mkdtempSync(join(tmpdir(), 'flux2c-interrupted-'));
afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(root, { recursive: true });
});

let folder: string;
let note: string;
let compiler: string;
beforeEach(() => {
  folder = mkdtempSync(join(root, 'case-'));
  note = join(folder, 'started');
  // Like nvcc and g++, it starts another program, and both leave files behind.
  compiler = join(folder, 'compiler');
  writeFileSync(
    compiler,
    `#!/bin/sh\n[ "$1" = --version ] && { echo V9.9.9; exit; }\necho > left; echo > "$TMPDIR/behind"\nsleep 30 &\necho "$$ $!" >> ${note}\nwait\n`,
  );
  chmodSync(compiler, 0o755);
  vi.stubEnv('TMPDIR', mkdtempSync(join(folder, 'temporary-')));
});

const devices: readonly (readonly [string, () => Promise<Device>])[] = [
  ['nvcc', async () => openMockDevice({}, { compiler: await openNvcc(compiler) }).device],
  ['the emulator', async () => createCudaEmulatorDevice({ compiler })],
];

const commands: readonly (readonly string[])[] = [
  ['generate', 'x', '-o', 'never.png', '--width', '16', '--height', '16'],
  ['run', embeddedCheckpoint(), '--component', 'vae_decoder', '--inputs', 'none', '--outputs', 'never'],
  ['bench', '--component', 'denoise'],
];

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

const started = (): string[] => (existsSync(note) ? readFileSync(note, 'utf8').split(/\s+/).filter(Boolean) : []);

function expectNoTrace(): void {
  // The state of a process that has ended but was not asked for is Z.
  const states = execFileSync('sh', ['-c', `ps -o stat= -p ${started().join()} || true`]).toString();
  expect(states.split('\n').filter((state) => /^[^Z]/.test(state))).toEqual([]);
  const left = readdirSync(process.env.TMPDIR!, { recursive: true, encoding: 'utf8' });
  // What the emulator keeps for the next time.
  expect(left.filter((name) => !/^flux2c-emulator-\d+([\\/][\da-f]+([\\/]flux2c\.cuh)?)?$/.test(name))).toEqual([]);
}

describe.runIf(process.platform !== 'win32').each(devices)('compilations with %s', (_, openDevice) => {
  it.each(commands)('end with `flux2c %s`', async (...line) => {
    const abort = new AbortController();
    const stream = { isTTY: false, columns: 80, write: () => undefined };
    const running = runCli(line, {
      stdout: stream,
      stderr: stream,
      env: {},
      signal: abort.signal,
      openDevice,
      openModel,
    });
    await until(() => started().length >= 2);
    abort.abort();
    expect(await running).toBe(130);
    expectNoTrace();
  });
});

it.runIf(process.platform !== 'win32')(
  'leaves no trace of a compiler when the process does not wait for it',
  async () => {
    // As the second Ctrl-C does it. The module needs nothing but Node.
    const text = readFileSync(new URL('../runtime/cuda/node/compiler-process.ts', import.meta.url), 'utf8');
    const compilerOptions = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 };
    const script = join(folder, 'leave.mjs');
    writeFileSync(
      script,
      `${ts.transpileModule(text, { compilerOptions }).outputText}
    process.on('SIGINT', () => process.exit(130));
    await inScratchFolder(process.env.TMPDIR, 'some-', (own) => runCompiler(${JSON.stringify(compiler)}, [], own));`,
    );
    const child = spawn(process.execPath, [script], { stdio: 'inherit' });
    const ended = new Promise<number | null>((resolve) => child.on('exit', resolve));
    await until(() => started().length >= 2);
    child.kill('SIGINT');
    expect(await ended).toBe(130);
    expectNoTrace();
  },
);
