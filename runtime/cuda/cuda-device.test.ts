import { describe, expect, it } from 'vitest';
import { asF32, deviceCases, vectorAdd, worstError } from '../../test/device-cases.js';
import { firstGpu, NamingCompiler, openMockDevice } from '../../test/cuda/mock-device.js';
import { MockCudaDriver } from '../../test/cuda/mock-driver.js';
import { prepareCase, runCase } from '../../test/run-device-case.js';
import { createCudaDevice } from './cuda-device.js';
import { listGpus } from './cuda-gpus.js';

const small = { staging: { chunks: 2, chunkBytes: 64 } };

describe('CudaDevice', () => {
  it.each(deviceCases.map((make) => [make().kernel.name, make] as const))('computes %s and leaves nothing', async (_, make) => {
    const { device, driver } = openMockDevice();
    const test = make();
    expect(worstError(await runCase(device, test), test.expected)).toBeLessThanOrEqual(test.tolerance);
    expect(device.usage.bytes).toBe(0);
    await device.destroy();
    expect(driver.leaks).toEqual([]);
  }); // prettier-ignore

  it('keeps the order of writes, copies, launches and reads', async () => {
    const { device, driver } = openMockDevice({}, small);
    const test = vectorAdd();
    const { buffers, launch } = await prepareCase(device, test);
    const [a, b, out] = buffers as [(typeof buffers)[0], (typeof buffers)[0], (typeof buffers)[0]];
    const sequence = device.record([launch], 'order');
    device.run(sequence); // out = a + 3 b
    device.copy(out!, 0, a!, 0, out!.byteLength);
    device.run(sequence); // out = a + 6 b
    const bytes = new Uint8Array(b!.byteLength);
    device.write(b!, 0, bytes);
    // The caller may do with its bytes what it likes.
    bytes.fill(1);
    const first = device.read(out!, 0, out!.byteLength);
    device.copy(out!, 0, a!, 0, out!.byteLength);
    device.run(sequence); // out = a + 6 b + 3 · 0
    const second = await device.read(out!, 0, out!.byteLength);
    const [inA, inB] = test.buffers.map((initial) => asF32(initial));
    const expected = Float64Array.from(inA!, (value, index) => value + 6 * inB![index]!);
    expect(worstError(asF32(await first), expected)).toBeLessThan(1e-6);
    expect(worstError(asF32(second), expected)).toBeLessThan(1e-6);
    await device.destroy();
    expect(driver.leaks).toEqual([]);
  });

  it.each([
    [[9, 0], {}, true],
    [[9, 0], { tensorCopies: false }, undefined],
    [[8, 6], {}, undefined],
  ] as const)(
    'copies by tensor maps where the GPU does and nobody says otherwise: %j %j',
    async (capability, options, found) => {
      const { device } = openMockDevice({ capability }, options);
      expect(device.target.tensorCopies).toBe(found);
      await device.destroy();
    },
  );

  it('captures a sequence once and replays it', async () => {
    const { device, driver } = openMockDevice();
    const test = vectorAdd();
    const { buffers, launch } = await prepareCase(device, test);
    const lists = [Int32Array.of(64, 3), Int32Array.of(1000, 5), Int32Array.of(10, 3)];
    const sequence = device.record(
      lists.map((parameters) => ({ ...launch, parameters })),
      'parameters',
    );
    for (let run = 0; run < 5; run++) device.run(sequence);
    await device.finish();
    expect(driver.count('streamBeginCapture')).toBe(1);
    expect(driver.count('graphInstantiate')).toBe(1);
    expect(driver.count('launchKernel')).toBe(3);
    expect(driver.count('graphLaunch')).toBe(5);
    const [a, b] = test.buffers.map((initial) => asF32(initial));
    const expected = Float64Array.from(a!, (value, index) => value + (index < 10 ? 3 : 5) * b![index]!);
    expect(worstError(asF32(await device.read(buffers[2]!, 0, 4000)), expected)).toBeLessThan(1e-6);
    // While it runs.
    device.run(sequence);
    sequence.destroy();
    await device.finish();
    expect(driver.leaks.filter((leak) => leak.startsWith('graph'))).toEqual([]);
    await device.destroy();
    expect(driver.leaks).toEqual([]);
  });

  it('measures each launch by events in a graph', async () => {
    const { device, driver } = openMockDevice();
    const { launch, buffers } = await prepareCase(device, vectorAdd());
    const sequence = device.record([launch, launch], 'timed');
    const times = await device.timeLaunches!(sequence);
    expect(times).toHaveLength(2);
    for (const time of times) expect(time).toBeGreaterThan(0);
    const events = driver.count('eventCreate');
    await device.timeLaunches!(sequence);
    expect(driver.count('eventCreate')).toBe(events);
    expect((await device.read(buffers[2]!, 0, 4)).some((byte) => byte !== 0)).toBe(true);
    await device.destroy();
    expect(driver.leaks).toEqual([]);
  });

  it('sends much through little pinned memory', async () => {
    const { device, driver } = openMockDevice({}, { staging: { chunks: 3, chunkBytes: 256 } });
    const bytes = Uint8Array.from({ length: 10_000 }, (_, index) => (index * 7) % 251);
    const buffer = device.createBuffer(20_000, 'large');
    device.write(buffer, 4000, bytes);
    device.write(buffer, 4000, bytes.subarray(0, 100));
    expect(driver.pinnedBytes).toBe(768);
    const read = await device.read(buffer, 0, 20_000);
    expect(read.subarray(0, 4000).every((byte) => byte === 0)).toBe(true);
    expect(read.subarray(4000, 14_000)).toEqual(bytes);
    expect(read.subarray(14_000).every((byte) => byte === 0)).toBe(true);
    await device.destroy();
    expect(driver.leaks).toEqual([]);
  });

  it('frees buffers while work is queued, when that is done', async () => {
    const { device, driver } = openMockDevice();
    const { buffers, launch } = await prepareCase(device, vectorAdd());
    const sequence = device.record([launch], 'busy');
    device.run(sequence);
    for (const buffer of buffers) buffer.destroy();
    expect(driver.leaks.filter((leak) => leak.startsWith('device memory'))).toEqual([]);
    expect(() => device.run(sequence)).toThrow(/F2C514|destroyed/);
    await device.destroy();
    await device.destroy();
    expect(driver.leaks).toEqual([]);
  });

  it('gives everything back when it is destroyed in the middle', async () => {
    const { device, driver } = openMockDevice();
    const { buffers, launch } = await prepareCase(device, vectorAdd());
    const sequence = device.record([launch, launch], 'forgotten');
    device.run(sequence);
    device.write(buffers[0]!, 0, new Uint8Array(400));
    const read = device.read(buffers[2]!, 0, 400);
    await read;
    device.run(sequence);
    await device.destroy();
    expect(driver.leaks).toEqual([]);
    expect(() => device.createBuffer(4, 'late')).toThrow('the device is destroyed');
  });

  it('compiles a kernel once while its text stays, and only without machine code for this GPU', async () => {
    const { device, compiler } = openMockDevice({ capability: [8, 9] });
    const { kernel } = vectorAdd();
    const load = (source: string, binaries?: ReadonlyMap<string, Uint8Array>) =>
      device.loadKernels([{ name: kernel.name, kernel, source, ...(binaries && { binaries }) }]);
    await load('one');
    await load('one');
    expect(compiler.compiled).toEqual(['vector_add sm_89']);
    const image = new TextEncoder().encode(kernel.name);
    await load('two', new Map([['sm_80', image], ['sm_90a', new Uint8Array(1)]])); // prettier-ignore
    expect(compiler.compiled).toHaveLength(1);
    await load('three', new Map([['sm_90a', image]])); // prettier-ignore
    expect(compiler.compiled).toHaveLength(2);
    await device.destroy();
  });

  it('shares the GPU with another device of the process', async () => {
    const { device: one, driver } = openMockDevice();
    const gpu = firstGpu(driver);
    const compiler = new NamingCompiler();
    const other = createCudaDevice({ driver, gpu, compiler, headers: new Map(), describeKernel: () => ({ entryPoint: '', sharedBytes: 0 }) }); // prettier-ignore
    const buffer = other.createBuffer(4, 'survivor');
    await one.destroy();
    other.write(buffer, 0, Uint8Array.of(1, 2, 3, 4));
    expect([...(await other.read(buffer, 0, 4))]).toEqual([1, 2, 3, 4]);
    expect(driver.leaks).not.toEqual([]);
    await other.destroy();
    expect(driver.leaks).toEqual([]);
  });

  it('has the memory of the architecture, and no more than the GPU', () => {
    expect(openMockDevice({ capability: [9, 0] }).device.target.workgroupMemory).toBe(227 * 1024);
    expect(openMockDevice({ capability: [12, 0] }).device.target.workgroupMemory).toBe(99 * 1024);
    expect(openMockDevice({ capability: [9, 0], name: 'NVIDIA H100' }).device.description).toBe('NVIDIA H100, sm_90a, CUDA 13.0'); // prettier-ignore
  });
});

describe('errors of CudaDevice', () => {
  it('tells how much memory was asked for and is in use', async () => {
    const { device, driver } = openMockDevice({ totalBytes: 100_000 });
    device.createBuffer(60_000, 'first');
    expect(() => device.createBuffer(50_000, 'second')).toThrow(
      expect.objectContaining({
        code: 'F2C502',
        detail: expect.objectContaining({
          where: ['buffer second'],
          expected: 'room for 50000 bytes',
          found: '60000 bytes in use, 39840 free on the device',
        }) as unknown,
      }) as Error,
    );
    expect(device.usage).toMatchObject({ bytes: 60_000, peakBytes: 60_000 });
    await device.destroy();
    expect(driver.leaks).toEqual([]);
  });

  it('keeps to a budget', () => {
    const { device } = openMockDevice({}, { memoryBudgetBytes: 1000 });
    expect(() => device.createBuffer(1001, 'large')).toThrow(expect.objectContaining({ code: 'F2C502' }) as Error);
  });

  it('names the call, the launch and the kernel, and ends the capture', async () => {
    const { device, driver } = openMockDevice();
    const { launch } = await prepareCase(device, vectorAdd());
    const sequence = device.record([launch, launch], 'step 3');
    driver.failNext('launchKernel', 1);
    expect(() => device.run(sequence)).toThrow(
      expect.objectContaining({
        code: 'F2C540',
        detail: {
          where: ['sequence step 3', 'launch test of vector_add', 'kernel vector_add', 'cuLaunchKernel'],
          found: 'CUDA_ERROR_MOCK_1 (1): what 1 means',
        },
      }) as Error,
    );
    device.run(sequence);
    await device.finish();
    await device.destroy();
    expect(driver.leaks).toEqual([]);
  });

  it.each(['streamEndCapture', 'graphInstantiate', 'graphLaunch', 'streamBeginCapture'] as const)(
    'leaves nothing when %s fails',
    async (call) => {
      const { device, driver } = openMockDevice();
      const { launch } = await prepareCase(device, vectorAdd());
      const sequence = device.record([launch, launch], 'failing');
      driver.failNext(call, 1);
      expect(() => device.run(sequence)).toThrow(expect.objectContaining({ code: 'F2C540' }) as Error);
      await device.destroy();
      expect(driver.leaks).toEqual([]);
    },
  );

  it('reports a failed kernel with the next wait, says what helps, and can be destroyed', async () => {
    const { device, driver } = openMockDevice();
    const { launch, buffers } = await prepareCase(device, vectorAdd());
    const sequence = device.record([launch, launch], 'broken');
    driver.failLaunch('vector_add', 700);
    device.run(sequence);
    await expect(device.finish()).rejects.toMatchObject({
      code: 'F2C512',
      detail: { found: 'CUDA_ERROR_ILLEGAL_ADDRESS (700): what 700 means', hint: /one-by-one/ as unknown as string },
    });
    await expect(device.read(buffers[2]!, 0, 4)).rejects.toMatchObject({ code: 'F2C512' });
    expect(() => device.createBuffer(4, 'more')).toThrow(expect.objectContaining({ code: 'F2C512' }) as Error);
    await device.destroy();
    expect(driver.leaks).toEqual([]);
  });

  it('finds the launch that fails when it waits for each', async () => {
    const { device, driver } = openMockDevice({}, { oneByOne: true });
    const { launch } = await prepareCase(device, vectorAdd());
    driver.failLaunch('vector_add', 700);
    expect(() => device.run(device.record([launch], 'steps'))).toThrow(
      expect.objectContaining({
        detail: expect.objectContaining({
          where: ['sequence steps', 'launch test of vector_add', 'kernel vector_add', 'cuStreamSynchronize'],
        }) as unknown,
      }) as Error,
    );
  });

  it('refuses a GPU without kernels, and leaves nothing when it does not open', () => {
    const old = new MockCudaDriver({ capability: [7, 5] });
    const create = (driver: MockCudaDriver) =>
      createCudaDevice({
        driver,
        gpu: firstGpu(driver),
        compiler: undefined as never,
        headers: new Map(),
        describeKernel: undefined as never,
      });
    expect(() => create(old)).toThrow(expect.objectContaining({ code: 'F2C542' }) as Error);
    const failing = new MockCudaDriver();
    failing.failNext('streamCreate', 2);
    expect(() => create(failing)).toThrow(expect.objectContaining({ code: 'F2C502' }) as Error);
    expect(failing.leaks).toEqual([]);
  });

  it('says why there is no GPU', () => {
    const without = new MockCudaDriver();
    without.failNext('init', 100);
    expect(listGpus(without)).toEqual({ reason: 'the NVIDIA driver has no GPU' });
    expect(listGpus(new MockCudaDriver({ driverVersion: 11040 })).reason).toMatch(/knows CUDA 11\.4, 12\.0 is needed/);
    const broken = new MockCudaDriver();
    broken.failNext('init', 803);
    expect(listGpus(broken).reason).toMatch(/does not start: CUDA_ERROR_MOCK_803/);
  });
});
