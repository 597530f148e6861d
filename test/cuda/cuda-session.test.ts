/** Whole functions through `CudaDevice` on the driver that checks every call. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compareTensors } from '../../ir/host-tensor.js';
import { compileModule } from '../../passes/compile.js';
import type { CompiledModule } from '../../passes/compiled.js';
import { toHostTensor } from '../../runtime/host-array.js';
import { Session } from '../../runtime/session.js';
import type { WeightProvider } from '../../runtime/weight-provider.js';
import { autoencoderTiny, transformerTiny } from '../golden-cases.js';
import { type MockDevice, openMockDevice } from './mock-device.js';

/** Interpreted, so only the smaller ones. */
const cases = [
  ['a transformer', transformerTiny, 'transformer'],
  ['a decoder', autoencoderTiny, 'vae_decoder'],
] as const;

describe.each(cases)('%s on the mock driver', (_, network, functionName) => {
  let mock: MockDevice;
  let compiled: CompiledModule;
  let weights: WeightProvider;

  beforeAll(async () => {
    // Chunks of 4 KiB: every weight takes the ring around.
    mock = openMockDevice({}, { staging: { chunks: 2, chunkBytes: 4096 } });
    const loaded = await network.load();
    weights = loaded.weights;
    compiled = compileModule(loaded.module, mock.device.target, { print: ({ name }) => `text of ${name}` });
  });
  afterAll(async () => {
    await mock.device.destroy();
    expect(mock.driver.leaks).toEqual([]);
  });

  it('gives the golden numbers, twice, and captures its launches once', async () => {
    const { device, driver } = mock;
    const plan = compiled.plans.get(functionName)!;
    const session = await Session.create({ plan, kernels: compiled.kernels, device, weights });
    const golden = network.cases.find((candidate) => candidate.function === functionName)!;
    const { inputs, expected } = golden.read();
    for (let run = 0; run < 2; run++) {
      const results = await session.run(new Map(Object.entries(inputs)));
      for (const { result, want } of expected) {
        const { maxAbs, relativeL2 } = compareTensors(toHostTensor(results.get(result)!), want);
        expect(maxAbs).toBeLessThanOrEqual(network.tolerance.maxAbs);
        expect(relativeL2).toBeLessThanOrEqual(network.tolerance.relativeL2);
      }
      if (run === 0) driver.calls.length = 0;
    }
    expect([driver.count('launchKernel'), driver.count('graphInstantiate')]).toEqual([0, 0]);
    expect(driver.count('graphLaunch')).toBeGreaterThan(0);
    await session.destroy();
    expect(device.usage.bytes).toBe(0);
  });
});
