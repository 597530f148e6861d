import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { cpuTarget } from '../backends/target.js';
import { NullDevice } from '../runtime/null-device.js';
import { runCommandLine } from '../test/cli-harness.js';
import { artifactMemory } from './artifact-folder.js';
import type { PlannedFunction } from './compile-memory.js';
import { resolveMemory } from './memory-budget.js';

const root = mkdtempSync(join(tmpdir(), 'flux2c-compile-memory-'));
const artifact = join(root, 'artifact');
afterAll(() => rmSync(root, { recursive: true }));

const compile = (...line: readonly string[]): ReturnType<typeof runCommandLine> =>
  runCommandLine(['compile', '-o', artifact, '--target', 'cpu', '--component', 'transformer', '--quiet', ...line]);

describe('compile --memory-budget', () => {
  it('plans every function, says what streams, and the artifact remembers it', async () => {
    const { stdout, stderr } = await compile('--memory-budget', '5MiB', '--host-budget', '6MiB', '--json');
    expect(stderr).toBe('');
    interface Report {
      readonly memory: object;
      readonly builds: readonly [{ readonly memory: readonly PlannedFunction[]; readonly functions: readonly { readonly name: string }[] }];
    } // prettier-ignore
    const { builds, memory } = JSON.parse(stdout) as Report;
    expect(memory).toEqual({ deviceBytes: 5 * 2 ** 20, hostBytes: 6 * 2 ** 20 });
    expect(builds[0].memory.map(({ name }) => name)).toEqual(builds[0].functions.map(({ name }) => name));
    for (const fn of builds[0].memory) {
      expect(fn.deviceBytes, fn.name).toBeLessThanOrEqual(5 * 2 ** 20);
      expect(fn.streamedBytes, fn.name).toBeGreaterThan(2 ** 20);
      expect(fn.hostBytes, fn.name).toBeLessThanOrEqual(6 * 2 ** 20);
      expect(fn.hasSteps).toBe(fn.name !== 'transformer');
    }
    expect(await artifactMemory(artifact)).toEqual(memory);
    const text = await compile('--memory-budget', '5MiB');
    expect(text.stdout).toMatch(
      /are streamed in every step, .* of them kept in host memory; it takes .*, about .* a step/,
    );
    expect(text.stdout).toMatch(/memory budget: 5MiB; predicted for 128x128/);
  });

  it('refuses what has no plan, and what has no meaning yet', async () => {
    const before = await artifactMemory(artifact);
    const tooSmall = await compile('--memory-budget', '600KiB');
    expect(tooSmall.stderr).toMatch(/error F2C317[^]*a budget of at least/);
    expect((await compile('--memory-budget', 'auto')).stderr).toContain('error F2C702');
    expect((await compile('--host-budget', '1GiB')).stderr).toContain('error F2C703');
    expect(await artifactMemory(artifact)).toEqual(before);
  });

  it.each([
    ['--memory-budget', 'auto'],
    ['--host-budget', '1GiB'],
  ])('refuses %s %s before anything is compiled', async (option, value) => {
    const { stderr } = await compile(option, value, '--print-after', 'fuse');
    expect(stderr).toMatch(/^error F2C70[23]: /);
    expect((await compile('--print-after', 'fuse')).stderr).toContain('// after ');
  });

  it('is what a run gets that asks for nothing else', async () => {
    const device = new NullDevice(cpuTarget);
    const notices: string[] = [];
    const resolve = (options: object): ReturnType<typeof resolveMemory> =>
      resolveMemory(options, device, (sentence) => notices.push(sentence), {
        deviceBytes: 2 ** 30,
        hostBytes: 2 ** 31,
      });
    expect(resolve({})).toMatchObject({ deviceBytes: 2 ** 30, hostBytes: 2 ** 31 });
    expect(notices).toEqual(['Memory budget: 1GiB, which the artifact was compiled for.']);
    expect(resolve({ memoryBudget: 2 ** 29 })).toMatchObject({ deviceBytes: 2 ** 29, hostBytes: 2 ** 31 });
    expect(resolve({ hostBudget: 2 ** 28 })).toMatchObject({ deviceBytes: 2 ** 30, hostBytes: 2 ** 28 });
    expect(notices).toHaveLength(2);
    expect(await artifactMemory(root)).toBeUndefined();
    expect(await artifactMemory(undefined)).toBeUndefined();
  });
});

describe('compile --config --quantize', () => {
  it('makes plans of encoded weights that there are none of', async () => {
    const path = join(root, 'plans');
    const line = ['--config', 'klein-4b', '--component', 'denoise', '--target', 'cpu', '--quantize', 'int4'];
    const { exitCode, stderr } = await runCommandLine(['compile', ...line, '-o', path, '--memory-budget', '3GiB']);
    expect(exitCode, stderr).toBe(0);
    const { stdout } = await runCommandLine(['inspect', path, '--json']);
    const { components } = JSON.parse(stdout) as { components: readonly object[] };
    expect(components).toEqual([expect.objectContaining({ name: 'transformer', storedAs: expect.arrayContaining(['int4:64', 'bf16']) as unknown })]); // prettier-ignore
  });
});
