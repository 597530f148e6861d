import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { printCuda } from '../../../backends/cuda/cuda.js';
import { cudaPrelude, cudaPreludeName } from '../../../backends/cuda/prelude/prelude.js';
import { deviceCases, vectorAdd } from '../../../test/device-cases.js';
import type { KernelCompiler } from '../kernel-compiler.js';
import { nvrtcNames } from './cuda-toolkit.js';
import { cacheKernels } from './kernel-cache.js';
import { openNvcc } from './nvcc.js';
import { openNvrtc } from './nvrtc.js';
import { findWorkingNvcc, openKernelCompiler } from './open-compiler.js';

const headers = new Map([[cudaPreludeName, cudaPrelude]]);
const folder = mkdtempSync(join(tmpdir(), 'flux2c-compilers-'));
afterAll(() => rmSync(folder, { recursive: true }));

const sourceOf = (kernel: ReturnType<typeof vectorAdd>['kernel']) => ({
  name: kernel.name,
  text: printCuda(kernel),
  headers,
});
const broken = {
  name: 'broken',
  text: '#include "flux2c.cuh"\nextern "C" __global__ void broken() { undeclared(1); }\n',
  headers,
};

for (const [name, compiler] of [
  ['nvcc', await findWorkingNvcc()],
  ['NVRTC', await openNvrtc(nvrtcNames())],
] as const) {
  if (typeof compiler === 'string') {
    console.warn(`SKIPPED: kernels with ${name}: ${compiler}`);
    it.skip(`kernels with ${name}: ${compiler}`, () => undefined);
    continue;
  }
  describe(`kernels with ${name}`, () => {
    it('say what compiles them', () => {
      expect(compiler.description).toMatch(new RegExp(`^${name} \\d+\\.\\d+`));
    });

    it.each(deviceCases.map((make) => make().kernel))('compile $name', async (kernel) => {
      const cubin = await compiler.compile(sourceOf(kernel), 'sm_80');
      expect([...cubin.subarray(0, 4)]).toEqual([0x7f, 0x45, 0x4c, 0x46]);
      expect(Buffer.from(cubin).includes(`.text.${kernel.name}`)).toBe(true);
    });

    it('are the same when they are compiled again, and others for another architecture', async () => {
      const source = sourceOf(vectorAdd().kernel);
      const [first, again, other] = await Promise.all([
        compiler.compile(source, 'sm_80'),
        compiler.compile(source, 'sm_80'),
        compiler.compile(source, 'sm_90a'),
      ]);
      expect(Buffer.compare(first, again)).toBe(0);
      expect(Buffer.compare(first, other)).not.toBe(0);
    });

    it('are named with the line and what the compiler says', async () => {
      await expect(compiler.compile(broken, 'sm_80')).rejects.toMatchObject({
        code: 'F2C511',
        detail: {
          where: ['kernel broken', 'sm_80', 'line 2: extern "C" __global__ void broken() { undeclared(1); }'],
          found: expect.stringMatching(/identifier "undeclared" is undefined/) as unknown,
        },
      });
    });

    it('are not begun after an abort', async () => {
      const reason = new Error('enough');
      await expect(compiler.compile(broken, 'sm_80', AbortSignal.abort(reason))).rejects.toBe(reason);
    });
  });
}

describe.runIf(process.platform !== 'win32')('nvcc', () => {
  /** A program in the place of nvcc, which starts another one, as nvcc does. */
  function fakeNvcc(body: string): string {
    const path = join(folder, `nvcc-${Math.random().toString(36).slice(2)}`);
    writeFileSync(path, `#!/bin/sh\n[ "$1" = --version ] && { echo 'release 9.9, V9.9.1'; exit; }\n${body}\n`);
    chmodSync(path, 0o755);
    return path;
  }

  it('goes with all that it has started when it is told to', async () => {
    const note = join(folder, 'started');
    const compiler = await openNvcc(fakeNvcc(`sleep 1000 & echo $! > ${note}; pwd >> ${note}; wait`));
    const abort = new AbortController();
    const compiling = compiler.compile(broken, 'sm_80', abort.signal);
    while (!existsSync(note) || readFileSync(note, 'utf8').split('\n').length < 3)
      await new Promise((resolve) => setTimeout(resolve, 5));
    abort.abort();
    await expect(compiling).rejects.toMatchObject({ name: 'AbortError' });
    const [child, place] = readFileSync(note, 'utf8').split('\n');
    expect(existsSync(place!)).toBe(false);
    // The state of a process that has ended but was not asked for is Z.
    const state = execFileSync('sh', ['-c', `ps -o stat= -p ${child} || true`]).toString();
    expect(state).toMatch(/^(Z|$)/);
  });

  it('is not started when it is told to stop while its files are written', async () => {
    const note = join(folder, 'never-started');
    const compiler = await openNvcc(fakeNvcc(`echo > ${note}; sleep 1000`));
    const abort = new AbortController();
    const compiling = compiler.compile(broken, 'sm_80', abort.signal);
    abort.abort();
    await expect(compiling).rejects.toMatchObject({ name: 'AbortError' });
    expect(existsSync(note)).toBe(false);
  });

  it('that does not run is a reason', async () => {
    const before = process.env.FLUX2C_NVCC;
    process.env.FLUX2C_NVCC = '/nonexistent/nvcc';
    expect(await findWorkingNvcc()).toMatch(/^\/nonexistent\/nvcc does not run \(spawn \/nonexistent\/nvcc ENOENT/);
    if (before === undefined) delete process.env.FLUX2C_NVCC;
    else process.env.FLUX2C_NVCC = before;
  });
});

describe('a machine without compilers', () => {
  const before = { ...process.env };
  afterEach(() => {
    for (const name of ['FLUX2C_NVCC', 'FLUX2C_NVRTC']) {
      if (before[name] === undefined) delete process.env[name];
      else process.env[name] = before[name];
    }
  });

  it('says so when the first kernel is to be compiled', async () => {
    process.env.FLUX2C_NVCC = '/nonexistent/nvcc';
    process.env.FLUX2C_NVRTC = '/nonexistent/libnvrtc.so';
    const compiler = openKernelCompiler();
    await expect(compiler.compile(broken, 'sm_80')).rejects.toMatchObject({
      code: 'F2C541',
      detail: { found: expect.stringMatching(/nvcc does not run.*no NVRTC \(\/nonexistent/) as unknown },
    });
  });
});

describe('the cache of machine code', () => {
  const cubin = Uint8Array.from({ length: 100 }, (_, index) => [0x7f, 0x45, 0x4c, 0x46][index] ?? index);
  function counting(description = 'counting 1'): KernelCompiler & { compilations: number } {
    const compiler = {
      description,
      parallelism: 1,
      compilations: 0,
      compile: async () => {
        compiler.compilations++;
        return cubin;
      },
    };
    return compiler;
  }

  it('has what was compiled before, for the same text, headers, architecture and compiler', async () => {
    const cache = join(folder, 'cache');
    const inner = counting();
    const cached = cacheKernels(inner, cache);
    for (let time = 0; time < 3; time++) expect(Buffer.compare(await cached.compile(broken, 'sm_80'), cubin)).toBe(0);
    expect(inner.compilations).toBe(1);
    await cached.compile(broken, 'sm_86');
    await cached.compile({ ...broken, text: 'other' }, 'sm_80');
    await cached.compile({ ...broken, headers: new Map([['flux2c.cuh', 'other']]) }, 'sm_80');
    expect(inner.compilations).toBe(4);
    const newer = counting('counting 2');
    await cacheKernels(newer, cache).compile(broken, 'sm_80');
    expect(newer.compilations).toBe(1);
    expect(readdirSync(join(cache, 'cuda'))).toHaveLength(5);
  });

  /** Makes every file older, as if so many hours had passed. */
  function age(cache: string, hours: number): void {
    for (const name of readdirSync(join(cache, 'cuda'))) {
      const path = join(cache, 'cuda', name);
      const before = new Date(statSync(path).mtimeMs - hours * 3_600_000);
      utimesSync(path, before, before);
    }
  }

  it('loses what was used longest ago beyond its limit, and nothing else', async () => {
    const cache = join(folder, 'pruned');
    const inner = counting();
    // Room for eight entries of 100 bytes, of which one is slack.
    const compile = (text: string) => cacheKernels(inner, cache, 800).compile({ ...broken, text }, 'sm_80');
    for (let at = 0; at < 7; at++) {
      await compile(`${at}`);
      age(cache, 1);
    }
    expect(inner.compilations).toBe(7);
    writeFileSync(join(cache, 'cuda', 'notes.txt'), 'x'.repeat(10_000));
    const unfinished = `${readdirSync(join(cache, 'cuda'))[0]!}.0123456789ab.tmp`;
    writeFileSync(join(cache, 'cuda', unfinished), '');
    await compile('0');
    await compile('7');
    await compile('0');
    expect(inner.compilations).toBe(8);
    expect(readdirSync(join(cache, 'cuda'))).toContain(unfinished);
    age(cache, 2);
    await compile('8');
    expect(readdirSync(join(cache, 'cuda')).sort().at(-1)).toBe('notes.txt');
    expect(readdirSync(join(cache, 'cuda'))).toHaveLength(8);
    for (const text of ['0', '3', '4', '5', '6', '7', '8']) await compile(text);
    expect(inner.compilations).toBe(9);
    await compile('1');
    expect(inner.compilations).toBe(10);
  });

  it('stays within its limit while one compiler fills it, and while several do', async () => {
    const cache = join(folder, 'filled');
    const fill = async (name: string): Promise<void> => {
      const compiler = cacheKernels(counting(name), cache, 1600);
      for (let at = 0; at < 40; at++) await compiler.compile({ ...broken, text: `${at}` }, 'sm_80');
    };
    await fill('alone');
    expect(readdirSync(join(cache, 'cuda')).length).toBeLessThanOrEqual(16);
    const names = ['a', 'b', 'c', 'd'];
    await Promise.all(names.map(fill));
    // Each may have kept its slack of two since another one pruned.
    expect(readdirSync(join(cache, 'cuda')).length).toBeLessThanOrEqual(14 + 2 * names.length);
  });

  it('compiles again what is damaged, and without a folder that can be written', async () => {
    const cache = join(folder, 'damaged');
    const inner = counting();
    await cacheKernels(inner, cache).compile(broken, 'sm_80');
    const [file] = readdirSync(join(cache, 'cuda'));
    writeFileSync(join(cache, 'cuda', file!), '');
    await cacheKernels(inner, cache).compile(broken, 'sm_80');
    expect(inner.compilations).toBe(2);
    writeFileSync(join(folder, 'file'), '');
    await cacheKernels(inner, join(folder, 'file')).compile(broken, 'sm_80');
    await cacheKernels(inner, undefined).compile(broken, 'sm_80');
    expect(inner.compilations).toBe(4);
  });
});
