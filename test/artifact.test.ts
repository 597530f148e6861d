import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openArtifactModel, writeArtifactFolder } from '../cli/artifact-folder.js';
import { embeddedCheckpoint } from '../models/flux2/node/open-model.js';
import { Flux2Pipeline } from '../models/flux2/pipeline.js';
import { NullDevice } from '../runtime/null-device.js';
import { portableWebgpu } from '../backends/target.js';
import { createCpuDevice } from '../runtime/cpu/node/cpu-device.js';
import { runCommandLine } from './cli-harness.js';
import { openPipeline, runShapesCase, shapesCases } from './generate-cases.js';

const root = mkdtempSync(join(tmpdir(), 'flux2c-artifact-'));
const device = createCpuDevice();
const packed = join(root, 'packed');
const pointing = join(root, 'pointing');
const model = join(root, 'model');
afterAll(async () => {
  await device.destroy();
  rmSync(root, { recursive: true });
});

async function compile(...line: readonly string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await runCommandLine(['compile', ...line, '--quiet']);
  if (exitCode !== 0) throw new Error(stderr);
  return stdout;
}

beforeAll(async () => {
  cpSync(embeddedCheckpoint(), model, { recursive: true });
  await compile('-o', packed, '--target', 'cpu', '--pack-weights');
  await compile(model, '-o', pointing, '--target', 'cpu', '--component', 'vae_decoder');
});

/** Every file with its bytes. */
function contents(folder: string): Readonly<Record<string, string>> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return Object.fromEntries(
    files.map((entry) => {
      const path = join(entry.parentPath, entry.name);
      return [path.slice(folder.length), readFileSync(path, 'latin1')] as const;
    }),
  );
}

async function openAndClose(path: string): Promise<void> {
  await (await openArtifactModel(path, device)).close();
}

describe('an artifact', () => {
  it('draws the pictures of the samples, moved and without the model', async () => {
    const moved = join(root, 'moved');
    cpSync(packed, moved, { recursive: true });
    const pipeline = new Flux2Pipeline(await openArtifactModel(moved, device));
    const difference = await runShapesCase(
      pipeline,
      shapesCases().find(({ name }) => name === 'edit_0')!,
    );
    expect(difference.promptEmbeds).toBeLessThanOrEqual(1e-5);
    expect(difference.latents).toBeLessThanOrEqual(1e-3);
    expect(difference.levels).toBeLessThanOrEqual(2);
    await pipeline.close();
  });

  it('serves sizes and references of all kinds without compiling again', async () => {
    const artifact = new Flux2Pipeline(await openArtifactModel(packed, device));
    const compiled = await openPipeline(device);
    const sizes = [16, 32, 48, 64, 80, 96, 112, 128, 144, 160];
    for (const [index, width] of sizes.entries()) {
      const reference = { width: 64, height: 64 + index, data: new Uint8Array(64 * (64 + index) * 3).fill(20 * index) };
      const references = Array.from({ length: index % 4 }, () => reference);
      const height = sizes[(index * 3) % sizes.length]!;
      const request = {
        prompt: 'a red circle',
        width,
        height,
        steps: 1,
        seeds: [3n],
        cfgScale: 1 + (index % 2),
        references,
      };
      const [ours, wanted] = [await artifact.generate(request), await compiled.generate(request)];
      expect(ours.pictures[0]?.decoded).toEqual(wanted.pictures[0]?.decoded);
      expect(ours.pictures[0]?.image).toMatchObject({ width, height });
    }
    await artifact.close();
    await compiled.close();
  });

  it('is the same to the last byte when it is compiled again, over the old one too', async () => {
    const before = contents(pointing);
    const again = join(root, 'again');
    await compile(model, '-o', again, '--target', 'cpu', '--component', 'vae_decoder');
    expect(contents(again)).toEqual(before);
    await compile(model, '-o', again, '--target', 'cpu', '--component', 'vae_decoder');
    expect(contents(again)).toEqual(before);
    expect(readdirSync(root).filter((name) => name.includes('.tmp'))).toEqual([]);
  });

  it('is refused when any of its files is missing or was changed', async () => {
    for (const file of Object.keys(contents(pointing))) {
      const broken = join(root, 'broken');
      rmSync(broken, { recursive: true, force: true });
      cpSync(pointing, broken, { recursive: true });
      rmSync(join(broken, file));
      await expect(openAndClose(broken)).rejects.toMatchObject({ code: 'F2C532' });
      const bytes = readFileSync(join(pointing, file));
      bytes[bytes.length >> 1]! ^= 1;
      writeFileSync(join(broken, file), bytes);
      await expect(openAndClose(broken)).rejects.toMatchObject({ code: expect.stringMatching(/^F2C53/) as unknown });
    }
  });

  it('is refused when its weights have changed or gone', async () => {
    const weights = join(model, 'vae/diffusion_pytorch_model.safetensors');
    await openAndClose(pointing);
    const { mtime } = await import('node:fs').then(({ statSync }) => statSync(weights));
    utimesSync(weights, mtime, new Date(mtime.getTime() + 5000));
    await expect(openAndClose(pointing)).rejects.toMatchObject({ code: 'F2C535' });
    utimesSync(weights, mtime, mtime);
    await openAndClose(pointing);
    renameSync(weights, `${weights}.away`);
    await expect(openAndClose(pointing)).rejects.toMatchObject({ code: 'F2C535' });
    renameSync(`${weights}.away`, weights);
  });

  it('is refused on a device that it was not compiled for', async () => {
    const other = new NullDevice(portableWebgpu);
    await expect(openArtifactModel(packed, other)).rejects.toMatchObject({ code: 'F2C533' });
  });

  it('says which functions it has', async () => {
    const opened = await openArtifactModel(pointing, device);
    await expect(opened.open('denoise')).rejects.toMatchObject({ code: 'F2C618' });
    await expect(opened.openTokenizer()).rejects.toMatchObject({ code: 'F2C618' });
    await opened.close();
  });

  it('has no weights when it was compiled from a configuration', async () => {
    const path = join(root, 'configuration');
    await compile('--config', 'klein-4b', '-o', path, '--target', 'cpu', '--component', 'vae_encoder');
    const opened = await openArtifactModel(path, device);
    expect(opened.description.transformer?.hidden).toBe(3072);
    await expect(opened.open('vae_encoder')).rejects.toMatchObject({ code: 'F2C534' });
    await opened.close();
  });
});

describe('writing an artifact', () => {
  const manifest = new Map([['manifest.json', new TextEncoder().encode('{}')]]);

  it('puts the manifest last, and leaves nothing when it fails', async () => {
    const path = join(root, 'failing/artifact');
    mkdirSync(join(root, 'failing'));
    const failing = writeArtifactFolder(path, manifest, async (folder) => {
      expect(readdirSync(folder)).toEqual([]);
      throw new Error('the disk is full');
    });
    await expect(failing).rejects.toMatchObject({ code: 'F2C711', detail: { found: 'the disk is full' } });
    expect(readdirSync(join(root, 'failing'))).toEqual([]);
  });

  it('replaces artifacts and nothing else', async () => {
    const path = join(root, 'precious');
    mkdirSync(path);
    writeFileSync(join(path, 'novel.txt'), 'once upon a time');
    await expect(writeArtifactFolder(path, manifest)).rejects.toMatchObject({ code: 'F2C710' });
    expect(readdirSync(path)).toEqual(['novel.txt']);
  });

  it('keeps the old artifact when a new one is interrupted', async () => {
    const before = contents(pointing);
    const controller = new AbortController();
    controller.abort();
    const line = ['compile', model, '-o', pointing, '--target', 'cpu', '--component', 'vae_decoder'];
    expect((await runCommandLine(line, { signal: controller.signal })).exitCode).toBe(130);
    expect(contents(pointing)).toEqual(before);
    await openAndClose(pointing);
  });

  it.each([
    [['--config', 'dev', model], 'F2C703'],
    [['--config', 'dev', '--pack-weights'], 'F2C703'],
    [['--config', 'schnell'], 'F2C701'],
    [[model, '--cached-references'], 'F2C614'],
    [['--config', 'dev', '--cached-references'], 'F2C614'],
    [['--config', 'klein-9b', '--component', 'denoise_cached'], 'F2C618'],
    [['--component', 'unet'], 'F2C618'],
    [['no/such/model'], 'F2C401'],
  ])('refuses %j', async (options, code) => {
    const { exitCode, stderr } = await runCommandLine(['compile', '-o', join(root, 'never'), ...options]);
    expect(exitCode).toBe(1);
    expect(stderr).toContain(`error ${code}: `);
  });
});
