/** The bindings, on a library that NVIDIA's header declares: what they hand over arrives as C has it. */
import { describe, expect, it } from 'vitest';
import { createCudaDevice } from '../../runtime/cuda/cuda-device.js';
import { freeMemory, listGpus } from '../../runtime/cuda/cuda-gpus.js';
import { CudaCalls } from '../../runtime/cuda/cuda-calls.js';
import { openLibcuda } from '../../runtime/cuda/node/libcuda.js';
import { asF32, vectorAdd, worstError } from '../device-cases.js';
import { prepareCase } from '../run-device-case.js';
import { fakeLibcuda } from './fake-libcuda.js';

const path = fakeLibcuda('bindings of libcuda');

describe.runIf(path)('the bindings of libcuda', () => {
  async function open() {
    const { driver, reason } = await openLibcuda(path);
    if (driver === undefined) throw new Error(reason);
    const { gpus } = listGpus(driver);
    return { driver, gpu: gpus![0]! };
  }

  async function countLive(): Promise<number> {
    const koffi = await import('koffi');
    return (koffi.load(path!).func('int fake_live_count(void)') as () => number)();
  }

  it('describe the GPU', async () => {
    const { driver, gpu } = await open();
    expect(gpu).toEqual({
      ordinal: 0,
      device: 7,
      name: 'Fake GPU',
      capability: { major: 9, minor: 0 },
      totalBytes: 80 * 2 ** 30,
      blockMemory: 227 * 1024,
      multiprocessors: 132,
      driverVersion: 13000,
    });
    expect(freeMemory(driver, gpu)).toBe(79 * 2 ** 30);
    expect(await countLive()).toBe(0);
  });

  it('carry a device: buffers, kernels, graphs, timings, and all of it is given back', async () => {
    const { driver, gpu } = await open();
    const device = createCudaDevice({
      driver,
      gpu,
      compiler: { description: 'fake', parallelism: 1, compile: async ({ name }) => new TextEncoder().encode(`fake ${name}\0`) }, // prettier-ignore
      headers: new Map(),
      describeKernel: ({ name }) => ({ entryPoint: name, sharedBytes: 100_000 }),
      staging: { chunks: 2, chunkBytes: 1000 },
    });
    const test = vectorAdd();
    const { buffers, launch } = await prepareCase(device, test);
    const out = buffers[2]!;
    const [one, many] = [device.record([launch], 'one'), device.record([launch, launch], 'many')];
    for (const sequence of [one, many, many]) {
      device.write(out, 0, new Uint8Array(out.byteLength));
      device.run(sequence);
      const found = test.decode(await device.read(out, 0, out.byteLength));
      expect(worstError(found, test.expected)).toBeLessThanOrEqual(test.tolerance);
    }
    device.copy(out, 0, buffers[0]!, 0, out.byteLength);
    expect(await device.read(buffers[0]!, 0, out.byteLength)).toEqual(await device.read(out, 0, out.byteLength));
    const times = await device.timeLaunches!(many);
    expect(times).toHaveLength(2);
    for (const time of times) expect(time).toBeLessThan(1e9);
    expect(asF32(await device.read(device.createBuffer(64, 'zero'), 0, 64))).toEqual(new Float32Array(16));
    await device.destroy();
    expect(await countLive()).toBe(0);
  });

  it('report results with the names that the driver has for them', async () => {
    const { driver, gpu } = await open();
    const calls = new CudaCalls(driver);
    const context = calls.run('primaryContextRetain', [], gpu.device);
    calls.useContext(context);
    expect(() => calls.run('memoryAllocate', ['buffer x'], 2 ** 40)).toThrow(
      expect.objectContaining({
        code: 'F2C502',
        detail: expect.objectContaining({
          where: ['buffer x', 'cuMemAlloc'],
          found: 'CUDA_ERROR_OUT_OF_MEMORY (2): an error of the fake driver',
        }) as unknown,
      }) as Error,
    );
    expect(() => calls.run('moduleLoadData', [], new Uint8Array(32))).toThrow(/driver failed/);
    calls.leaveContext();
    calls.run('primaryContextRelease', [], gpu.device);
  });

  it("are one driver however often they are opened, so that devices see each other's context", async () => {
    const [one, other] = [await openLibcuda(path), await openLibcuda(path)];
    expect(one.driver).toBeDefined();
    expect(other.driver).toBe(one.driver);
  });
});

describe('a machine without the library', () => {
  it('gets a reason', async () => {
    expect(await openLibcuda('/nonexistent/libcuda.so.1')).toEqual({
      reason: 'no NVIDIA driver was found (/nonexistent/libcuda.so.1 does not load)',
    });
    // Another library.
    expect((await openLibcuda('libm.so.6')).reason).toMatch(/^the NVIDIA driver is too old: .*cuInit/);
  });
});
