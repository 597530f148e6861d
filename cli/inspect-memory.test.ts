import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { runCommandLine } from '../test/cli-harness.js';
import type { InspectReport } from './inspect/report.js';

const folder = mkdtempSync(join(tmpdir(), 'flux2c-inspect-memory-'));
afterAll(() => rmSync(folder, { recursive: true }));

const inspect = (...args: string[]) => runCommandLine(['inspect', '--width', '64', '--height', '64', ...args]);

describe('inspect --memory', () => {
  it('says what every function needs, and what budgets between the least and all cost', async () => {
    const { stdout, exitCode } = await inspect('--memory', '--json');
    expect(exitCode).toBe(0);
    const { memory = [] } = JSON.parse(stdout) as InspectReport;
    expect(memory.map(({ name }) => name)).toEqual(['text_encoder', 'vae_encoder', 'denoise', 'vae_decoder']);
    for (const { budgets, leastBytes, wholeBytes, name } of memory) {
      expect(budgets[0]!.budgetBytes).toBe(leastBytes);
      const last = budgets.at(-1)!;
      expect(last).toMatchObject({ budgetBytes: wholeBytes, deviceBytes: wholeBytes, streamedBytes: 0, ringBytes: 0 });
      for (const one of budgets) {
        expect(one.deviceBytes, name).toBeLessThanOrEqual(one.budgetBytes);
        expect(one.stepSeconds).toBeGreaterThanOrEqual(one.idealStepSeconds * (1 - 1e-9));
      }
    }
    const denoise = memory.find(({ name }) => name === 'denoise')!;
    const streamed = denoise.budgets.map(({ streamedBytes }) => streamedBytes);
    expect(streamed).toEqual([...streamed].sort((a, b) => b - a));
    expect(streamed[0]).toBeGreaterThan(denoise.wholeBytes / 2);
  });

  it('predicts for the machine it is told of', async () => {
    const stepOf = async (...args: string[]): Promise<number> => {
      const { stdout } = await inspect('--component', 'denoise', '--memory-budget', '4MiB', '--json', ...args);
      return (JSON.parse(stdout) as InspectReport).memory![0]!.budgets[0]!.stepSeconds;
    };
    const slow = await stepOf('--bandwidth', '0.1');
    // Nothing else takes long: a hundredth of the bandwidth is a hundred times as long.
    expect((await stepOf('--bandwidth', '0.001')) / slow).toBeGreaterThan(50);
    expect(await stepOf('--bandwidth', '100', '--compute', '0.001')).toBeGreaterThan(0.1);
  });

  it('prints a table, and a sentence for the whole picture', async () => {
    const { stdout } = await inspect('--memory');
    expect(stdout).toMatch(/^denoise {2}64x64, 16 image \+ 32 text tokens, 20 steps$/m);
    expect(stdout).toMatch(/^ {2}smallest budget {4}[\d.]+[KM]iB$/m);
    expect(stdout).toMatch(/^ {2}budget +taken +weights that stay +ring +streamed a step/m);
    expect(stdout).toMatch(
      /^A picture, whose functions have the memory one after the other, needs [\d.]+MiB, for \w+\.$/m,
    );
  });

  it('shows the plan of a budget', async () => {
    const page = join(folder, 'memory.html');
    const { exitCode } = await inspect('--component', 'denoise', '--memory-budget', '3MiB', '--html', page);
    expect(exitCode).toBe(0);
    const html = readFileSync(page, 'utf8');
    for (const text of ['>streaming<', 'who is busy', 'places in the ring', 'to device']) expect(html).toContain(text);
  });

  it.each([
    [['--memory-budget', '100KiB', '--component', 'denoise'], 'F2C317'],
    [['--memory-budget', 'much'], 'F2C702'],
    [['--memory-budget', '0'], 'F2C702'],
    [['--host-budget', '-1'], 'F2C702'],
    [['--memory', '--bandwidth', 'fast'], 'F2C702'],
    [['--memory-budget', 'auto'], 'F2C703'],
  ] as const)('refuses %j', async (args, code) => {
    const { stderr, exitCode } = await inspect(...args);
    expect(exitCode).toBe(1);
    expect(stderr).toContain(`error ${code}`);
  });

  it.each([
    ['--host-budget', '4MiB'],
    ['--bandwidth', '25'],
    ['--disk', '2'],
    ['--compute', '90'],
  ])('refuses %s where no memory is asked for', async (option, value) => {
    for (const others of [[], ['--json'], ['--html', join(folder, 'none.html')]]) {
      const { stdout, stderr, exitCode } = await inspect(option, value, ...others);
      expect(exitCode).toBe(1);
      expect(stdout).toBe('');
      expect(stderr).toContain(`error F2C703: ${option} `);
      expect(stderr).toContain('together with --memory or --memory-budget');
    }
    expect((await inspect('--component', 'denoise', '--memory', option, value)).exitCode).toBe(0);
  });
});
