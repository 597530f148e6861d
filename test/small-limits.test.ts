/** Devices with little room: launches are cut into pieces, and nothing else changes. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LoweredTarget } from '../runtime/webgpu/webgpu-target.js';
import type { Device } from '../runtime/device.js';
import type { HostArray } from '../runtime/host-array.js';
import { instantiatePlan } from '../runtime/instantiate.js';
import { flattenSteps, type BoundPlan } from '../runtime/plan/bound-plan.js';
import { verifyBoundPlan } from '../runtime/plan/verify-bound-plan.js';
import { bindInputs } from '../runtime/session-inputs.js';
import { autoencoderTiny, type GoldenCase, type GoldenNetwork, transformerTiny } from './golden-cases.js';
import { compilingTimeoutMs, openTestDevice, RunningNetwork } from './golden-on-device.js';

interface Limited {
  readonly what: string;
  readonly limits: LoweredTarget;
  readonly network: GoldenNetwork;
  /** Launches more than without the limits, at least by this factor. */
  readonly cutsBy: number;
  /** The kernels are the same, so every sum is. */
  readonly isExact: boolean;
}

const kib = 1024;

const limited: readonly Limited[] = [
  {
    what: 'bindings of 64 KiB',
    limits: { maxBindingBytes: 64 * kib, bindingAlignment: 256 },
    network: transformerTiny,
    cutsBy: 1.9,
    isExact: true,
  },
  {
    what: 'bindings of 117 KiB in buffers of 320 KiB',
    limits: { maxBindingBytes: 117 * kib, maxBufferBytes: 320 * kib, bindingAlignment: 256 },
    network: transformerTiny,
    cutsBy: 1.7,
    isExact: false,
  },
  {
    what: 'four workgroups a dimension',
    limits: { maxWorkgroupsPerDimension: 4 },
    network: transformerTiny,
    cutsBy: 1.9,
    isExact: true,
  },
  {
    what: 'eight storage buffers',
    // Heads and gated pairs are kernels of their own then.
    limits: { maxStorageBuffers: 8 },
    network: transformerTiny,
    cutsBy: 1.02,
    isExact: false,
  },
  {
    what: 'four storage buffers',
    limits: { maxStorageBuffers: 4 },
    network: transformerTiny,
    cutsBy: 1.2,
    isExact: false,
  },
  {
    what: 'three workgroups a dimension and five storage buffers',
    limits: { maxWorkgroupsPerDimension: 3, maxStorageBuffers: 5, bindingAlignment: 256 },
    network: autoencoderTiny,
    cutsBy: 8,
    isExact: true,
  },
  {
    what: 'bindings of 96 KiB, rows of pictures apart',
    limits: { maxBindingBytes: 96 * kib, bindingAlignment: 256 },
    network: autoencoderTiny,
    cutsBy: 1.3,
    isExact: true,
  },
  {
    what: 'bindings of 960 KiB in buffers of 1 MiB',
    limits: { maxBindingBytes: 960 * kib, maxBufferBytes: 1024 * kib, bindingAlignment: 256 },
    network: autoencoderTiny,
    cutsBy: 1,
    isExact: true,
  },
];

type Results = ReadonlyMap<string, HostArray>;

function instantiate({ compiled }: RunningNetwork, golden: GoldenCase): BoundPlan {
  const plan = compiled.plans.get(golden.function)!;
  const sizes = bindInputs(plan, new Map(Object.entries(golden.read().inputs)), {});
  return instantiatePlan(plan, sizes, compiled.target, compiled.kernels);
}

function countLaunches(bound: BoundPlan): number {
  return [...flattenSteps(bound.steps)].length;
}

async function runAgain(network: RunningNetwork, golden: GoldenCase): Promise<Results> {
  return (await network.session(golden.function)).run(new Map(Object.entries(golden.read().inputs)));
}

const whole = await openTestDevice('lavapipe', 'small limits');
if (whole !== undefined) {
  describe('a device on lavapipe', { timeout: compilingTimeoutMs }, () => {
    const unlimited = new Map<GoldenNetwork, RunningNetwork>();
    beforeAll(async () => {
      for (const network of [transformerTiny, autoencoderTiny]) {
        unlimited.set(network, await RunningNetwork.open(network, whole));
      }
    });
    afterAll(async () => {
      for (const network of unlimited.values()) await network.close();
      await whole.destroy();
    });

    describe.each(limited)('with $what', ({ limits, network, cutsBy, isExact }) => {
      let device: Device;
      let running: RunningNetwork;
      beforeAll(async () => {
        device = (await openTestDevice('lavapipe', 'small limits', { limits }))!;
        expect(device.target).toMatchObject(limits);
        running = await RunningNetwork.open(network, device);
      });
      afterAll(async () => {
        await running.close();
        await device.destroy();
      });

      it.each(network.cases)('computes the same $function $name', async (golden) => {
        const bound = instantiate(running, golden);
        verifyBoundPlan(bound);
        const large = unlimited.get(network)!;
        expect(countLaunches(bound)).toBeGreaterThanOrEqual(cutsBy * countLaunches(instantiate(large, golden)));
        for (const { maxAbs, relativeL2 } of await running.run(golden)) {
          expect(maxAbs).toBeLessThanOrEqual(network.tolerance.maxAbs);
          expect(relativeL2).toBeLessThanOrEqual(network.tolerance.relativeL2);
        }
        if (isExact) expect(await runAgain(running, golden)).toEqual(await runAgain(large, golden));
      });
    });
  });
}
