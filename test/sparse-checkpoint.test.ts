/** Released models as files of their real sizes, opened, checked, planned and read, in little memory. */
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cudaTarget } from '../backends/cuda/cuda-target.js';
import { portableWebgpu } from '../backends/target.js';
import { openCheckpoint } from '../frontend/checkpoint/node/open-checkpoint.js';
import { CompiledFlux2Model } from '../models/flux2/compiled-model.js';
import { closeModel, loadModel } from '../models/flux2/load-model.js';
import type { NetworkName } from '../models/flux2/networks.js';
import { openModelFiles } from '../models/flux2/node/open-model.js';
import { variants } from '../models/flux2/variants.js';
import { instantiatePlan } from '../runtime/instantiate.js';
import { NullDevice } from '../runtime/null-device.js';
import { verifyBoundPlan } from '../runtime/plan/verify-bound-plan.js';
import { countWeightBytes, pieceBytes } from '../runtime/weight-provider.js';
import { checkpointWeights } from '../runtime/weights.js';
import { countBytes, tensorsOf, writeSparseCheckpoint } from './sparse-checkpoint.js';

const root = mkdtempSync(join(tmpdir(), 'flux2c-sparse-'));
afterAll(() => rmSync(root, { recursive: true }));
const dev = join(root, 'dev');
const klein = join(root, 'klein');
const gib = 2 ** 30;

/** Peak resident memory of this process, which runs nothing else. */
const peakBytes = (): number => process.resourceUsage().maxRSS * 1024;

/** Numbers that begin behind 4 GiB of the only file: of the last tensor that the header names. */
const far = {
  name: 'x_embedder.weight',
  bytes: Uint8Array.from({ length: 3072 * 128 * 2 }, (_, at) => (at * 7) % 251),
};

beforeAll(async () => {
  await writeSparseCheckpoint(dev, 'dev', { components: ['transformer', 'vae', 'text_encoder'] });
  await writeSparseCheckpoint(klein, 'klein-4b', {
    shardBytes: Infinity,
    contents: new Map([[far.name, far.bytes]]),
  });
});

describe('dev, 64 GB of transformer and 47 GB of text encoder', () => {
  it('is as large as the released files, and takes no room', () => {
    const files = readdirSync(join(dev, 'transformer')).filter((name) => name.endsWith('.safetensors'));
    const statuses = files.map((name) => statSync(join(dev, 'transformer', name)));
    const bytes = statuses.reduce((sum, { size }) => sum + size, 0);
    expect(files).toHaveLength(7);
    expect(Math.max(...statuses.map(({ size }) => size))).toBeGreaterThan(2 ** 33);
    expect(bytes / 1e9).toBeCloseTo(64.5, 0);
    expect(bytes).toBeGreaterThan(countBytes(tensorsOf('transformer', variants.dev)));
    expect(statuses.reduce((sum, { blocks }) => sum + 512 * blocks, 0)).toBeLessThan(2 ** 20);
  });

  const functions: readonly (readonly [NetworkName, Record<string, number>])[] = [
    ['denoise', { batch: 1, img: 4096, txt: 512, ref: 0, steps: 28 }],
    ['text_encoder', { batch: 1, txt: 512 }],
    ['vae_decoder', { batch: 1, h: 64, w: 64 }],
  ];
  it.each([
    ['webgpu', { ...portableWebgpu, maxBindingBytes: 2 ** 31 - 16 }],
    ['cuda', cudaTarget(['sm_90a'])],
  ])('is opened, checked, compiled and planned for %s', async (_, target) => {
    const loaded = await loadModel(await openModelFiles(dev));
    expect(loaded.transformer?.config).toEqual(variants.dev.transformer);
    expect(loaded.vae?.config).toEqual(variants.dev.autoencoder);
    expect(loaded.text_encoder?.config).toEqual(variants.dev.textEncoder);
    const model = new CompiledFlux2Model(loaded, new NullDevice(target));
    for (const [name, sizes] of functions) {
      const { plans, kernels } = model.compile(name);
      const bound = instantiatePlan(plans.get(name)!, sizes, target, kernels);
      verifyBoundPlan(bound);
      if (name === 'denoise') expect(bound.memory.weightBytes / 1e9).toBeCloseTo(64.4, 0);
    }
    await model.close();
  });

  it('gives the largest packed weight, 906 MB, a piece at a time', async () => {
    const loaded = await loadModel(await openModelFiles(dev));
    const { checkpoint, table } = loaded.transformer!;
    const { plans } = new CompiledFlux2Model(loaded, new NullDevice(portableWebgpu)).compile('denoise');
    const largest = plans
      .get('denoise')!
      .weights.reduce((most, one) => (countWeightBytes(one) > countWeightBytes(most) ? one : most));
    expect(countWeightBytes(largest)).toBeGreaterThan(10 * pieceBytes);
    let [bytes, most] = [0, 0];
    for await (const piece of checkpointWeights(checkpoint, table).read(largest)) {
      bytes += piece.byteLength;
      most = Math.max(most, piece.byteLength);
    }
    expect(bytes).toBe(countWeightBytes(largest));
    expect(most).toBeLessThanOrEqual(pieceBytes);
    await closeModel(loaded);
  });

  it('lacks nothing and has nothing too much: the check is strict', async () => {
    const other = join(root, 'other');
    await writeSparseCheckpoint(other, 'klein-9b');
    const files = await openModelFiles(other);
    const { transformer } = (await openModelFiles(klein)).components;
    const mixed = { ...transformer!, readText: files.components.transformer!.readText };
    await expect(loadModel({ ...files, components: { transformer: mixed } })).rejects.toMatchObject({ code: 'F2C431' });
  });
});

describe('klein-4b in one file of 7.8 GB', () => {
  it('is read behind 4 GiB', async () => {
    const checkpoint = await openCheckpoint(join(klein, 'transformer'));
    const { offset, byteLength } = checkpoint.tensors.get(far.name)!;
    expect(offset).toBeGreaterThan(2 ** 32);
    expect(Buffer.compare(await checkpoint.read(far.name), far.bytes)).toBe(0);
    expect(Buffer.compare(await checkpoint.readRange(far.name, 1001, 4000), far.bytes.subarray(1001, 5001))).toBe(0);
    // What lies before it is a hole; a whole file of another offset modulo 2^32 would be seen here.
    const before = [...checkpoint.tensors.values()].find((tensor) => tensor.offset + tensor.byteLength === offset)!;
    expect(await checkpoint.readRange(before.name, before.byteLength - 64, 64)).toEqual(new Uint8Array(64));
    expect(byteLength).toBe(far.bytes.byteLength);
    await checkpoint.close();
  });
});

describe('all of that', () => {
  it('takes less than 2 GiB of memory', () => {
    expect(peakBytes()).toBeLessThan(2 * gib);
  });
});

afterAll(() =>
  process.stderr.write(`sparse checkpoints: ${(peakBytes() / 2 ** 20).toFixed(0)} MiB of memory at most\n`),
);
