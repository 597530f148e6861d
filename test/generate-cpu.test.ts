import { rmSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import type { Flux2Pipeline } from '../models/flux2/pipeline.js';
import { createCpuDevice } from '../runtime/cpu/node/cpu-device.js';
import { assembleModel, openPipeline, runShapesCase, runTinyCase, shapesCases } from './generate-cases.js';

const device = createCpuDevice();
const folders: string[] = [];
const opened: Flux2Pipeline[] = [];
afterAll(async () => {
  for (const pipeline of opened) await pipeline.close();
  for (const folder of folders) rmSync(folder, { recursive: true });
  await device.destroy();
});

async function open(folder?: string): Promise<Flux2Pipeline> {
  if (folder !== undefined) folders.push(folder);
  const pipeline = await openPipeline(device, folder);
  opened.push(pipeline);
  return pipeline;
}

describe('the embedded checkpoint on the processor, from the prompt to the picture', async () => {
  const pipeline = await open();
  it.each(shapesCases())('$name: $prompt', async (shapes) => {
    const { promptEmbeds, latents, levels, beyondOneLevel } = await runShapesCase(pipeline, shapes);
    expect(promptEmbeds).toBeLessThanOrEqual(1e-5);
    expect(latents).toBeLessThanOrEqual(1e-3);
    expect(levels).toBeLessThanOrEqual(2);
    expect(beyondOneLevel).toBeLessThanOrEqual(0.001);
  });
});

describe('the pipelines of the reference on the processor, with given embeddings', () => {
  const dev = { _class_name: 'Flux2Pipeline', default_width: 64, default_height: 64 };
  const klein = { _class_name: 'Flux2KleinPipeline', is_distilled: false, default_width: 64, default_height: 64 };
  it.each([
    ['t2i_64x64_4steps', 'transformer-tiny', dev],
    ['i2i_64x64_2refs_4steps', 'transformer-tiny', dev],
    ['klein_t2i_64x48_4steps', 'transformer-klein-tiny', klein],
    ['klein_cfg_48x64_3steps', 'transformer-klein-tiny', klein],
  ] as const)('%s', async (name, transformer, index) => {
    const pipeline = await open(assembleModel(transformer, 'vae-tiny', index));
    const { latents, decodedMaxAbs, levels } = await runTinyCase(pipeline, name);
    expect(latents).toBeLessThanOrEqual(2e-4);
    expect(decodedMaxAbs).toBeLessThanOrEqual(1e-3);
    expect(levels).toBeLessThanOrEqual(1);
  });
});
