/** Artifacts of encoded weights: they draw what the checkpoint draws that they were made from, bit for bit. */
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { openArtifactModel } from '../cli/artifact-folder.js';
import { openModel } from '../cli/open-model.js';
import type { Flux2Model } from '../models/flux2/networks.js';
import { Flux2Pipeline } from '../models/flux2/pipeline.js';
import { createCpuDevice } from '../runtime/cpu/node/cpu-device.js';
import { memorySource } from '../frontend/checkpoint/index.js';
import { artifactWeights } from '../runtime/artifact/weights.js';
import { runCommandLine } from './cli-harness.js';
import { packFp8 } from './packed-checkpoints.js';
import { PackedModels } from './packed-models.js';

const root = mkdtempSync(join(tmpdir(), 'flux2c-encoded-artifact-'));
const models = new PackedModels();
const device = createCpuDevice();
afterAll(async () => {
  await device.destroy();
  models.remove();
  rmSync(root, { recursive: true });
});

async function draw(model: Flux2Model): Promise<Float32Array> {
  const pipeline = new Flux2Pipeline(model);
  try {
    const request = { prompt: 'a green star', steps: 2, seeds: [5n], cfgScale: 1, width: 64, height: 64 };
    return (await pipeline.generate(request)).pictures[0]!.decoded;
  } finally {
    await pipeline.close();
  }
}

let artifacts = 0;

async function compile(...line: readonly string[]): Promise<string> {
  const folder = join(root, `${artifacts++}`);
  const { exitCode, stderr } = await runCommandLine(['compile', ...line, '-o', folder, '--target', 'cpu', '--quiet']);
  if (exitCode !== 0) throw new Error(stderr);
  return folder;
}

describe('compiled artifacts', () => {
  it.each(['int8', 'int4:32', 'int4z:64', 'nf4:64', 'f8e4m3'])('of weights in %s', async (encoding) => {
    const keep = ['single_transformer_blocks.1.*'];
    const artifact = await compile('--quantize', encoding, '--keep', keep[0]!);
    const made = await draw(await openModel({ quantize: encoding, keep }, device));
    expect(await draw(await openArtifactModel(artifact, device))).toEqual(made);
  });

  it('of a GGUF checkpoint, whose weights go into them unasked', async () => {
    const model = models.gguf();
    const artifact = await compile(model);
    const stored = await draw(await openModel({ model }, device));
    expect(await draw(await openArtifactModel(artifact, device))).toEqual(stored);
    const bytes = statSync(join(artifact, 'weights-transformer.safetensors')).size;
    // 34 bytes for 32 numbers, in place of 64.
    expect(bytes).toBeLessThan(7.2e6 * (34 / 32) * 1.1);
  });

  it('of a checkpoint in fp8', async () => {
    const model = models.safetensors(packFp8('weight_scale'));
    const artifact = await compile(model);
    expect(await draw(await openArtifactModel(artifact, device))).toEqual(
      await draw(await openModel({ model }, device)),
    );
  });
});

describe('arrays of an artifact', () => {
  // 4 rows of 64: 32 bytes of codes and a scale of 4 bytes each.
  const source = memorySource('weights', new Uint8Array(1024));
  const entry = { dtype: 'nf4:64', shape: [4, 64], parts: [[0, 64, 128], [0, 192, 16]] } as const; // prettier-ignore
  const open = (changed: object): unknown => {
    const components = new Map([['transformer', new Map([['w', { ...entry, ...changed }]])]]);
    return artifactWeights('made', { files: [], components }, 'transformer', [source]);
  };

  it.each<readonly [string, object]>([
    ['of another group', { dtype: 'nf4:32' }],
    ['of fewer rows', { shape: [3, 64] }],
    ['of rows that are no whole groups', { shape: [4, 96] }],
    ['of no matrix', { shape: [4, 1, 64] }],
    ['without scales', { parts: [[0, 64, 128]] }],
    ['in a file that there is not', { parts: [[0, 64, 128], [1, 192, 16]] }],
  ])('%s are refused', (_, changed) => {
    expect(() => open({})).not.toThrow();
    expect(() => open(changed)).toThrow(expect.objectContaining({ code: 'F2C530' }));
  }); // prettier-ignore
});
