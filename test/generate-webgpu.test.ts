import { rmSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { openDawn } from '../runtime/webgpu/node/dawn.js';
import { createWebgpuDevice } from '../runtime/webgpu/webgpu-device.js';
import { assembleModel, openPipeline, runShapesCase, runTinyCase, shapesCases } from './generate-cases.js';

/** lavapipe compiles the kernels of a picture for a minute or two when its cache is cold. */
const TIMEOUT_MS = 600_000;

for (const driver of ['lavapipe', 'SwiftShader']) {
  const { adapter } = await openDawn({ adapter: driver });
  describe.skipIf(adapter === undefined)(`pictures on WebGPU through ${driver}`, () => {
    it(
      'are those of the samples, from the prompt on',
      async () => {
        const { adapter: fresh } = await openDawn({ adapter: driver });
        const device = await createWebgpuDevice(fresh!);
        const pipeline = await openPipeline(device);
        // An edit runs all four networks.
        const name = driver === 'lavapipe' ? 'case_1' : 'edit_0';
        const difference = await runShapesCase(
          pipeline,
          shapesCases().find((shapes) => shapes.name === name)!,
        );
        expect(difference.promptEmbeds).toBeLessThanOrEqual(1e-5);
        expect(difference.latents).toBeLessThanOrEqual(1e-3);
        expect(difference.levels).toBeLessThanOrEqual(2);
        expect(difference.beyondOneLevel).toBeLessThanOrEqual(0.001);
        await pipeline.close();
        await device.destroy();
      },
      TIMEOUT_MS,
    );

    it(
      'are those of the reference with classifier-free guidance, in a size of its own',
      async () => {
        const { adapter: fresh } = await openDawn({ adapter: driver });
        const device = await createWebgpuDevice(fresh!);
        const index = { _class_name: 'Flux2KleinPipeline', is_distilled: false, default_width: 64, default_height: 64 };
        const folder = assembleModel('transformer-klein-tiny', 'vae-tiny', index);
        const pipeline = await openPipeline(device, folder);
        const { latents, decodedMaxAbs, levels } = await runTinyCase(pipeline, 'klein_cfg_48x64_3steps');
        expect(latents).toBeLessThanOrEqual(2e-4);
        expect(decodedMaxAbs).toBeLessThanOrEqual(1e-3);
        expect(levels).toBeLessThanOrEqual(1);
        await pipeline.close();
        await device.destroy();
        rmSync(folder, { recursive: true });
      },
      TIMEOUT_MS,
    );
  });
}
