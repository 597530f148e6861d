/** What of a model goes into an artifact, what it points to, and what happens when that goes wrong. */
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'; // prettier-ignore
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openArtifactFolder, openArtifactModel, writeArtifactFolder } from '../cli/artifact-folder.js';
import { planWeights } from '../cli/compile-weights.js';
import type { TensorUse } from '../models/flux2/compile-artifact.js';
import { closeModel, loadModel, type LoadedModel } from '../models/flux2/load-model.js';
import { embeddedCheckpoint, openModelFiles } from '../models/flux2/node/open-model.js';
import type { Component } from '../models/flux2/weights.js';
import type { ArtifactWeights, WeightEntry } from '../runtime/artifact.js';
import { createCpuDevice } from '../runtime/cpu/node/cpu-device.js';
import { runCommandLine } from './cli-harness.js';
import { PackedModels } from './packed-models.js';

const root = mkdtempSync(join(tmpdir(), 'flux2c-packing-'));
const models = new PackedModels();
const device = createCpuDevice();
const quantized = join(root, 'quantized');
const kept = 'transformer_blocks.1.attn.to_k.weight';
afterAll(async () => {
  await device.destroy();
  models.remove();
  rmSync(root, { recursive: true });
});

async function compile(output: string, ...line: readonly string[]): Promise<ArtifactWeights> {
  const { exitCode, stderr } = await runCommandLine(['compile', ...line, '-o', output, '--target', 'cpu']);
  if (exitCode !== 0) throw new Error(stderr);
  return (await openArtifactFolder(output)).manifest.weights!;
}

const isInside = ({ files }: ArtifactWeights, entry: WeightEntry): boolean => {
  const ranges = 'encoding' in entry ? [...entry.arrays.values()] : entry.parts;
  return ranges.every(([file]) => !files[file]!.path.startsWith('/'));
};

describe('an artifact of quantised weights', () => {
  let weights: ArtifactWeights;
  beforeAll(async () => {
    weights = await compile(quantized, '--quantize', 'int4', '--keep', 'transformer_blocks.1.*');
  });

  it('holds what is encoded, and points to the rest', () => {
    const all = [...weights.components].flatMap(([component, entries]) =>
      [...entries].map(([name, entry]) => ({ component, name, entry })),
    );
    const encoded = all.filter(({ entry }) => 'encoding' in entry);
    expect(encoded.length).toBeGreaterThan(10);
    for (const { entry, name } of all) expect(isInside(weights, entry), name).toBe('encoding' in entry);
    for (const { component, name } of encoded) {
      expect(`${component}.${name}`).toMatch(
        /^transformer\.(single_)?transformer_blocks\.|^text_encoder\.model\.layers\./,
      );
      expect(name).not.toMatch(/^transformer_blocks\.1\./);
    }
    expect(weights.components.get('transformer')!.get(kept)).toMatchObject({ dtype: 'BF16' });
    expect(weights.components.get('vae')!.size).toBeGreaterThan(0);
  });

  it('is a safetensors file that says what each array is', async () => {
    const path = join(quantized, 'weights-transformer.safetensors');
    const file = readFileSync(path);
    const header = JSON.parse(file.subarray(8, 8 + Number(file.readBigUInt64LE(0))).toString()) as Record<
      string,
      object
    >;
    const name = 'transformer_blocks.0.attn.to_k.weight';
    const entry = weights.components.get('transformer')!.get(name)!;
    const [rows, columns] = entry.shape as readonly [number, number];
    expect(header[`${name}.codes`]).toMatchObject({ dtype: 'U32', shape: [rows, columns / 8] });
    expect(header[`${name}.scales`]).toMatchObject({ dtype: 'BF16', shape: [rows, columns / 64] });
    expect(header[kept]).toBeUndefined();
  });

  it('with everything packed can be moved away from its model', async () => {
    const model = models.gguf();
    const packed = await compile(join(root, 'gguf-packed'), model, '--pack-weights');
    expect(packed.files.map(({ path }) => path)).toEqual(['text_encoder', 'transformer', 'vae'].map((name) => `weights-${name}.safetensors`)); // prettier-ignore
    cpSync(join(root, 'gguf-packed'), join(root, 'moved'), { recursive: true });
    rmSync(join(root, 'gguf-packed'), { recursive: true });
    await (await openArtifactModel(join(root, 'moved'), device)).close();
  });

  it('is refused when a packed file was cut, or has another header', async () => {
    const broken = join(root, 'broken');
    const file = join(broken, 'weights-transformer.safetensors');
    const open = async (): Promise<void> => (await openArtifactModel(broken, device)).close();
    cpSync(quantized, broken, { recursive: true });
    await open();
    truncateSync(file, readFileSync(file).length - 1);
    await expect(open()).rejects.toMatchObject({ code: 'F2C535' });
    copyFileSync(join(quantized, 'weights-transformer.safetensors'), file);
    await open();
    const bytes = readFileSync(file);
    bytes[20]! ^= 1;
    writeFileSync(file, bytes);
    await expect(open()).rejects.toMatchObject({ code: 'F2C535' });
  });

  it('is refused when a pattern of --keep fits no weight', async () => {
    const { stderr } = await runCommandLine([
      'compile',
      '-o',
      join(root, 'no'),
      '--quantize',
      'int4',
      '--keep',
      'blocks.*',
    ]);
    expect(stderr).toContain('error F2C702');
    expect(readdirSync(root)).not.toContain('no');
  });
});

describe('numbers of a GGUF file', () => {
  it('are pointed to where they are numbers, and missed when the header changes', async () => {
    const model = models.gguf();
    const artifact = join(root, 'gguf');
    const weights = await compile(artifact, model, '--component', 'transformer');
    const entry = weights.components.get('transformer')!.get('x_embedder.weight')!;
    expect(entry).toMatchObject({ dtype: 'BF16' });
    expect(weights.files.map(({ path }) => path)).toEqual([expect.stringMatching(/flux\.gguf$/), 'weights-transformer.safetensors']); // prettier-ignore
    await (await openArtifactModel(artifact, device)).close();
    const file = weights.files[0]!.path;
    const change = async (offset: number): Promise<void> => {
      const { atime, mtime } = statSync(file);
      const bytes = readFileSync(file);
      bytes[offset]! ^= 1;
      writeFileSync(file, bytes);
      utimesSync(file, atime, mtime);
      await (await openArtifactModel(artifact, device)).close();
    };
    const inKey = readFileSync(file).indexOf('general.architecture') + 4;
    await expect(change(inKey)).rejects.toMatchObject({ code: 'F2C535' });
    await change(inKey);
    // Data are told by the file's length and time: 60 GB are not read to open a model.
    await change(statSync(file).size - 1);
  });
});

describe('packing', () => {
  const folder = join(root, 'faults');
  const output = join(folder, 'artifact');
  const manifest = new Map([['manifest.json', new TextEncoder().encode('{}')]]);
  let model: LoadedModel;
  let copy: string;
  beforeAll(async () => {
    mkdirSync(folder);
    copy = join(root, 'copy');
    cpSync(embeddedCheckpoint(), copy, { recursive: true });
    model = await loadModel(await openModelFiles(copy));
  });
  afterAll(() => closeModel(model));

  /** All matrices of the transformer's blocks in int8. */
  function uses(): ReadonlyMap<Component, ReadonlyMap<string, TensorUse>> {
    const matrices = [...model.transformer!.table.values()].filter(({ shape }) => shape.length === 2);
    const use = { isNumbers: false, encodings: new Set(['int8']) };
    return new Map([['transformer', new Map(matrices.map(({ name }) => [name, use]))]]);
  }

  it('counts the bytes that it writes', async () => {
    const planned = await planWeights(model, uses(), false);
    const seen: number[] = [];
    const target = join(root, 'counted');
    await writeArtifactFolder(target, manifest, (inner) =>
      planned.write(inner, { onProgress: (done, of) => void seen.push(done / of) }),
    );
    expect(seen.length).toBeGreaterThan(10);
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    expect(seen.at(-1)).toBe(1);
    expect(readFileSync(join(target, 'weights-transformer.safetensors')).byteLength).toBe(planned.packedBytes);
  });

  it('that is interrupted leaves nothing', async () => {
    const planned = await planWeights(model, uses(), true);
    const abort = new AbortController();
    const onProgress = (done: number, of: number): void => {
      if (done > of / 2) abort.abort();
    };
    const writing = writeArtifactFolder(output, manifest, (inner) =>
      planned.write(inner, { signal: abort.signal, onProgress }),
    );
    await expect(writing).rejects.toMatchObject({ name: 'AbortError' });
    expect(readdirSync(folder)).toEqual([]);
  });

  it('keeps tensors as numbers that some plan reads as numbers, or two want in different encodings', async () => {
    const [name] = [...uses().get('transformer')!.keys()];
    const stored = async (use: TensorUse): Promise<WeightEntry> => {
      const planned = await planWeights(model, new Map([['transformer', new Map([[name!, use]])]]), false);
      return planned.weights.components.get('transformer')!.get(name!)!;
    };
    expect(await stored({ isNumbers: false, encodings: new Set(['int8']) })).toHaveProperty('encoding', 'int8');
    expect(await stored({ isNumbers: true, encodings: new Set(['int8']) })).toHaveProperty('parts');
    expect(await stored({ isNumbers: false, encodings: new Set(['int8', 'f8e4m3']) })).toHaveProperty('parts');
  });

  it('says which file of the model ends too early, and leaves nothing', async () => {
    const planned = await planWeights(model, uses(), true);
    const file = join(copy, 'transformer/diffusion_pytorch_model.safetensors');
    truncateSync(file, 100_000);
    const writing = writeArtifactFolder(output, manifest, (inner) => planned.write(inner));
    await expect(writing).rejects.toMatchObject({
      code: expect.stringMatching(/^F2C40[125]$/) as string,
      detail: { where: [expect.stringContaining('transformer/diffusion_pytorch_model.safetensors') as string] },
    });
    expect(readdirSync(folder)).toEqual([]);
  });
});
