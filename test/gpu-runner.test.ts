/** bench/gpu's runner in Python, on a driver that computes nothing. */
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bundleFormat, type BundleKernel } from '../bench/gpu/bundle.js';
import { bundleCases } from '../bench/gpu/bundle-cases.js';
import { compileForms } from '../bench/gpu/bundle-forms.js';
import { bundleProgram, describeInterface } from '../bench/gpu/bundle-program.js';
import { targetFor } from '../bench/gpu/model-kernels.js';
import { tileToJson } from '../bench/gpu/tile-json.js';

const python = spawnSync('python3', ['--version']).status === 0;
if (!python) process.stderr.write('the runner for GPUs is not tested: there is no python3\n');
const torch = spawnSync('python3', ['-c', 'import torch']).status === 0;
if (!torch)
  process.stderr.write('the checks of attention and 8-bit numbers for GPUs are not tested: there is no PyTorch\n');

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'flux2c-runner-'));
  if (python) await writePrograms();
});
afterAll(async () => rm(folder, { recursive: true, force: true }));

describe.skipIf(!python)('the runner for GPUs', () => {
  it('packs arguments, keeps the order and finds what does not hold together', () => {
    const { status, stderr } = spawnSync('python3', ['-m', 'unittest', 'runner.test_runner', 'runner.test_products'], {
      cwd: 'bench/gpu',
      env: { ...process.env, FLUX2C_BUNDLE: folder, PYTHONDONTWRITEBYTECODE: '1' },
      encoding: 'utf8',
    });
    expect(stderr).toContain('OK');
    expect(status).toBe(0);
  });

  it.runIf(torch)('evaluates attention as a plain softmax does and finds what is wrong with it', () => {
    const { status, stderr } = spawnSync('python3', ['-B', '-m', 'unittest', 'runner.test_attention'], {
      cwd: 'bench/gpu',
      env: { ...process.env, FLUX2C_BUNDLE: folder },
      encoding: 'utf8',
    });
    expect(stderr).toContain('OK');
    expect(status).toBe(0);
  });

  it.runIf(torch)('finds what is wrong with 8-bit numbers', () => {
    const line = ['-B', '-m', 'unittest', 'runner.test_codes'];
    const { status, stderr } = spawnSync('python3', line, { cwd: 'bench/gpu', encoding: 'utf8' });
    expect(stderr).toContain('OK');
    expect(status).toBe(0);
  });

  it('refuses sections that it does not know', () => {
    const line = ['-B', 'bench/gpu/run.py', '--only', 'check,kernel', '--bundle', folder];
    const { status, stderr } = spawnSync('python3', line, { encoding: 'utf8' });
    expect([status, stderr]).toEqual([1, "there is no section 'kernel'; of check, kernels, step, klein, encode\n"]);
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
  const cases = bundleCases(['klein-4b'], target);
  for (const { name, compiled, description } of cases.flatMap((one) => compileForms(one, target))) {
    programs[name] = await bundleProgram(compiled, description, keep);
    for (const { thread, tile } of compiled.kernels.values()) {
      kernels[thread.name] = {
        ...describeInterface(thread),
        cubins: { sm_90a: 'kernels.cubin' },
        resources: {},
        resident: {},
        tile: tileToJson(tile),
      };
    }
  }
  const bundle = { format: bundleFormat, compiler: 'none', architectures: ['sm_90a'], kernels, programs };
  await writeFile(join(folder, 'bundle.json'), JSON.stringify(bundle));
  await writeFile(join(folder, 'data.bin'), Buffer.concat(pieces));
  await writeFile(join(folder, 'kernels.cubin'), 'no machine code');
}
