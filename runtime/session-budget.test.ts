import { describe, expect, it } from 'vitest';
import { chain, chainInputs, chainProvider, chainResults } from '../test/streaming/chain.js';
import { streamNaively } from '../test/streaming/naive-stream.js';
import { deviceBytesOf } from '../test/streaming/streamed-session.js';
import { roomyTarget } from '../test/plan-samples.js';
import { smallKernels } from '../test/small-kernels.js';
import type { DimBinding } from '../ir/dim.js';
import { instantiatePlan } from './instantiate.js';
import { InterpreterDevice } from './interpreter-device.js';
import type { BoundPlan } from './plan/bound-plan.js';
import { Session, type SessionProgress } from './session.js';

/** Of each weight. */
const weightBytes = 192;

/** Streams weights from a number on that falls with the size, so that larger runs have fewer on the device. */
function planOf(sizes: DimBinding): BoundPlan {
  const bound = instantiatePlan(chain, sizes, roomyTarget, smallKernels);
  const resident = residentFor(sizes.n!);
  return streamNaively(bound, { isStreamed: (name) => Number(name.slice(1)) >= resident });
}

const residentFor = (n: number): number => (n > 30 ? 1 : n > 10 ? 2 : 6);

const deviceBytes = Math.max(...[48, 30, 10].map((n) => deviceBytesOf(planOf({ n }))));

async function open(deviceLimit = deviceBytes, sizes?: DimBinding, onProgress?: (progress: SessionProgress) => void) {
  const device = new InterpreterDevice(roomyTarget, deviceLimit);
  const weights = chainProvider();
  const session = await Session.create({
    plan: chain,
    kernels: smallKernels,
    device,
    weights,
    memory: { deviceBytes, plan: planOf, ...(sizes && { sizes }) },
    ...(onProgress && { onProgress }),
  });
  return { device, weights, session };
}

describe('a session with a budget', () => {
  it('is never above it, whatever sizes follow each other, and loads what is missing only', async () => {
    // The device gives no more than the budget, at any moment.
    const { device, weights, session } = await open();
    let resident = 0;
    for (const n of [48, 10, 30, 48, 48, 5, 30, 29, 11, 48, 1]) {
      weights.reads.length = 0;
      expect((await session.run(chainInputs(n))).get('y')).toEqual(chainResults(n).get('y'));
      expect(session.memory.weightBytes).toBe(residentFor(n) * weightBytes);
      const loaded = Math.max(0, residentFor(n) - resident);
      // The chain uses w0 to w5 in this order; those that stream are kept in host memory after their first read.
      expect(new Set(weights.reads.filter((name) => Number(name.slice(1)) < residentFor(n))).size).toBe(loaded);
      resident = residentFor(n);
      expect(device.usage.peakBytes).toBeLessThanOrEqual(deviceBytes);
    }
    await session.destroy();
    expect(device.usage.bytes).toBe(0);
  });

  it('loads what stays on the device when it is created, for sizes that are expected', async () => {
    const told: SessionProgress[] = [];
    const { weights, session } = await open(deviceBytes, { n: 20 }, (progress) => told.push(progress));
    expect(weights.reads).toEqual(['w0', 'w1']);
    expect(told.filter(({ stage }) => stage === 'weights').at(-1)).toEqual({ stage: 'weights', done: 384, total: 384 });
    const loads: SessionProgress[] = [];
    const onLoad = (progress: SessionProgress): void => void loads.push(progress);
    await session.run(chainInputs(20), { onLoad });
    expect(loads).toEqual([]);
    await session.run(chainInputs(8), { onLoad });
    expect(loads).toEqual([192, 384, 576, 768].map((done) => ({ stage: 'weights', done, total: 768 })));
    await session.destroy();
  });

  it('says that the device has no room, keeps nothing that is half there, and runs what fits', async () => {
    const small = deviceBytesOf(planOf({ n: 48 })) - 1;
    const { device, session } = await open(small);
    for (let attempt = 0; attempt < 2; attempt++) {
      await expect(session.run(chainInputs(48))).rejects.toMatchObject({ code: 'F2C502' });
      expect((await session.run(chainInputs(20))).get('y')).toEqual(chainResults(20).get('y'));
    }
    await session.destroy();
    expect(device.usage.bytes).toBe(0);
  });

  it('refuses a plan that is above its budget', async () => {
    const memory = { deviceBytes: deviceBytes - 1, plan: planOf };
    const device = new InterpreterDevice(roomyTarget);
    const session = await Session.create({
      plan: chain,
      kernels: smallKernels,
      device,
      weights: chainProvider(),
      memory,
    });
    await expect(session.run(chainInputs(48))).rejects.toMatchObject({ code: 'F2C315', detail: { where: ['chain'] } });
    expect(device.usage.bytes).toBe(0);
  });

  it('leaves nothing when it is cancelled while it loads', async () => {
    const controller = new AbortController();
    const device = new InterpreterDevice(roomyTarget);
    const weights = chainProvider((_, count) => {
      if (count === 2) controller.abort('enough');
    });
    const memory = { deviceBytes, plan: planOf, sizes: { n: 5 } };
    const { signal } = controller;
    const create = Session.create({ plan: chain, kernels: smallKernels, device, weights, memory, signal });
    await expect(create).rejects.toMatchObject({ code: 'F2C522', cause: 'enough' });
    expect(device.usage.bytes).toBe(0);
  });
});
