import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { cpuTarget } from '../backends/target.js';
import { NullDevice } from '../runtime/null-device.js';
import { decodeTable } from '../runtime/schedules/schedule-table.js';
import type { BoundLaunch, Sequence } from '../runtime/device.js';
import { runCommandLine } from '../test/cli-harness.js';
import { runCli } from './program.js';

const folder = mkdtempSync(join(tmpdir(), 'flux2c-tune-'));
beforeAll(() => vi.stubEnv('FLUX2C_CACHE', join(folder, 'cache')));
afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});

/** Computes nothing; its clock says that small workgroups are fast. */
class ClockedDevice extends NullDevice {
  private readonly launched = new Map<string, readonly BoundLaunch[]>();

  override record(launches: readonly BoundLaunch[], label: string): Sequence {
    this.launched.set(label, launches);
    return super.record(launches, label);
  }

  readonly timeLaunches = async ({ label }: Sequence): Promise<number[]> =>
    (this.launched.get(label) ?? []).map(({ kernel }) => 1e6 * (4 + this.kernels.get(kernel)!.workgroupSize));
}

async function flux2c(arguments_: readonly string[], signal = new AbortController().signal) {
  const [out, err]: [string[], string[]] = [[], []];
  const stream = (texts: string[]): { write: (text: string) => unknown } => ({ write: (text) => texts.push(text) });
  const exitCode = await runCli(arguments_, {
    stdout: stream(out),
    stderr: stream(err),
    env: {},
    signal,
    openDevice: async () => new ClockedDevice(cpuTarget),
    openModel: () => Promise.reject(new Error('not asked for')),
  });
  return { exitCode, stdout: out.join(''), stderr: err.join('') };
}

const sizes = ['--width', '32', '--height', '32', '--text-tokens', '4'];
const component = ['--component', 'text_encoder'];
const file = join(folder, 'table.json');

interface Report {
  readonly functions: readonly {
    readonly kernels: readonly { readonly key: string; readonly origin: string; readonly schedule: object }[];
  }[];
}

async function kernelsOf(...options: readonly string[]): Promise<Report['functions'][number]['kernels']> {
  const { stdout } = await flux2c(['inspect', '--target', 'cpu', ...component, ...sizes, '--json', ...options]);
  return (JSON.parse(stdout) as Report).functions[0]!.kernels;
}

describe('flux2c tune', () => {
  it('keeps what is faster, which other commands then take', async () => {
    const tuned = await flux2c(['tune', ...component, ...sizes, '--seconds', '600', '-o', file]);
    expect(tuned.exitCode, tuned.stderr).toBe(0);
    expect(tuned.stderr).toContain('tuning text_encoder on null device (cpu)');
    expect(tuned.stderr).toMatch(/\d+ schedules for this device are in .*schedules/);
    expect(tuned.stdout).toMatch(/gain +tried +schedule/);
    const table = decodeTable(readFileSync(file), file);
    expect(table.adapter).toMatchObject({ backend: 'cpu', description: 'null device (cpu)' });
    expect(table.kernels.size).toBeGreaterThan(3);

    const kernels = await kernelsOf();
    for (const { key, origin, schedule } of kernels) {
      const entry = table.kernels.get(key);
      expect(origin).toBe(entry === undefined ? 'chosen' : 'tuned');
      if (entry !== undefined) expect(schedule).toEqual(entry.schedule);
    }
    expect(kernels.some(({ origin }) => origin === 'tuned')).toBe(true);
    expect((await kernelsOf('--schedules', 'none')).every(({ origin }) => origin === 'chosen')).toBe(true);
    expect((await kernelsOf('--schedules', file)).some(({ origin }) => origin === 'given')).toBe(true);
  });

  it('is told of by inspect, as text and as a page', async () => {
    const page = join(folder, 'page.html');
    const options = ['--target', 'cpu', ...component, ...sizes];
    const { stdout, stderr } = await flux2c(['inspect', ...options]);
    expect(stderr).toMatch(/^Schedules of \d+ kernels tuned for this device; --schedules none leaves them out\.\n$/);
    expect(stdout).toMatch(/tuned: \w+ /);
    await flux2c(['inspect', ...options, '--html', page]);
    expect(readFileSync(page, 'utf8')).toContain('Schedule (tuned)');
    expect((await flux2c(['inspect', ...component, ...sizes])).stdout).not.toContain('tuned:');
  });

  it('gives files that models are compiled under', async () => {
    const { modelRequest, stderr } = await runCommandLine([
      'generate', 'a circle', '--device', 'cpu', '--schedules', file, '-o', join(folder, 'a.png'),
    ]); // prettier-ignore
    expect(modelRequest?.schedules?.size).toBe(decodeTable(readFileSync(file), file).kernels.size);
    expect(stderr).toContain(`from ${file}, tuned on null device (cpu).`);
    const without = await runCommandLine(['generate', 'a circle', '--device', 'cpu', '-o', join(folder, 'b.png')]);
    expect(without.modelRequest?.schedules?.size).toBe(0);
    expect(without.stderr).not.toContain('chedule');
  });

  it('ends when it is told to', async () => {
    const ended = new AbortController();
    ended.abort();
    const { exitCode, stdout } = await flux2c(['tune', ...component, ...sizes, '--json'], ended.signal);
    expect(exitCode).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ kernels: [] });
    // What was found before is still there.
    expect((await kernelsOf()).some(({ origin }) => origin === 'tuned')).toBe(true);
  });

  it('refuses what it cannot do', async () => {
    const artifact = join(folder, 'artifact');
    mkdirSync(artifact);
    writeFileSync(join(artifact, 'manifest.json'), '{}');
    writeFileSync(join(folder, 'other.json'), '{}');
    const [model, table] = [join(folder, 'none'), join(folder, 'other.json')];
    const cases: readonly (readonly [readonly string[], string])[] = [
      [['tune', model, '--config', 'dev'], 'F2C703'],
      [['tune', '--component', 'nothing'], 'F2C618'],
      [['inspect', '--schedules', join(folder, 'none.json')], 'F2C401'],
      [['inspect', '--schedules', table], 'F2C538'],
      [['inspect', artifact, '--schedules', file], 'F2C703'],
      [['inspect', '--target', 'cpu', '--adapter', 'lavapipe'], 'F2C703'],
    ];
    for (const [arguments_, code] of cases) {
      const { exitCode, stderr } = await flux2c(arguments_);
      expect(stderr, arguments_.join(' ')).toContain(code);
      expect(exitCode).not.toBe(0);
    }
  });
});
