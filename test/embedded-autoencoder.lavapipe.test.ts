/** The embedded decoder with factors in f16 where a norm bounds them, on a driver with shader-f16. */
import { afterAll, describe, expect, it } from 'vitest';
import { kernelPrinter } from '../backends/print-kernel.js';
import type { HostTensor } from '../ir/host-tensor.js';
import { compileModule, type CompileOptions } from '../passes/compile.js';
import type { Device } from '../runtime/device.js';
import { fromHostTensor, toHostTensor } from '../runtime/host-array.js';
import { Session } from '../runtime/session.js';
import { memoryWeights } from '../runtime/weight-provider.js';
import { differenceInLevels, openEmbeddedAutoencoder } from './embedded-autoencoder.js';
import { compilingTimeoutMs, openTestDevice } from './golden-on-device.js';

const device = await openTestDevice('lavapipe', 'the embedded decoder with operands in f16');
if (device !== undefined) {
  describe('the embedded decoder on lavapipe with operands in f16', { timeout: compilingTimeoutMs }, () => {
    afterAll(() => device.destroy());

    it('makes the picture that it makes in f32, to within a level of 255', async () => {
      const { module, weights, latents } = await openEmbeddedAutoencoder();
      const decode = async (on: Device, operands: NonNullable<CompileOptions['operands']>): Promise<HostTensor> => {
        const { plans, kernels } = compileModule(module, on.target, { print: kernelPrinter(on.target), operands });
        const plan = plans.get('vae_decoder')!;
        expect(plan.weights.some(({ type }) => type.dtype === 'f16')).toBe(operands !== 'f32');
        const session = await Session.create({ plan, kernels, device: on, weights: memoryWeights(weights.tensors) });
        const results = await session.run(new Map([['latents', fromHostTensor(latents)]]));
        await session.destroy();
        return toHostTensor(results.get('image')!);
      };
      const difference = differenceInLevels(await decode(device, 'f16_where_bounded'), await decode(device, 'f32'));
      expect(difference).toBeGreaterThan(0);
      expect(difference).toBeLessThan(1);
    });
  });
}
