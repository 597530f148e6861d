/** Artifacts for GPUs: what `compile --target cuda` writes, and what a device makes of it. */
import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { openArtifactFolder, openArtifactModel } from '../../cli/artifact-folder.js';
import type { LoadableKernel } from '../../runtime/plan/bound-plan.js';
import { createCpuDevice } from '../../runtime/cpu/node/cpu-device.js';
import { kernelHeaders } from '../../runtime/cuda/node/open-cuda.js';
import { findWorkingNvcc } from '../../runtime/cuda/node/open-compiler.js';
import { runCommandLine } from '../cli-harness.js';
import { openMockDevice } from './mock-device.js';
import { encode } from './artifact-encoding.js';

const root = mkdtempSync(join(tmpdir(), 'flux2c-cuda-artifact-'));
const before = { ...process.env };
process.env.FLUX2C_CACHE = join(root, 'cache');
afterAll(() => rmSync(root, { recursive: true }));
afterEach(() => {
  for (const name of ['FLUX2C_NVCC', 'FLUX2C_NVRTC']) {
    if (before[name] === undefined) delete process.env[name];
    else process.env[name] = before[name];
  }
});

/** Fourteen kernels. */
const component = ['--component', 'text_encoder'];
const small = [...component, '--target', 'cuda'];

async function compile(name: string, ...options: readonly string[]) {
  const path = join(root, name);
  return { path, ...(await runCommandLine(['compile', '-o', path, ...small, '--operands', 'f32', ...options])) };
}

/** Of the build of an artifact that has no other. */
async function kernelsOf(path: string): Promise<ReadonlyMap<string, LoadableKernel>> {
  const { manifest, loadBuild } = await openArtifactFolder(path);
  expect(manifest.builds.size).toBe(1);
  return (await loadBuild([...manifest.builds.keys()][0]!)).kernels;
}

const namesIn = (path: string) => readdirSync(join(path, 'kernels'));

const nvcc = await findWorkingNvcc();
if (typeof nvcc === 'string') {
  console.warn(`SKIPPED: machine code in artifacts: ${nvcc}`);
  it.skip(`machine code in artifacts: ${nvcc}`, () => undefined);
}

describe.skipIf(typeof nvcc === 'string')('an artifact with machine code', () => {
  const path = join(root, 'with-code');
  beforeAll(async () => {
    const { exitCode, stdout, stderr } = await compile('with-code', '--arch', 'sm_90a,sm_80');
    if (exitCode !== 0) throw new Error(stderr);
    expect(stdout).toMatch(/kernels for cuda, sm_80, sm_90a, compiled in/);
    expect(stderr).toMatch(/compiling kernels/);
  }, 300_000);

  it('has text, header and machine code, and says what each is', async () => {
    const kernels = await kernelsOf(path);
    expect((await openArtifactFolder(path)).manifest.version).toBe(5);
    expect(readFileSync(join(path, 'kernels/flux2c.cuh'), 'utf8')).toBe(kernelHeaders.get('flux2c.cuh'));
    for (const [name, { source, headers, binaries }] of kernels) {
      expect(source).toBe(readFileSync(join(path, `kernels/${name}.cu`), 'utf8'));
      expect(headers).toEqual(kernelHeaders);
      expect([...binaries!.keys()]).toEqual(['sm_80', 'sm_90a']);
      for (const [architecture, bytes] of binaries!) {
        expect(Buffer.compare(bytes, readFileSync(join(path, `kernels/${name}.${architecture}.cubin`)))).toBe(0);
        expect(Buffer.from(bytes.subarray(1, 4)).toString()).toBe('ELF');
      }
    }
  });

  it('is the same to the last byte when it is compiled again', async () => {
    const again = await compile('again', '--arch', 'sm_80,sm_90a');
    expect(namesIn(again.path)).toEqual(namesIn(path));
    for (const name of ['manifest.json', ...namesIn(path).map((file) => `kernels/${file}`)])
      expect(readFileSync(join(again.path, name)).equals(readFileSync(join(path, name))), name).toBe(true);
  });

  it('gives the numbers of the processor, without compiling where its machine code runs', async () => {
    const onProcessor = join(root, 'processor');
    await runCommandLine(['compile', '-o', onProcessor, ...component, '--target', 'cpu']);
    const cpu = createCpuDevice();
    const want = await encode(onProcessor, cpu);
    await cpu.destroy();
    const { device, driver, compiler } = openMockDevice({ capability: [9, 0] });
    const got = await encode(path, device);
    expect(Math.max(...got.map((value, index) => Math.abs(value - want[index]!)))).toBeLessThan(1e-4);
    expect(compiler.compiled).toEqual([]);
    await device.destroy();
    expect(driver.leaks).toEqual([]);
  });

  it('is compiled from its text, with its own header, on other GPUs', async () => {
    const { device, compiler } = openMockDevice({ capability: [9, 0] });
    const bare = join(root, 'bare');
    const made = await compile('bare', '--arch', 'sm_80', '--no-cubin');
    expect(made.stdout).toMatch(/kernels for cuda, compiled in/);
    expect(namesIn(bare).filter((name) => name.endsWith('.cubin'))).toEqual([]);
    const model = await openArtifactModel(bare, device);
    await (await model.open('text_encoder')).destroy();
    await model.close();
    expect(compiler.compiled).toHaveLength(namesIn(bare).filter((name) => name.endsWith('.cu')).length);
    expect(compiler.compiled.every((name) => name.endsWith(' sm_90a'))).toBe(true);
    expect(compiler.headers).toEqual(kernelHeaders);
    await device.destroy();
  });

  it('is refused when any of its files was changed', async () => {
    const broken = join(root, 'broken');
    for (const name of ['flux2c.cuh', namesIn(path).find((file) => file.endsWith('.cubin'))!]) {
      cpSync(path, broken, { recursive: true });
      writeFileSync(join(broken, 'kernels', name), 'changed');
      await expect(kernelsOf(broken)).rejects.toMatchObject({ code: 'F2C532' });
      rmSync(broken, { recursive: true });
    }
  });
});

describe('compiling for GPUs', () => {
  it('leaves machine code out where there is no compiler, and says so', async () => {
    process.env.FLUX2C_NVCC = '/nonexistent/nvcc';
    process.env.FLUX2C_NVRTC = '/nonexistent/libnvrtc.so';
    const { exitCode, path, stderr } = await compile('textual');
    expect(exitCode).toBe(0);
    expect(stderr).toMatch(/No machine code goes into the artifact \(.*nvcc does not run.*will compile the kernels\./);
    expect(namesIn(path).filter((name) => name.endsWith('.cubin'))).toEqual([]);
    expect((await kernelsOf(path)).values().next().value).not.toHaveProperty('binaries');
  });

  it.runIf(process.platform !== 'win32')('ends its compilers when it is interrupted', async () => {
    const note = join(root, 'started');
    const script = join(root, 'slow-nvcc');
    writeFileSync(
      script,
      `#!/bin/sh\n[ "$1" = --version ] && { echo V9.9.9; exit; }\necho $$ >> ${note}\nsleep 1000\n`,
    );
    chmodSync(script, 0o755);
    process.env.FLUX2C_NVCC = script;
    const abort = new AbortController();
    const path = join(root, 'interrupted');
    const running = runCommandLine(['compile', '-o', path, ...small], { signal: abort.signal });
    while (!existsSync(note)) await new Promise((resolve) => setTimeout(resolve, 10));
    abort.abort();
    expect((await running).exitCode).toBe(130);
    expect(existsSync(path)).toBe(false);
    for (const started of readFileSync(note, 'utf8').trim().split('\n')) {
      const state = execFileSync('sh', ['-c', `ps -o stat= -p ${started} || true`]).toString();
      expect(state).toMatch(/^(Z|$)/);
    }
  });

  it.each([
    [['--arch', 'sm_80,sm_75'], 'F2C702'],
    [['--arch', 'sm_80', '--target', 'webgpu'], 'F2C703'],
  ])('refuses %j', async (options, code) => {
    const { exitCode, stderr } = await compile('never', ...options);
    expect([exitCode, stderr.includes(`error ${code}: `)]).toEqual([1, true]);
  });
});
