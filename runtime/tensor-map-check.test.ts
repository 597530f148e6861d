import { describe, expect, it } from 'vitest';
import { cudaTarget } from '../backends/cuda/cuda-target.js';
import { Dim } from '../ir/dim.js';
import type { TensorMap, ThreadKernel } from '../ir/kernel/thread.js';
import { productParameters, mappedProduct } from '../test/cuda/mapped-product.js';
import type { BoundLaunch } from './device.js';
import { checkLaunch } from './launch-check.js';
import { checkTensorMapRange, placeTensorMaps } from './tensor-map-check.js';

const sizes = { p0: 300, p1: 64, p2: 512, tiles_x: 3, tiles_y: 2, tiles_z: 1, w_base: 16 };

/** x lies behind 256 bytes of its buffer; w_map begins 8 rows behind the 16 elements before w. */
function launchWith(changed: Readonly<Record<string, number>> = {}, bytes = 100_000): BoundLaunch {
  const bind = (label: string, byteOffset: number, byteLength: number) => ({
    buffer: { byteLength: bytes, label, destroy: () => undefined },
    byteOffset,
    byteLength,
  });
  return {
    kernel: 'mapped_product',
    label: 'to_out',
    bindings: [bind('one', 256, 38_400), bind('two', 0, 66_592), bind('three', 0, 512)],
    parameters: productParameters({ ...sizes, ...changed }),
    workgroups: [3, 2, 1],
  };
}

function withMap(changed: Partial<TensorMap>): ThreadKernel {
  const [map] = mappedProduct.tensorMaps!;
  return { ...mappedProduct, tensorMaps: [{ ...map!, ...changed }] };
}

/** As a CUDA device does. */
function check(kernel: ThreadKernel, launch: BoundLaunch): void {
  for (const map of placeTensorMaps(kernel, launch)) checkTensorMapRange(kernel, launch, map);
}

const target = cudaTarget(['sm_90a']);
const [columns, rows] = mappedProduct.tensorMaps![0]!.dimensions as [TensorMap['dimensions'][0], TensorMap['dimensions'][0]]; // prettier-ignore

describe('the tensor maps of a launch', () => {
  it('are numbers of bytes from the start of each binding', () => {
    expect(placeTensorMaps(mappedProduct, launchWith())).toEqual([
      { name: 'x_map', binding: 0, storage: 'bf16', byteOffset: 0, extents: [64, 300], byteStrides: [128], boxes: [64, 128] },
      { name: 'w_map', binding: 1, storage: 'bf16', byteOffset: 2 * (8 * 64 + 16), extents: [64, 512], byteStrides: [128], boxes: [64, 256] },
    ]); // prettier-ignore
    expect(() => check(mappedProduct, launchWith())).not.toThrow();
    expect(() => checkLaunch(target, mappedProduct, launchWith())).not.toThrow();
  });

  it('may begin before the binding of a piece, as the rectangle of the whole launch does', () => {
    const [map] = placeTensorMaps(mappedProduct, launchWith({ x_base: -128 }));
    expect(map?.byteOffset).toBe(-256);
    expect(() => check(mappedProduct, launchWith({ x_base: -128 }))).not.toThrow();
  });

  it.each([
    ['that begins before its buffer', mappedProduct, launchWith({ x_base: -136 }), 'F2C514', 'x_map', '-16..38384'],
    ['that ends behind its buffer', mappedProduct, launchWith({ w_base: 24 }, 66_600), 'F2C514', 'w_map', '1072..66608'],
    ['between 16 bytes', mappedProduct, launchWith({ x_base: 4 }), 'F2C537', 'x_map', '264'],
    ['of an odd width', mappedProduct, launchWith({ p1: 60 }), 'F2C537', 'x_map', '120'],
    ['of one dimension', withMap({ dimensions: [columns] }), launchWith(), 'F2C537', 'x_map', '1'],
    ['with half rows', withMap({ dimensions: [{ ...columns, box: 32 }, rows] }), launchWith(), 'F2C537', 'x_map', '32, 128'],
    ['with a tall box', withMap({ dimensions: [columns, { ...rows, box: 257 }] }), launchWith(), 'F2C537', 'x_map', '64, 257'],
    ['whose elements lie apart', withMap({ dimensions: [{ ...columns, stride: Dim.of(2) }, rows] }), launchWith(), 'F2C537', 'x_map', 'a stride of 2'],
    ['with a huge stride', withMap({ dimensions: [columns, { ...rows, stride: Dim.of(2 ** 39) }] }), launchWith(), 'F2C537', 'x_map', `${2 ** 40}`],
  ])('are refused: one %s', (_, kernel, launch, code, map, found) => {
    const where = ['launch to_out', 'kernel mapped_product', `tensor map ${map}`];
    expect(() => check(kernel, launch)).toThrow(
      expect.objectContaining({ code, detail: expect.objectContaining({ where, found }) as unknown }) as Error,
    );
  }); // prettier-ignore
});

describe('a launch of a kernel that walks over tiles', () => {
  const isRefused = (launch: BoundLaunch, kernel: ThreadKernel, what: RegExp): void =>
    expect(() => checkLaunch(target, kernel, launch)).toThrow(what);

  it('counts its workgroups as tiles', () => {
    isRefused(launchWith({ tiles_y: 1 }), mappedProduct, /the tiles are not the workgroups/);
    const parameters = mappedProduct.parameters.filter((name) => name !== 'tiles_z');
    const without = { ...launchWith(), parameters: new Int32Array(parameters.length) };
    isRefused(without, { ...mappedProduct, parameters }, /the tiles are not the workgroups/);
  });

  it('numbers them in 31 bits', () => {
    const many = launchWith({ tiles_x: 65535, tiles_y: 65535, tiles_z: 1 });
    isRefused({ ...many, workgroups: [65535, 65535, 1] }, mappedProduct, /too many tiles/);
  });
});
