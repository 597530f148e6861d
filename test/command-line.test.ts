/** The command line on the real device of every machine: the processor. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { chooseDevice } from '../cli/choose-device.js';
import { openModel } from '../cli/open-model.js';
import { runCli } from '../cli/program.js';
import { readPictureMetadata } from '../models/flux2/picture-metadata.js';
import { readSafetensors } from './read-safetensors.js';

const root = mkdtempSync(join(tmpdir(), 'flux2c-cli-'));
afterAll(() => rmSync(root, { recursive: true }));

async function flux2c(...line: readonly string[]): Promise<{ exitCode: number; stdout: string; stderr: string }> {
  const texts = { stdout: '', stderr: '' };
  const stream = (name: keyof typeof texts) => ({ write: (text: string) => (texts[name] += text) });
  const exitCode = await runCli(line, {
    stdout: stream('stdout'),
    stderr: stream('stderr'),
    env: {},
    signal: new AbortController().signal,
    openDevice: chooseDevice,
    openModel,
  });
  return { exitCode, ...texts };
}

describe('flux2c run --device cpu', () => {
  it.each([
    // Position ids with a batch in 64 bits; a BFL file; shards; the layers of a text encoder that stands alone.
    ['transformer-tiny', 'transformer-tiny/cases/b2_4x4_t12', 'sample', 2e-4, []],
    ['transformer-tiny/bfl-tiny.safetensors', 'transformer-tiny/cases/b1_6x4_2refs_t10', 'sample', 2e-4, []],
    ['transformer-klein-tiny', 'transformer-klein-tiny/cases/b2_4x3_1ref_t8', 'sample', 2e-4, []],
    ['vae-tiny', 'vae-tiny/cases/decode_b2_48x80', 'image', 1e-5, []],
    ['vae-tiny', 'vae-tiny/cases/encode_b2_48x80', 'normalized', 1e-5, []],
    ['text-encoder-tiny', 'text-encoder-tiny/cases/b2_left_pad', 'prompt_embeds', 1e-5, ['--layers', '1,3,5']],
    [
      'text-encoder-qwen3-tiny',
      'text-encoder-qwen3-tiny/cases/b2_right_pad',
      'prompt_embeds',
      1e-5,
      ['--layers', '1,3,5'],
    ],
  ] as const)('%s on %s', async (model, name, result, tolerance, options) => {
    const inputs = `test/golden/${name}.safetensors`;
    const outputs = join(root, `${result}.safetensors`);
    const line = ['run', `test/golden/${model}`, '--inputs', inputs, '--outputs', outputs, '--device', 'cpu'];
    const { exitCode, stderr } = await flux2c(...line, ...options);
    expect(stderr).not.toContain('error');
    expect(exitCode).toBe(0);
    const want = readSafetensors(inputs).tensor(`out.${result}`);
    const got = readSafetensors(outputs).tensor(`out.${result}`);
    expect(got.shape).toEqual(want.shape);
    const norm = (of: (i: number) => number): number =>
      Math.sqrt(want.values.reduce((sum, _, i) => sum + of(i) ** 2, 0));
    const relative = norm((i) => got.values[i]! - want.values[i]!) / norm((i) => want.values[i]!);
    expect(relative).toBeLessThanOrEqual(tolerance);
  });

  it('says which layers a text encoder that stands alone can join', async () => {
    const inputs = 'test/golden/text-encoder-tiny/cases/b1_no_pad.safetensors';
    const line = [
      'run',
      'test/golden/text-encoder-tiny',
      '--inputs',
      inputs,
      '--outputs',
      join(root, 'x'),
      '--device',
      'cpu',
    ];
    expect((await flux2c(...line)).stderr).toContain('--layers');
    expect((await flux2c(...line, '--layers', '1,9')).stderr).toContain('error F2C652');
  });
});

describe('flux2c generate --device cpu', () => {
  it('draws a sample from its noise: the picture, its settings, the latents of every step', async () => {
    const sample = 'test/golden/flux2-shapes-samples/case_1';
    const [picture, latents] = [join(root, 'star.png'), join(root, 'star.safetensors')];
    const files = ['--noise', `${sample}.safetensors`, '--save-latents', latents, '-o', picture];
    const line = ['generate', 'a large yellow star on a blue background', '--steps', '8', '--cfg-scale', '1', ...files];
    const { exitCode, stdout, stderr } = await flux2c(...line, '--device', 'cpu');
    expect(stderr).toMatch(/processor/);
    expect(exitCode).toBe(0);
    expect(stdout).toBe(`${picture}  128x128, 8 steps\n`);
    expect(readPictureMetadata(readFileSync(picture))?.settings).toMatchObject({ model: 'flux2-shapes', guidance: 4 });
    const want = readSafetensors(`${sample}.safetensors`).tensor('latents');
    const got = readSafetensors(latents);
    expect(got.names).toHaveLength(9);
    const size = want.values.length / 8;
    for (let step = 0; step < 8; step++) {
      const { shape, values } = got.tensor(`mid.latents.${step}`);
      expect(shape).toEqual([1, 64, 128]);
      const worst = values.reduce(
        (most, value, i) => Math.max(most, Math.abs(value - want.values[step * size + i]!)),
        0,
      );
      expect(worst).toBeLessThan(1e-3);
    }
  });

  it('draws nearly the same with operands in int8, and just that from an artifact with them', async () => {
    const small = ['--device', 'cpu', '--width', '64', '--height', '64', '--steps', '6', '--seed', '5', '-q'];
    const draw = async (name: string, ...options: readonly string[]): Promise<Float64Array> => {
      const latents = join(root, `${name}.safetensors`);
      const files = ['--save-latents', latents, '-o', join(root, `${name}.png`)];
      const { exitCode, stderr } = await flux2c('generate', 'a red circle', ...small, ...files, ...options);
      expect(exitCode, stderr).toBe(0);
      return readSafetensors(latents).tensor('out.decoded').values;
    };
    const artifact = join(root, 'int8');
    const line = ['compile', '-o', artifact, '--target', 'cpu', '--operands', 'int8', '--pack-weights', '-q'];
    const compiled = await flux2c(...line);
    expect(compiled.exitCode, compiled.stderr).toBe(0);
    const own = await draw('own', '--operands', 'int8');
    expect(await draw('packed', '--model', artifact)).toEqual(own);
    // Values are from -1 to 1. 49 dB was measured.
    const exact = await draw('exact');
    const meanSquared = own.reduce((sum, value, at) => sum + (value - exact[at]!) ** 2, 0) / own.length;
    expect(10 * Math.log10(4 / meanSquared)).toBeGreaterThan(45);
    expect(meanSquared).toBeGreaterThan(0);
  });

  it('explains what a model lacks', async () => {
    const before = readdirSync(root).length;
    const file = 'models/flux2/checkpoint/transformer/diffusion_pytorch_model.safetensors';
    const line = ['generate', 'x', '--model', file, '-o', join(root, 'never.png'), '--device', 'cpu'];
    const { exitCode, stderr } = await flux2c(...line);
    expect(exitCode).toBe(1);
    expect(stderr).toContain('error F2C618: the model is not complete');
    expect(stderr).toContain('--vae');
    expect(readdirSync(root)).toHaveLength(before);
  });
});
