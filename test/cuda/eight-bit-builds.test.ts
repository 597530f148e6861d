/** Operands in fp8: which GPUs `compile` and `inspect` take, and what the artifact asks of one. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { cudaTarget } from '../../backends/cuda/cuda-target.js';
import { cpuTarget, type Target } from '../../backends/target.js';
import { openArtifactFolder } from '../../cli/artifact-folder.js';
import type { InspectReport } from '../../cli/inspect/report.js';
import { withSubject } from '../../cli/inspect/subject.js';
import { targetsOf } from '../../cli/target-options.js';
import type { Flux2cError } from '../../ir/diagnostics.js';
import { chooseBuild } from '../../runtime/artifact/choose-build.js';
import { runCommandLine } from '../cli-harness.js';

const root = mkdtempSync(join(tmpdir(), 'flux2c-eight-bit-builds-'));
afterAll(() => rmSync(root, { recursive: true }));

const fp8 = ['--target', 'cuda', '--operands', 'fp8'];
const leftOut = 'sm_80, sm_86 are left out: they have no 8-bit floats.\n';
const eightBit = [
  { name: 'mma', architectures: ['sm_89', 'sm_120'] },
  { name: 'wgmma', architectures: ['sm_90a'] },
];

async function compile(name: string, ...options: readonly string[]) {
  const path = join(root, name);
  return { path, ...(await runCommandLine(['compile', '-o', path, '--no-cubin', ...options])) };
}

const buildsOf = async (path: string) => (await openArtifactFolder(path)).manifest.builds;

describe('operands in fp8', () => {
  it('are for all GPUs that have them, unless some are named', async () => {
    const klein = ['inspect', '--config', 'klein-4b', '--component', 'denoise'];
    const inspected = await runCommandLine([...klein, ...fp8, '--json']);
    expect(inspected.exitCode, inspected.stderr).toBe(0);
    expect(inspected.stderr).toContain(leftOut);
    const report = JSON.parse(inspected.stdout) as InspectReport;
    expect(report).toMatchObject({ builds: eightBit, build: 'mma', target: { fp8: true } });
    const compiled = await compile('all', '--component', 'denoise', ...fp8);
    expect(compiled.exitCode, compiled.stderr).toBe(0);
    expect(compiled.stderr).toContain(leftOut);
    const builds = [...(await buildsOf(compiled.path))];
    expect(builds.map(([name, { architectures }]) => ({ name, architectures }))).toEqual(eightBit);
    for (const [, { target }] of builds) expect(target.fp8).toBe(true);
    const named = ['--arch', 'sm_89', '--component', 'denoise', ...fp8];
    expect((await compile('one', ...named)).stderr).not.toContain('left out');
    expect((await runCommandLine(['inspect', ...named])).stderr).not.toContain('left out');
    expect((await runCommandLine(['inspect', '--component', 'denoise', ...fp8, '--quiet'])).stderr).toBe('');
  });

  it('are refused for GPUs without them, by compile as by inspect', async () => {
    for (const arch of ['sm_86', 'sm_80,sm_89', 'sm_89,sm_90a,sm_86']) {
      const options = ['--config', 'klein-4b', '--component', 'denoise', ...fp8, '--arch', arch];
      const [compiled, inspected] = [await compile('never', ...options), await runCommandLine(['inspect', ...options])];
      for (const { exitCode, stderr } of [compiled, inspected]) {
        expect(exitCode).toBe(1);
        expect(stderr).toMatch(/error F2C307: [^]*expected sm_89, sm_90a, sm_120\b/);
      }
      expect(inspected.stderr).toBe(compiled.stderr);
    }
  });

  it('are announced with what they are for', async () => {
    for (const command of ['compile', 'inspect']) {
      const { stdout } = await runCommandLine([command, '--help']);
      expect(stdout.replaceAll(/\s+/g, ' ')).toMatch(/with --operands fp8 ?sm_89,sm_90a,sm_120\)/);
    }
  });
});

describe('an artifact with operands in fp8', () => {
  it('asks for 8-bit floats only where kernels use them', async () => {
    const { path } = await compile('vae', '--component', 'vae_decoder', ...fp8);
    const builds = await buildsOf(path);
    expect([...builds.keys()]).toEqual(['mma', 'wgmma']);
    for (const { target } of builds.values()) expect(target).not.toHaveProperty('fp8');
    expect(chooseBuild(path, builds, { target: cudaTarget(['sm_80']), description: 'sm_80' })).toBe('mma');
  });

  it('is refused with options of compile that make one for the device', async () => {
    const { path } = await compile('hopper', '--component', 'denoise', '--arch', 'sm_90a', ...fp8);
    const builds = await buildsOf(path);
    const hintFor = (target: Target): string | undefined => {
      try {
        chooseBuild(path, builds, { target, description: 'a device' });
      } catch (error) {
        return (error as Flux2cError).detail.hint;
      }
      return undefined;
    };
    const hint = 'Choose another --device or --adapter, or compile it again with --target ';
    expect(hintFor(cudaTarget(['sm_89']))).toBe(
      `${hint}cuda, which without --arch is for every GPU with 8-bit floats.`,
    );
    expect(hintFor(cudaTarget(['sm_80']))).toBe(
      `${hint}cuda and other --operands than fp8, which without --arch is for every GPU that flux2c knows.`,
    );
    expect(hintFor(cpuTarget)).toBe(`${hint}cpu and other --operands than fp8.`);
    const { path: again } = await compile('again', '--component', 'denoise', ...fp8);
    for (const [architecture, build] of [
      ['sm_89', 'mma'],
      ['sm_90a', 'wgmma'],
    ] as const) {
      const target = cudaTarget([architecture]);
      expect(chooseBuild(again, await buildsOf(again), { target, description: architecture })).toBe(build);
    }
  });
});

describe('what is compiled for', () => {
  it('is never two targets of one family', async () => {
    for (const operands of ['bf16', 'fp8'] as const) {
      const families = targetsOf({ target: 'cuda', operands }).map(({ target }) => target.matrix);
      expect(families).toEqual(['mma', 'wgmma']);
    }
    const targets = (['sm_80', 'sm_89'] as const).map((name) => ({
      target: cudaTarget([name]),
      architectures: [name],
    }));
    const subject = withSubject({ config: 'klein-4b', targets }, () => Promise.resolve());
    await expect(subject).rejects.toThrow('internal: two builds are called mma');
  });
});
