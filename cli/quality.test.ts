import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { QualityResult, WeightQuality } from '../bench/quality/result.js';
import { embeddedCheckpoint } from '../models/flux2/node/open-model.js';
import { runCommandLine } from '../test/cli-harness.js';
import { chooseDevice } from './choose-device.js';
import { openModel } from './open-model.js';
import { runCli } from './program.js';

const folder = mkdtempSync(join(tmpdir(), 'flux2c-quality-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** On the processor, with real models. */
function quality(arguments_: readonly string[], signal?: AbortSignal): ReturnType<typeof flux2c> {
  return flux2c(['quality', '--device', 'cpu', ...arguments_], signal);
}

async function flux2c(
  arguments_: readonly string[],
  signal = new AbortController().signal,
): Promise<{ exitCode: number; stdout: string; stderr: string }> {
  const [out, err]: [string[], string[]] = [[], []];
  const stream = (texts: string[]): { write: (text: string) => unknown } => ({ write: (text) => texts.push(text) });
  const exitCode = await runCli(arguments_, {
    stdout: stream(out),
    stderr: stream(err),
    env: {},
    signal,
    openDevice: chooseDevice,
    openModel,
  });
  return { exitCode, stdout: out.join(''), stderr: err.join('') };
}

const small = ['--width', '32', '--height', '48', '--steps', '2', '--seeds', '1,2', '--prompt', 'a red circle'];

/** A weight as a line: models list theirs in orders of their own. */
function lineOf(weight: WeightQuality): string {
  return JSON.stringify(weight);
}

describe('flux2c quality', () => {
  it('reports weights, prompts, blocks and pictures as text and as a page', async () => {
    const html = join(folder, 'int8.html');
    const run = await quality([...small, '--quantize', 'int8', '--keep', '*.to_out.weight', '--html', html]);
    expect(run.exitCode, run.stderr).toBe(0);
    expect(run.stdout).toMatch(/^flux2-shapes in int8 against flux2-shapes, on /);
    expect(run.stdout).toMatch(/transformer double ff\.linear_in +2 +864 KiB +\S+ KiB +8\.\d\d +0\.00\d+/);
    expect(run.stdout).toMatch(/single\.5 +image +(\S+ *){2}\n/);
    expect(run.stdout).toContain('2 pictures, 32 × 48, 2 steps, guidance 4, classifier-free guidance 2.5');
    expect(run.stdout).toMatch(/\d+\.\d dB +\S+ +2 +a red circle\n/);
    expect(run.stderr).toMatch(/drawing with flux2-shapes\n.*drawing with flux2-shapes in int8\n/s);
    const page = readFileSync(html, 'utf8');
    expect(page.match(/<img src="data:image\/png;base64,/g)).toHaveLength(6);
    expect(page).toMatch(/<svg.*residual|residual.*<svg/s);
    expect(page).not.toMatch(/https?:|src="(?!data:)/);
  });

  it('compares with another model, which takes from the original what it lacks', async () => {
    const original = embeddedCheckpoint();
    const other = join(original, 'transformer/diffusion_pytorch_model.safetensors');
    const run = await quality([...small, original, other, '--json', '--quiet']);
    expect(run.exitCode, run.stderr).toBe(0);
    expect(run.stderr).toBe('');
    const result = JSON.parse(run.stdout) as QualityResult;
    expect([result.original, result.other]).toEqual(['checkpoint', 'diffusion_pytorch_model.safetensors']);
    expect(result.summary).toEqual({ psnr: null, worstPsnr: null, latents: 0 });
    expect(result.weights!.each.every(({ encoding, relativeL2 }) => encoding === null && relativeL2 === 0)).toBe(true);
    expect(result.blocks).toHaveLength(2 * (2 * 8 + 1));
  });

  it('compares with an artifact by weights and pictures', async () => {
    const artifact = join(folder, 'artifact');
    const compile = ['compile', embeddedCheckpoint(), '--target', 'cpu', '--quantize', 'int8', '-o', artifact];
    expect((await flux2c([...compile, '--quiet'])).stderr).toBe('');
    const run = await quality([...small, embeddedCheckpoint(), artifact, '--json']);
    expect(run.exitCode, run.stderr).toBe(0);
    expect(run.stderr).toContain('Blocks are not compared');
    const result = JSON.parse(run.stdout) as QualityResult;
    expect(result.blocks).toBeNull();
    expect(result.weights!.each.length).toBeGreaterThan(100);
    // As when the weights are encoded while they load.
    const made = await quality([...small, '--quantize', 'int8', '--json']);
    const { weights, summary } = JSON.parse(made.stdout) as QualityResult;
    const encoded = result.weights!.each.filter(({ encoding }) => encoding !== null);
    expect(encoded.map(lineOf).sort()).toEqual(weights!.each.map(lineOf).sort());
    expect(result.weights!.each.every(({ encoding, relativeL2 }) => encoding !== null || relativeL2 === 0)).toBe(true);
    expect(result.summary).toEqual(summary);
  });

  it('keeps to a budget of memory', async () => {
    const budget = ['--memory-budget', '12MiB', '--host-budget', '4MiB'];
    const free = await quality([...small, '--quantize', 'nf4', '--json']);
    const tight = await quality([...small, '--quantize', 'nf4', '--json', ...budget]);
    expect(tight.exitCode, tight.stderr).toBe(0);
    const [a, b] = [free, tight].map(({ stdout }) => JSON.parse(stdout) as QualityResult) as [QualityResult, QualityResult]; // prettier-ignore
    expect({ ...b }).toEqual(a);
  });

  it('stops at Ctrl-C', async () => {
    const run = await quality([...small, '--quantize', 'int8'], AbortSignal.abort());
    expect(run.exitCode, run.stderr).toBe(130);
  });

  it.each([
    [[], 'F2C703', 'nothing to compare'],
    [['a', 'b', '--quantize', 'int8'], 'F2C703', 'both say'],
    [['a', '--keep', '*'], 'F2C703', '--quantize'],
    [['--quantize', 'int3'], 'F2C702', '--quantize'],
    [['--quantize', 'q4_k'], 'F2C702', '--quantize'],
    [['--quantize', 'int8', '--keep', 'nothing.*'], 'F2C702', '--keep'],
    [['--quantize', 'int8', '--seeds', 'one'], 'F2C702', '--seeds'],
    [['--quantize', 'int8', '--html', 'no/such/folder/a.html'], 'F2C707', 'mkdir -p no/such/folder'],
    [['missing', 'b'], 'F2C401', 'missing'],
    [['a', 'b', 'c'], 'F2C701', ''],
  ])('refuses %s with %s', async (arguments_, code, text) => {
    const { exitCode, stderr } = await quality(arguments_);
    expect(exitCode).toBe(1);
    expect(stderr).toContain(`error ${code}: `);
    expect(stderr).toContain(text);
  });

  it('explains itself', async () => {
    expect((await runCommandLine(['quality', '--help'])).stdout).toContain('flux2c quality --quantize int4');
  });
});
