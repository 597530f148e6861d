import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { runCommandLine } from '../test/cli-harness.js';
import { embeddedDescription, FakeFlux2Model } from '../test/fake-flux2-model.js';
import { readSafetensors } from '../test/read-safetensors.js';
import { readPictureMetadata } from '../models/flux2/picture-metadata.js';
import { encodeImage } from '../models/flux2/node/image-files.js';
import { writeFile } from 'node:fs/promises';
import { writeTensors } from './tensor-files.js';

const root = mkdtempSync(join(tmpdir(), 'flux2c-generate-'));
afterAll(() => rmSync(root, { recursive: true }));
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(root, 'case-'));
});
const small = ['--width', '32', '--height', '16', '--steps', '4', '--seed', '5'];

describe('flux2c generate', () => {
  it('writes the picture with its settings and says where', async () => {
    const path = join(folder, 'a.png');
    const run = await runCommandLine(['generate', 'a red circle', '-o', path, ...small, '--cfg-scale', '2']);
    expect(run).toMatchObject({ exitCode: 0, deviceDestroyed: true });
    expect(run.model.closed).toBe(true);
    expect(run.stdout).toBe(`${path}  32x16, 4 steps, seed 5\n`);
    expect(run.stderr).toContain('denoising 4/4');
    expect(readPictureMetadata(readFileSync(path))).toEqual({
      prompt: 'a red circle',
      seed: '5',
      settings: { model: 'fake', width: 32, height: 16, steps: 4, guidance: 4, cfgScale: 2, noiseDtype: 'f32' },
    });
  });

  it('numbers several pictures and prints everything as JSON', async () => {
    const path = join(folder, 'b.webp');
    const run = await runCommandLine(['generate', 'x', '-o', path, ...small, '--count', '3', '--json', '-q']);
    expect(run.stderr).toBe('');
    const report = JSON.parse(run.stdout) as { files: { path: string; seed: string; settings: object }[] };
    expect(report.files.map((file) => file.path)).toEqual(
      [1, 2, 3].map((number) => join(folder, `b-000${number}.webp`)),
    );
    expect(report.files[2]).toMatchObject({ seed: '5', settings: { picture: 3, count: 3 } });
    expect(readdirSync(folder)).toHaveLength(3);
  });

  it('draws a seed that it reports when none is given', async () => {
    const path = join(folder, 'a.png');
    const run = await runCommandLine(['generate', 'x', '-o', path, '--width', '16', '--height', '16', '--steps', '1']);
    expect(run.stdout).toMatch(/seed \d+\n$/);
  });

  it('passes references on, and gives every option to the pipeline', async () => {
    const reference = join(folder, 'reference.png');
    await writeFile(reference, await encodeImage({ width: 64, height: 64, data: new Uint8Array(64 * 64 * 3) }, 'png'));
    const images = ['--image', reference, '--image', reference];
    const options = [
      '--device',
      'cpu',
      '--model',
      'some/model',
      '--vae',
      'some/vae',
      '--cached-references',
      '--guidance',
      '2.5',
    ];
    const run = await runCommandLine(['generate', 'x', '-o', join(folder, 'a.png'), ...small, ...images, ...options]);
    expect(run.exitCode).toBe(0);
    expect(run.deviceChoice).toMatchObject({ device: 'cpu' });
    expect(run.modelRequest).toMatchObject({ model: 'some/model', vae: 'some/vae', cachedReferences: true });
    const { inputs } = run.model.calls.find(({ name }) => name.startsWith('denoise'))!;
    expect(inputs['ref_ids']?.shape).toEqual([32, 4]);
    expect([...inputs['guidance']!.values]).toEqual([2.5]);
  });

  it('takes noise and embeddings from files, and saves latents', async () => {
    const files = { noise: join(folder, 'noise.safetensors'), embeds: join(folder, 'embeds.safetensors') };
    const values = Float32Array.from({ length: 2 * 128 * 2 }, (_, i) => i / 512);
    await writeTensors(files.noise, new Map([['in.noise', { dtype: 'f32', shape: [2, 128, 1, 2], values }]]));
    const embeds = { dtype: 'f32', shape: [1, 3, 288], values: new Float32Array(3 * 288) } as const;
    await writeTensors(files.embeds, new Map([['prompt_embeds', embeds]]));
    const saved = join(folder, 'latents.safetensors');
    const given = ['--noise', files.noise, '--prompt-embeds', files.embeds, '--save-latents', saved];
    const model = new FakeFlux2Model(embeddedDescription(), { missing: ['text_encoder'] });
    const path = join(folder, 'a.png');
    const run = await runCommandLine(
      ['generate', '-o', path, ...given, '--steps', '2', '--cfg-scale', '1', '--batch-size', '1'],
      { model },
    );
    expect(run.stderr).not.toContain('error');
    const latents = readSafetensors(saved);
    expect([...latents.names].sort()).toEqual(['mid.latents.0', 'mid.latents.1', 'out.decoded']);
    expect(latents.tensor('mid.latents.1').shape).toEqual([2, 2, 128]);
    // Channel 5 of the second picture's first token.
    expect(latents.tensor('mid.latents.1').values[256 + 5]).toBeCloseTo((256 + 10) / 512 - 0.5, 6);
    expect(latents.tensor('out.decoded').shape).toEqual([2, 3, 16, 32]);
    expect(readPictureMetadata(readFileSync(join(folder, 'a-0002.png')))).toMatchObject({ prompt: '', seed: '' });
  });

  it('writes previews', async () => {
    const previews = join(folder, 'previews');
    const run = await runCommandLine(['generate', 'x', '-o', join(folder, 'a.png'), ...small, '--preview', previews]);
    expect(run.exitCode).toBe(0);
    expect(readdirSync(previews)).toEqual([1, 2, 3].map((step) => `preview-0001-step-00${step}.png`));
  });

  it('leaves no file and exits with 130 when it is interrupted', async () => {
    const controller = new AbortController();
    controller.abort();
    const run = await runCommandLine(['generate', 'x', '-o', join(folder, 'a.png'), ...small], {
      signal: controller.signal,
    });
    expect(run).toMatchObject({ exitCode: 130, deviceDestroyed: true });
    expect(run.stderr).toMatch(/interrupted\n$/);
    expect(readdirSync(folder)).toEqual([]);
  });

  it.each([
    [['--width', '100'], 'F2C666', 'multiple of 16'],
    [['--width', 'wide'], 'F2C702', '--width'],
    [['--steps', '0'], 'F2C702', 'from 1 to 1000'],
    [['--seed', '1.5'], 'F2C702', '--seed'],
    [['--seed', '1,2'], 'F2C662', 'seeds'],
    [['--guidance', 'much'], 'F2C702', '--guidance'],
    [['--device', 'gpu'], 'F2C701', 'auto, webgpu, cpu'],
    [['--operands', 'fp4'], 'F2C701', 'f32, f16, bf16, fp8'],
    [['--colour', 'red'], 'F2C701', '--colour'],
    [['--heigth', '64'], 'F2C701', 'Did you mean --height?'],
    [['--image', 'missing.png'], 'F2C634', 'missing.png'],
    [['--noise', 'missing.safetensors'], 'F2C703', '--seed or --noise'],
    [['--prompt-embeds', 'missing.safetensors'], 'F2C703', 'the prompt or --prompt-embeds'],
    [['--preview-every', '2'], 'F2C703', '--preview'],
    [['-o', 'picture.gif'], 'F2C637', '.png'],
    [['-o', 'no/such/folder/a.png'], 'F2C707', 'mkdir -p no/such/folder'],
    [['--tile', 'small'], 'F2C702', '--tile'],
  ])('refuses %j with %s', async (options, code, text) => {
    const run = await runCommandLine(['generate', 'x', '-o', join(folder, 'a.png'), ...small, ...options]);
    expect(run.exitCode).toBe(1);
    expect(run.stderr).toContain(`error ${code}: `);
    expect(run.stderr).toContain(text);
    expect(run.stderr).not.toMatch(/\n\s+at /);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('wants a prompt, and shows stack traces only with --debug', async () => {
    const plain = await runCommandLine(['generate']);
    expect(plain.stderr).toContain('error F2C703: there is nothing to draw');
    const debug = await runCommandLine(['generate', '--debug']);
    expect(debug.stderr).toMatch(/\n\s+at /);
  });
});
