/** bench/gpu's runner in Python, on a driver that computes nothing. */
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cudaEntryPoint, cudaSharedBytes } from '../backends/cuda/cuda.js';
import type { BundleKernel } from '../bench/gpu/bundle.js';
import { networkCases, singleKernelCases } from '../bench/gpu/bundle-cases.js';
import { bundleProgram } from '../bench/gpu/bundle-program.js';
import { targetFor } from '../bench/gpu/model-kernels.js';
import { tileToJson } from '../bench/gpu/tile-json.js';

const python = spawnSync('python3', ['--version']).status === 0;
if (!python) process.stderr.write('the runner for GPUs is not tested: there is no python3\n');

let folder = '';
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'flux2c-runner-'))));
afterAll(async () => rm(folder, { recursive: true, force: true }));

describe.skipIf(!python)('the runner for GPUs', () => {
  it('packs arguments, keeps the order and finds what does not hold together', async () => {
    await writePrograms();
    const { status, stderr } = spawnSync('python3', ['-m', 'unittest', 'runner.test_runner'], {
      cwd: 'bench/gpu',
      env: { ...process.env, FLUX2C_BUNDLE: folder, PYTHONDONTWRITEBYTECODE: '1' },
      encoding: 'utf8',
    });
    expect(stderr).toContain('OK');
    expect(status).toBe(0);
  });

  it('explains itself without PyTorch', () => {
    const { status, stdout } = spawnSync('python3', ['-B', 'bench/gpu/run.py', '--help'], { encoding: 'utf8' });
    expect(stdout).toContain('--check-bundle');
    expect(status).toBe(0);
  });
});

/** The programs of klein-4b without machine code: the driver that computes nothing loads any bytes. */
async function writePrograms(): Promise<void> {
  const target = targetFor(['sm_90a']);
  const pieces: Uint8Array[] = [];
  const keep = (bytes: Uint8Array) => {
    const offset = pieces.reduce((sum, { byteLength }) => sum + byteLength, 0);
    pieces.push(bytes);
    return { file: 'data.bin', offset, bytes: bytes.byteLength };
  };
  const kernels: Record<string, BundleKernel> = {};
  const programs: Record<string, unknown> = {};
  for (const { name, compile, description } of [...singleKernelCases, ...networkCases(['klein-4b'])]) {
    const compiled = compile(target);
    programs[name] = await bundleProgram(compiled, description, keep);
    for (const { thread, tile } of compiled.kernels.values()) {
      kernels[thread.name] = {
        entryPoint: cudaEntryPoint(thread),
        block: thread.workgroupSize,
        shared: cudaSharedBytes(thread),
        buffers: thread.buffers.map(({ name: buffer, storage, access }) => ({ name: buffer, storage, access })),
        parameters: thread.parameters,
        cubins: { sm_90a: 'kernels.cubin' },
        resources: {},
        resident: {},
        tile: tileToJson(tile),
      };
    }
  }
  const bundle = { format: 1, compiler: 'none', architectures: ['sm_90a'], kernels, programs };
  await writeFile(join(folder, 'bundle.json'), JSON.stringify(bundle));
  await writeFile(join(folder, 'data.bin'), Buffer.concat(pieces));
  await writeFile(join(folder, 'kernels.cubin'), 'no machine code');
}
