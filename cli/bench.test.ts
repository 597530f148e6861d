import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { cpuTarget } from '../backends/target.js';
import type { GrowthResult } from '../bench/report-growth.js';
import { decodeResult } from '../bench/result.js';
import { NullDevice } from '../runtime/null-device.js';
import { runCommandLine } from '../test/cli-harness.js';
import { runCli } from './program.js';

const folder = mkdtempSync(join(tmpdir(), 'flux2c-bench-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** On a device that computes nothing, so that times are only times. */
async function bench(...options: readonly string[]): Promise<{ exitCode: number; stdout: string; stderr: string }> {
  const [out, err]: [string[], string[]] = [[], []];
  const stream = (texts: string[]): { write: (text: string) => unknown } => ({ write: (text) => texts.push(text) });
  const exitCode = await runCli(['bench', ...options], {
    stdout: stream(out),
    stderr: stream(err),
    env: {},
    signal: new AbortController().signal,
    openDevice: async () => new SlowNullDevice(cpuTarget),
    openModel: () => Promise.reject(new Error('not asked for')),
  });
  return { exitCode, stdout: out.join(''), stderr: err.join('') };
}

/** Calibration makes launches longer until they take some milliseconds. */
class SlowNullDevice extends NullDevice {
  override finish(): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, 8));
  }
}

describe('flux2c bench', () => {
  it('writes results that can be compared', async () => {
    const [json, html] = [join(folder, 'a.json'), join(folder, 'a.html')];
    const sizes = ['--width', '32', '--height', '32', '--repeats', '1', '--warmups', '0'];
    const what = ['--component', 'text_encoder', '--only', 'kernels', '--text-tokens', '4'];
    const run = await bench(...sizes, ...what, '--json', json, '--html', html);
    expect(run.exitCode, run.stderr).toBe(0);
    expect(run.stdout).toContain('flux2-shapes on null device (cpu)');
    expect(run.stdout).toMatch(/6 × layer +\d+/);
    const result = decodeResult(readFileSync(json, 'utf8'), json);
    expect(result.functions.map(({ name }) => name)).toEqual(['text_encoder']);
    expect(result.stages).toEqual([]);
    expect(result.ceilings.gigaflops).toBeGreaterThan(0);
    expect(readFileSync(html, 'utf8')).toContain('roofline');
    const compared = await bench('compare', json, json);
    expect(compared.stdout).toContain('0 of ');
    expect((await bench('compare', json, json, '--all')).stdout).toMatch(/text_encoder +[\d.]+ \S+ +[\d.]+ \S+ +1\.00/);
  });

  it('refuses what it cannot do', async () => {
    const none = join(folder, 'none.json');
    writeFileSync(join(folder, 'other.json'), '{}');
    const cases: readonly (readonly [readonly string[], string])[] = [
      [['model', '--config', 'dev'], 'F2C703'],
      [['--config', 'dev', '--only', 'stages'], 'F2C703'],
      [['--component', 'unet', '--only', 'kernels'], 'F2C618'],
      [['compare', none, none], 'F2C401'],
      [['compare', join(folder, 'other.json'), none], 'F2C711'],
      [['compare', none], 'F2C701'],
    ];
    for (const [options, code] of cases) {
      const { exitCode, stderr } = await bench(...options);
      expect(exitCode).toBe(1);
      expect(stderr).toContain(`error ${code}: `);
    }
  });

  it('fits how costs grow', { timeout: 120_000 }, async () => {
    const [json, html, svg] = ['growth.json', 'growth.html', 'growth.svg'].map((name) => join(folder, name));
    const files = ['--json', json!, '--html', html!, '--svg', svg!];
    const run = await bench('growth', '--largest', '256', '--repeats', '1', '--quiet', ...files);
    expect(run.exitCode, run.stderr).toBe(0);
    expect(run.stderr).toBe('');
    expect(run.stdout).toMatch(/64 to 256 image tokens +work +\d+ MFLOP +[\d.]+ GFLOP .* n² +0 % /);
    const { series } = JSON.parse(readFileSync(json!, 'utf8')) as GrowthResult;
    expect(series).toHaveLength(3 * 5 + 6);
    // What is counted has no noise; times of a device that computes nothing are only times.
    const counted = series.filter(({ quantity }) => ['work', 'launches', 'memory'].includes(quantity));
    for (const { isWorse, fit } of counted) {
      expect(isWorse).toBe(false);
      expect(fit.worstResidual).toBeLessThan(0.01);
    }
    expect(readFileSync(html!, 'utf8')).toContain('image tokens');
    expect(readFileSync(svg!, 'utf8')).toMatch(/^<svg xmlns=.*<\/svg>\n$/s);
  });

  it('explains itself and its subcommand', async () => {
    expect((await runCommandLine(['bench', '--help'])).stdout).toContain('flux2c bench compare before.json after.json');
    expect((await runCommandLine(['bench', 'compare', '--help'])).stdout).toContain('--all');
  });
});
