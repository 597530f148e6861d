/** The embedded checkpoint against itself in fewer bits, with planted changes, and with limits that are too small for it. */
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bf16ToF32, f32ToBf16 } from '../../ir/dtype.js';
import { CompiledFlux2Model, type CompiledModelOptions } from '../../models/flux2/compiled-model.js';
import { loadModel } from '../../models/flux2/load-model.js';
import { embeddedCheckpoint, openModelFiles } from '../../models/flux2/node/open-model.js';
import { createCpuDevice } from '../../runtime/cpu/node/cpu-device.js';
import type { Device } from '../../runtime/device.js';
import { FakeFlux2Model } from '../../test/fake-flux2-model.js';
import { readRawSafetensors, writeRawSafetensors } from '../../test/raw-files.js';
import { makeScenes } from '../shapes/scenes.js';
import { groupBlocks } from './compare-blocks.js';
import type { DrawRequest } from './draw.js';
import { type MeasuredQuality, measureQuality, type QualityRequest } from './measure.js';

const folder = mkdtempSync(join(tmpdir(), 'flux2c-quality-'));
let device: Device;
beforeAll(() => void (device = createCpuDevice()));
afterAll(async () => {
  await device.destroy();
  rmSync(folder, { recursive: true });
});

async function open(path?: string, options: CompiledModelOptions = {}): Promise<CompiledFlux2Model> {
  return new CompiledFlux2Model(await loadModel(await openModelFiles(path)), device, options);
}

type Measurement = Partial<DrawRequest> & Partial<Pick<QualityRequest, 'isSameFiles' | 'limits'>>;

const common = { names: ['a', 'b'], device: 'test', isSameFiles: false } as const;

async function measureModels(
  original: CompiledFlux2Model,
  other: CompiledFlux2Model,
  { isSameFiles = false, limits, ...sampling }: Measurement,
): Promise<MeasuredQuality> {
  try {
    const draw = { prompts: ['a red circle'], seeds: [1n], ...sampling };
    const request = { ...common, isSameFiles, ...(limits && { limits }), draw };
    return await measureQuality({ ...request, original, other }, {});
  } finally {
    await Promise.all([original.close(), other.close()]);
  }
}

async function quantized(
  encoding: string,
  request: Measurement,
  keep: readonly string[] = [],
): Promise<MeasuredQuality> {
  const other = await open(undefined, { quantize: { encoding, keep } });
  return measureModels(await open(), other, { isSameFiles: true, ...request });
}

const small = { width: 48, height: 32, steps: 3 } as const;
const planted = 'single_transformer_blocks.2.attn.to_out.weight';

/** The embedded checkpoint with one weight a tenth larger. */
function plant(): string {
  const embedded = embeddedCheckpoint();
  for (const entry of readdirSync(embedded)) {
    if (entry !== 'transformer') symlinkSync(join(embedded, entry), join(folder, entry));
  }
  mkdirSync(join(folder, 'transformer'));
  cpSync(join(embedded, 'transformer/config.json'), join(folder, 'transformer/config.json'));
  const file = 'transformer/diffusion_pytorch_model.safetensors';
  const tensors = readRawSafetensors(readFileSync(join(embedded, file)));
  const bytes = tensors.get(planted)!.bytes;
  const words = new Uint16Array(Uint8Array.from(bytes).buffer).map((bits) => f32ToBf16(1.1 * bf16ToF32(bits)));
  tensors.set(planted, { ...tensors.get(planted)!, bytes: new Uint8Array(words.buffer) });
  writeFileSync(join(folder, file), writeRawSafetensors(tensors));
  return folder;
}

describe('measureQuality', () => {
  it('finds a change where it was planted, and none before', async () => {
    const { result } = await measureModels(await open(), await open(plant()), small);
    const { each, byBlock, originalBytes, otherBytes } = result.weights!;
    const changed = each.filter(({ relativeL2 }) => relativeL2 > 0);
    expect(changed.map(({ name }) => name)).toEqual([planted]);
    expect(changed[0]!.relativeL2).toBeCloseTo(0.1, 3);
    expect(byBlock.filter(({ relativeL2 }) => relativeL2 > 0).map(({ name }) => name)).toEqual([
      'transformer single.2',
    ]);
    expect(otherBytes).toBe(originalBytes);
    expect(result.prompts.map(({ relativeL2 }) => relativeL2)).toEqual([0]);
    expect([...new Set(result.blocks!.map(({ step }) => step))]).toEqual([0, 1, 2]);
    for (const { block, relativeL2 } of result.blocks!) {
      if (/double|single\.[01]/.test(block)) expect(relativeL2, block).toBe(0);
      else expect(relativeL2, block).toBeGreaterThan(1e-4);
    }
    expect(result.pictures[0]!.psnr).toBeLessThan(60);
    expect(result.pictures[0]!.latents).toBeGreaterThan(0);
  });

  it('finds nothing between a model and itself', async () => {
    const { result } = await measureModels(await open(), await open(), small);
    expect(result.weights!.compared.relativeL2).toBe(0);
    expect(result.blocks!.every(({ relativeL2 }) => relativeL2 === 0)).toBe(true);
    expect(result.summary).toEqual({ psnr: null, worstPsnr: null, latents: 0 });
  });

  it('shows operands in int8 in blocks and pictures, not in weights', async () => {
    const { result } = await measureModels(await open(), await open(undefined, { operands: 'int8' }), {});
    expect(result.weights!.compared.relativeL2).toBe(0);
    const worst = Math.max(...result.blocks!.map(({ relativeL2 }) => relativeL2));
    // At its defaults 0.023 and 53.2 dB of 16 pictures, the worst 50.1 dB (docs/quantization.md).
    expect(worst).toBeGreaterThan(0.005);
    expect(worst).toBeLessThan(0.04);
    expect(result.summary.worstPsnr).toBeGreaterThan(45);
    expect(result.summary.worstPsnr).toBeLessThan(70);
  });

  it('counts what encoded weights take and how far off they are, but not what is kept', async () => {
    const { result } = await quantized('int4:32', small, ['transformer.single_transformer_blocks.*']);
    const { each, byKind, compared } = result.weights!;
    expect(each.every(({ encoding }) => encoding === 'int4:32')).toBe(true);
    expect(each.some(({ name }) => name.startsWith('single_'))).toBe(false);
    // A scale of 16 bits for 32 codes.
    expect(compared.bitsPerWeight).toBe(4.5);
    expect(compared.relativeL2).toBeGreaterThan(0.05);
    expect(compared.relativeL2).toBeLessThan(0.12);
    expect(byKind.map(({ name }) => name)).toContain('text_encoder layer mlp.down_proj');
    // Blocks whose weights are kept change the stream no more than the others had.
    expect(result.blocks![0]!.relativeL2).toBeGreaterThan(1e-3);
  });

  it('gives the same with blocks in groups, and nearly so of a sample of the tokens', async () => {
    const blocksOf = async (
      limits: NonNullable<QualityRequest['limits']>,
    ): Promise<MeasuredQuality['result']['blocks']> => (await quantized('nf4:64', { ...small, limits })).result.blocks;
    const whole = await blocksOf({ deviceBytes: 2 ** 30, hostBytes: 2 ** 28 });
    expect(await blocksOf({ deviceBytes: 1, hostBytes: 2 ** 28 })).toEqual(whole);
    // Two tokens of six.
    const streams = 3 * 2 * 8;
    const sampled = await blocksOf({ deviceBytes: 2 ** 30, hostBytes: streams * 192 * 4 * 2 });
    expect(sampled!.map(({ step, block, stream }) => ({ step, block, stream }))).toEqual(
      whole!.map(({ step, block, stream }) => ({ step, block, stream })),
    );
    expect(sampled).not.toEqual(whole);
    for (const [at, { relativeL2 }] of sampled!.entries()) {
      expect(relativeL2 / whole![at]!.relativeL2).toBeGreaterThan(1 / 3);
      expect(relativeL2 / whole![at]!.relativeL2).toBeLessThan(3);
    }
  });

  it('draws what models without more can show, one after the other', async () => {
    const [original, other] = [new FakeFlux2Model(), new FakeFlux2Model()];
    const notices: string[] = [];
    const request = { ...common, draw: { prompts: ['one', 'two'], seeds: [1n, 2n, 3n] } };
    const observer = { onNotice: (sentence: string) => void notices.push(sentence) };
    const { result, pictures } = await measureQuality({ ...request, original, other }, observer);
    expect(pictures).toHaveLength(6);
    expect(result.pictures.map(({ prompt, seed }) => `${prompt} ${seed}`)).toEqual(['one 1', 'one 2', 'one 3', 'two 1', 'two 2', 'two 3']); // prettier-ignore
    expect([result.weights, result.blocks]).toEqual([null, null]);
    expect(notices.join()).toMatch(/Weights are not compared.*Blocks are not compared/);
    expect(original.opened).toEqual(original.destroyed);
    expect(other.opened).toEqual(other.destroyed);
  });

  it('refuses models of other forms', async () => {
    const { description } = new FakeFlux2Model();
    const wider = { ...description, transformer: { ...description.transformer!, hidden: 256 } };
    const request = { ...common, draw: { prompts: ['one'], seeds: [1n] } };
    const [original, other] = [new FakeFlux2Model(), new FakeFlux2Model(wider)];
    await expect(measureQuality({ ...request, original, other }, {})).rejects.toMatchObject({
      code: 'F2C715',
      detail: { found: 'hidden 256' },
    });
    expect(original.opened).toEqual([]);
  });

  it('stops when it is told to', async () => {
    const stopped = new AbortController();
    const [original, other] = [await open(), await open(undefined, { quantize: { encoding: 'int8', keep: [] } })];
    const request = { ...common, isSameFiles: true, draw: { ...small, prompts: ['one'], seeds: [1n] } };
    const run = measureQuality(
      { ...request, original, other },
      { signal: stopped.signal, onProgress: ({ stage }) => stage === 'denoise' && stopped.abort() },
    );
    await expect(run).rejects.toThrow();
    await Promise.all([original.close(), other.close()]);
  });
});

describe('groups of blocks', () => {
  const { transformer } = new FakeFlux2Model().description;
  const pass = {
    step: 0,
    inputs: {
      hidden_states: { dtype: 'f32', shape: [1, 60, 128], values: new Float32Array() },
      encoder_hidden_states: { dtype: 'f32', shape: [1, 4, 288], values: new Float32Array() },
    },
  } as const;

  it('have as many streams as fit, one block at least', () => {
    const bytesOfBlock = 64 * transformer!.hidden * 4;
    const sizesOf = (bytes: number): readonly number[] =>
      groupBlocks(transformer!, pass, bytes).map(({ length }) => length);
    expect(sizesOf(1)).toEqual(Array.from({ length: 8 }, () => 1));
    expect(sizesOf(3 * bytesOfBlock + 1)).toEqual([3, 3, 2]);
    expect(sizesOf(2 ** 40)).toEqual([8]);
    expect(groupBlocks(transformer!, pass, 1).flat()).toEqual(groupBlocks(transformer!, pass, 2 ** 40)[0]);
  });
});

describe('the embedded checkpoint in fewer bits, at its default settings', { timeout: 300_000 }, () => {
  const prompts = makeScenes(3, 1).map(({ prompt }) => prompt);
  it.each([
    { encoding: 'int8', goal: 35 },
    { encoding: 'int4:64', goal: 25 },
    { encoding: 'nf4:64', goal: 25 },
  ])('draws with $encoding at $goal dB or more', async ({ encoding, goal }) => {
    // The scenes with one and with two shapes.
    const { result } = await quantized(encoding, { prompts: prompts.slice(1), seeds: [1n, 2n] });
    expect(result.settings).toMatchObject({ width: 128, height: 128, steps: 20, cfgScale: 2.5 });
    expect(result.summary.worstPsnr).toBeGreaterThan(goal);
  });
});
