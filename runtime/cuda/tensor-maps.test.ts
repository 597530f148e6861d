import { describe, expect, it } from 'vitest';
import { f32ToBf16 } from '../../ir/dtype.js';
import { parseThreadKernel } from '../../ir/kernel/thread-parse.js';
import { type MockDevice, openMockDevice } from '../../test/cuda/mock-device.js';
import type { MockKernel } from '../../test/cuda/mock-driver.js';
import { productParameters, mappedProduct } from '../../test/cuda/mapped-product.js';
import { asF32, worstError } from '../../test/device-cases.js';
import { walkingProduct, walkingTile } from '../../test/walking-product.js';
import type { BoundLaunch, DeviceBuffer } from '../device.js';
import { tensorMapDataType } from './tensor-map-values.js';

const sizes = { p0: 300, p1: 64, p2: 504 };

/** The product on the mock driver, which notes the grids that start it. */
async function openProduct(): Promise<
  MockDevice & { readonly grids: (readonly number[])[]; readonly launch: BoundLaunch; readonly x: DeviceBuffer }
> {
  const grids: (readonly number[])[] = [];
  const kernel: MockKernel = {
    buffers: mappedProduct.buffers,
    parameters: mappedProduct.parameters.length,
    tensorMaps: 2,
    blockSize: mappedProduct.workgroupSize,
    run: (_, __, grid) => grids.push(grid),
  };
  const opened = openMockDevice(
    { kernelOf: () => kernel },
    { describeKernel: ({ name }) => ({ entryPoint: name, sharedBytes: 0 }) },
  );
  const { device } = opened;
  await device.loadKernels([{ name: mappedProduct.name, kernel: mappedProduct, source: 'text' }]);
  const buffers = ['x', 'w', 'y'].map((label) => device.createBuffer(2 ** 17, label));
  const launch: BoundLaunch = {
    kernel: mappedProduct.name,
    label: 'to_out',
    bindings: buffers.map((buffer, at) => ({ buffer, byteOffset: 256 * at, byteLength: 2 ** 16 })),
    parameters: productParameters({ ...sizes, tiles_x: 3, tiles_y: 2, tiles_z: 1 }),
    workgroups: [3, 2, 1],
  };
  return { ...opened, grids, launch, x: buffers[0]! };
}

/** The launch with another number of tiles. */
function withTiles(launch: BoundLaunch, x: number, y: number): BoundLaunch {
  const tiles = { tiles_x: x, tiles_y: y, tiles_z: 1 };
  return { ...launch, workgroups: [x, y, 1], parameters: productParameters({ ...sizes, ...tiles }) };
}

describe('tensor maps on a CudaDevice', () => {
  it('name the memory of the bindings, and are encoded when the sequence is recorded', async () => {
    const { device, driver, launch } = await openProduct();
    device.record([launch], 'product');
    const [x, w] = driver.tensorMaps.descriptions;
    expect(driver.count('tensorMapEncode')).toBe(2);
    expect(x).toMatchObject({ storage: 'bf16', extents: [64, 300], byteStrides: [128], boxes: [64, 128] });
    expect(w).toMatchObject({ storage: 'bf16', extents: [64, 504], byteStrides: [128], boxes: [64, 256] });
    // The mock leaves a mebibyte between buffers; w's map begins 8 rows behind its binding.
    expect(w!.address - x!.address).toBe(BigInt(2 ** 17 + 2 ** 20 + 256 + 8 * 128));
    await device.destroy();
  });

  it('go with every launch, captured or not; the grid has a workgroup a multiprocessor at most', async () => {
    const { device, driver, launch, grids } = await openProduct();
    const one = device.record([launch], 'one');
    const many = device.record([withTiles(launch, 20, 10), launch, withTiles(launch, 132, 1)], 'many');
    for (const sequence of [one, many, many]) device.run(sequence);
    await device.finish();
    const walked = [[132, 1, 1], [6, 1, 1], [132, 1, 1]]; // prettier-ignore
    expect(grids).toEqual([[6, 1, 1], ...walked, ...walked]);
    expect(driver.count('tensorMapEncode')).toBe(2 * 4);
    expect(driver.count('launchKernel')).toBe(1 + 3);
    await device.timeLaunches!(many);
    expect(grids.slice(7)).toEqual(walked);
    await device.destroy();
    expect(driver.leaks).toEqual([]);
  });

  it('are of no use when their memory is gone', async () => {
    const { device, launch, x } = await openProduct();
    const sequence = device.record([launch], 'late');
    x.destroy();
    expect(() => device.run(sequence)).toThrow(/destroyed/);
    expect(() => device.record([launch], 'later')).toThrow(/destroyed/);
    await device.destroy();
  });

  it('need a driver that has them: the error names it, the launch and the map', async () => {
    const { device, driver, launch } = await openProduct();
    driver.failNext('tensorMapEncode', 500);
    expect(() => device.record([launch], 'step')).toThrow(
      expect.objectContaining({
        code: 'F2C543',
        detail: expect.objectContaining({
          where: ['sequence step', 'launch to_out', 'kernel mapped_product', 'tensor map x_map', 'cuTensorMapEncodeTiled'],
          expected: 'a driver that knows CUDA 12.0 or newer',
          found: 'one that knows CUDA 13.0',
        }) as unknown,
      }) as Error,
    ); // prettier-ignore
    driver.failNext('tensorMapEncode', 1);
    expect(() => device.record([launch], 'step')).toThrow(expect.objectContaining({ code: 'F2C540' }) as Error);
    await device.destroy();
  });
});

it('a product that walks over tiles is computed through the driver', async () => {
  const kernel = parseThreadKernel(walkingProduct);
  const [rows, columns, depth] = [100, 70, 72];
  const { device, driver } = openMockDevice();
  await device.loadKernels([{ name: kernel.name, kernel, source: 'text' }]);
  const numbers = [rows * depth, columns * depth].map((count, at) =>
    Float32Array.from({ length: count }, (_, index) => ((index * (7 + at)) % 11) - 5),
  ) as [Float32Array, Float32Array];
  const buffers = numbers.map((values, at) => {
    const stored = Uint16Array.from(values, f32ToBf16);
    const buffer = device.createBuffer(stored.byteLength, `operand ${at}`);
    device.write(buffer, 0, new Uint8Array(stored.buffer));
    return buffer;
  });
  const y = device.createBuffer(4 * rows * columns, 'y');
  const tiles = [Math.ceil(rows / walkingTile), Math.ceil(columns / walkingTile), 1] as const;
  const values = { p0: depth, p1: rows, p2: columns, tiles_x: tiles[0], tiles_y: tiles[1], tiles_z: 1 };
  const launch: BoundLaunch = {
    kernel: kernel.name,
    label: 'product',
    bindings: [...buffers, y].map((buffer) => ({ buffer, byteOffset: 0, byteLength: buffer.byteLength })),
    parameters: Int32Array.from(kernel.parameters, (name) => (values as Readonly<Record<string, number>>)[name] ?? 0),
    workgroups: tiles,
  };
  device.run(device.record([launch], 'product'));
  const found = asF32(await device.read(y, 0, y.byteLength));
  const expected = Float64Array.from(found, (_, at) => {
    const [row, column] = [Math.floor(at / columns), at % columns];
    let sum = 0;
    for (let k = 0; k < depth; k++) sum += numbers[0][row * depth + k]! * numbers[1][column * depth + k]!;
    return sum;
  });
  expect(worstError(found, expected)).toBe(0);
  await device.destroy();
  expect(driver.leaks).toEqual([]);
});

it('every storage has a type of elements', () => {
  const types = (['f32', 'f16', 'bf16', 'i32', 'u32', 'u8', 'bool'] as const).map(tensorMapDataType);
  expect(types).toEqual([7, 6, 9, 3, 2, 0, 0]);
});
