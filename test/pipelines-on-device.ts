/** Whole pipelines on a device: the embedded checkpoint's samples and the reference implementations' tiny pipelines. */
import { rmSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Flux2Pipeline } from '../models/flux2/pipeline.js';
import type { Device } from '../runtime/device.js';
import { runCachedReferencesCase } from './cached-references-case.js';
import { assembleModel, openPipeline, runShapesCase, runTinyCase, shapesCases } from './generate-cases.js';
import { compilingTimeoutMs } from './golden-on-device.js';

const dev = { _class_name: 'Flux2Pipeline', default_width: 64, default_height: 64 };
const klein = { _class_name: 'Flux2KleinPipeline', is_distilled: false, default_width: 64, default_height: 64 };
const kleinCached = { _class_name: 'Flux2KleinKVPipeline', default_width: 64, default_height: 64 };

const tinyPipelines = [
  { transformer: 'transformer-tiny', index: dev, names: ['t2i_64x64_4steps', 'i2i_64x64_2refs_4steps'] },
  { transformer: 'transformer-klein-tiny', index: klein, names: ['klein_t2i_64x48_4steps', 'klein_cfg_48x64_3steps'] },
];

/** @param samples the samples to draw; all by default */
export function describePipelines(device: () => Device, samples?: readonly string[]): void {
  describe('the embedded checkpoint, from the prompt to the picture', { timeout: compilingTimeoutMs }, () => {
    let pipeline: Flux2Pipeline;
    beforeAll(async () => {
      pipeline = await openPipeline(device());
    });
    afterAll(() => pipeline.close());

    const chosen = shapesCases().filter(({ name }) => samples?.includes(name) ?? true);
    it('has the samples', () => expect(chosen).toHaveLength(samples?.length ?? 7));

    it.each(chosen)('$name: $prompt', async (shapes) => {
      const { promptEmbeds, latents, levels, beyondOneLevel } = await runShapesCase(pipeline, shapes);
      expect(promptEmbeds).toBeLessThanOrEqual(1e-5);
      expect(latents).toBeLessThanOrEqual(1e-3);
      expect(levels).toBeLessThanOrEqual(2);
      expect(beyondOneLevel).toBeLessThanOrEqual(0.001);
    });
  });

  describe.each(tinyPipelines)(
    'the reference pipelines of $transformer',
    { timeout: compilingTimeoutMs },
    ({ transformer, index, names }) => {
      let folder: string;
      let pipeline: Flux2Pipeline;
      beforeAll(async () => {
        folder = assembleModel(transformer, 'vae-tiny', index);
        pipeline = await openPipeline(device(), folder);
      });
      afterAll(async () => {
        await pipeline.close();
        rmSync(folder, { recursive: true });
      });

      it.each(names)('%s', async (name) => {
        const { latents, decodedMaxAbs, levels } = await runTinyCase(pipeline, name);
        expect(latents).toBeLessThanOrEqual(2e-4);
        expect(decodedMaxAbs).toBeLessThanOrEqual(1e-3);
        expect(levels).toBeLessThanOrEqual(1);
      });
    },
  );

  it('references that are run once, before the steps', { timeout: compilingTimeoutMs }, async () => {
    const folder = assembleModel('transformer-klein-tiny', 'vae-tiny', kleinCached);
    const pipeline = await openPipeline(device(), folder);
    try {
      const { latents, decodedMaxAbs, levels } = await runCachedReferencesCase(pipeline);
      expect(latents).toBeLessThanOrEqual(2e-4);
      expect(decodedMaxAbs).toBeLessThanOrEqual(1e-3);
      expect(levels).toBeLessThanOrEqual(1);
    } finally {
      await pipeline.close();
      rmSync(folder, { recursive: true });
    }
  });
}
