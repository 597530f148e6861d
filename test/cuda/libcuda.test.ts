/** The bindings, on a library that NVIDIA's header declares: what they hand over arrives as C has it. */
import { describe, expect, it } from 'vitest';
import { Dim } from '../../ir/dim.js';
import type { ThreadKernel } from '../../ir/kernel/thread.js';
import { createCudaDevice } from '../../runtime/cuda/cuda-device.js';
import { freeMemory, listGpus } from '../../runtime/cuda/cuda-gpus.js';
import { CudaCalls } from '../../runtime/cuda/cuda-calls.js';
import { openLibcuda } from '../../runtime/cuda/node/libcuda.js';
import type { CudaSource } from '../../runtime/cuda/kernel-compiler.js';
import type { BoundLaunch, DeviceBuffer } from '../../runtime/device.js';
import { asF32, buffer, vectorAdd, worstError } from '../device-cases.js';
import { prepareCase } from '../run-device-case.js';
import { fakeLibcuda } from './fake-libcuda.js';

const path = fakeLibcuda('bindings of libcuda');

/** The fake's kernel: its parameters are the rows and columns of x, elements of a row, and how many to write. */
const copyBox: ThreadKernel = {
  phase: 'thread',
  name: 'copy_box',
  buffers: [buffer('x', 'bf16', 4), buffer('out', 'bf16', 4, 'write')],
  parameters: ['count', 'rows', 'columns', 'pitch', 'tiles_x', 'tiles_y', 'tiles_z'],
  tensorMaps: [
    {
      name: 'box',
      buffer: 'x',
      offset: Dim.of(0),
      dimensions: [
        { extent: Dim.of('columns'), stride: Dim.of(1), box: 64 },
        { extent: Dim.of('rows'), stride: Dim.of('pitch'), box: 8 },
      ],
    },
  ],
  walksTiles: true,
  workgroupSize: 128,
  shared: [],
  body: [],
};

/** More tiles than the GPU has multiprocessors. */
function boxLaunch(buffers: readonly DeviceBuffer[], [rows, columns, pitch, count]: readonly number[]): BoundLaunch {
  return {
    kernel: copyBox.name,
    label: 'a box',
    bindings: buffers.map((bound) => ({ buffer: bound, byteOffset: 0, byteLength: bound.byteLength })),
    parameters: Int32Array.from([count!, rows!, columns!, pitch!, 300, 1, 1]),
    workgroups: [300, 1, 1],
  };
}

const fakeKernels = {
  compiler: { description: 'fake', parallelism: 1, compile: async ({ name }: CudaSource) => new TextEncoder().encode(`fake ${name}\0`) }, // prettier-ignore
  headers: new Map<string, string>(),
  describeKernel: ({ name }: ThreadKernel) => ({ entryPoint: name, sharedBytes: 0 }),
};

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
      ...fakeKernels,
      driver,
      gpu,
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

  it('make tensor maps and hand them over where the driver expects them', async () => {
    const { driver, gpu } = await open();
    const device = createCudaDevice({ ...fakeKernels, driver, gpu });
    await device.loadKernels([{ name: copyBox.name, kernel: copyBox, source: '' }]);
    const [x, out] = [device.createBuffer(2048, 'x'), device.createBuffer(1024, 'out')];
    const values = Uint16Array.from({ length: 1024 }, (_, at) => at);
    device.write(x, 0, new Uint8Array(values.buffer));
    // 40 of 72 columns, 5 rows: the box has 64 columns and 8 rows.
    const launch = boxLaunch([x, out], [5, 40, 72, 512]);
    device.run(device.record([launch, launch], 'boxes'));
    const found = new Uint16Array((await device.read(out, 0, 1024)).buffer);
    const expected = Array.from({ length: 512 }, (_, at) => {
      const [row, column] = [Math.floor(at / 64), at % 64];
      return row < 5 && column < 40 ? 72 * row + column : 0;
    });
    expect([...found]).toEqual(expected);
    // Nothing but the driver looks at whether a map's rows are of 128 bytes.
    expect(driver.tensorMapEncode({ storage: 'bf16', address: 256n as never, extents: [64, 1], byteStrides: [128], boxes: [32, 8] }).result).toBe(1); // prettier-ignore
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

const old = fakeLibcuda('a driver without tensor maps', '-DFAKE_WITHOUT_TENSOR_MAPS');

describe.runIf(old)('a driver without tensor maps', () => {
  it('serves kernels without any, and is named by the error where one has some', async () => {
    const { driver, reason } = await openLibcuda(old);
    expect(reason).toBeUndefined();
    const device = createCudaDevice({ ...fakeKernels, driver: driver!, gpu: listGpus(driver!).gpus![0]! });
    const test = vectorAdd();
    const { launch } = await prepareCase(device, test);
    device.run(device.record([launch], 'plain'));
    await device.loadKernels([{ name: copyBox.name, kernel: copyBox, source: '' }]);
    const buffers = [device.createBuffer(2048, 'x'), device.createBuffer(1024, 'out')];
    expect(() => device.record([boxLaunch(buffers, [5, 40, 72, 512])], 'boxes')).toThrow(
      expect.objectContaining({ code: 'F2C543' }) as Error,
    );
    await device.destroy();
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
