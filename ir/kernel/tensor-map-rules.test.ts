import { describe, expect, it } from 'vitest';
import { mappedProduct } from '../../test/cuda/mapped-product.js';
import { Dim } from '../dim.js';
import { type BoundTensorMap, bindTensorMaps } from './launch.js';
import { checkTensorMap } from './tensor-map-rules.js';
import { runThreadKernel } from './thread-interpret.js';
import type { TensorMap, ThreadKernel } from './thread.js';

const sizes = { p0: 300, p1: 64, p2: 512, tiles_x: 3, tiles_y: 2, tiles_z: 1 };
const [map] = bindTensorMaps(mappedProduct, sizes) as [BoundTensorMap];

const refusal = (where: readonly string[], expected: string, found: string): Error =>
  expect.objectContaining({ code: 'F2C537', detail: { where, expected, found } }) as Error;

describe('the rules of tensor maps', () => {
  const check = (changed: Partial<BoundTensorMap>, bindingOffset = 0) => {
    const use = { kernel: mappedProduct, bindingOffset, where: ['here'] };
    return (): void => checkTensorMap({ ...map, ...changed }, use);
  };

  it.each<[string, string, Partial<BoundTensorMap>, number?]>([
    ['an address that 16 divides', '264', { offset: 4 }, 256],
    ['strides that 16 bytes divide', '24', { strides: [1, 12] }],
    ['strides below 2^40 bytes', `${2 ** 40}`, { strides: [1, 2 ** 39] }],
    ['extents of 1 to 2^32', '64, 0', { extents: [64, 0] }],
    ['extents of 1 to 2^32', `64, ${2 ** 33}`, { extents: [64, 2 ** 33] }],
    ['boxes of 1 to 256', '64, 257', { boxes: [64, 257] }],
    ['boxes of 128 bytes along the first dimension', '32, 128', { boxes: [32, 128] }],
    ['neighbours in the first dimension', 'a stride of 2', { strides: [2, 64] }],
    ['2 to 5 dimensions', '1', { extents: [64], strides: [1], boxes: [64] }],
  ])('want %s, not %s', (expected, found, changed, bindingOffset) => {
    expect(check({})).not.toThrow();
    expect(check(changed, bindingOffset)).toThrow(refusal(['here', 'tensor map x_map'], expected, found));
  });

  it('allow what just fits', () => {
    expect(check({ offset: 8, strides: [1, 2 ** 39 - 8], extents: [1, 2 ** 32], boxes: [64, 256] }, 48)).not.toThrow();
    expect(check({ offset: -8 })).not.toThrow();
  });
});

describe('the interpreter', () => {
  const run = (kernel: ThreadKernel, changed: Readonly<Record<string, number>> = {}) => {
    const bases = { origin_x: 0, origin_y: 0, origin_z: 0, x_base: 0, w_base: 0, y_base: 0 };
    const [x, w, y] = [new Uint16Array(300 * 64), new Uint16Array(520 * 64), new Uint16Array(300 * 512)];
    return (): void => runThreadKernel(kernel, { x, w, y }, { ...bases, ...sizes, ...changed }, [1, 1, 1]);
  };
  const [x, ...others] = mappedProduct.tensorMaps! as [TensorMap, ...TensorMap[]];
  const [columns, rows] = x.dimensions as [TensorMap['dimensions'][0], TensorMap['dimensions'][0]];

  it('follows the same rules, in the same words', () => {
    const where = ['kernel @mapped_product', 'tensor map x_map'];
    expect(run(mappedProduct)).not.toThrow();
    expect(run(mappedProduct, { p1: 60 })).toThrow(refusal(where, 'strides that 16 bytes divide', '120'));
    const far = { ...rows, stride: Dim.of('8589934592*p1') };
    const distant: ThreadKernel = {
      ...mappedProduct,
      tensorMaps: [{ ...x, dimensions: [columns, far] }, ...others],
    };
    expect(run(distant)).toThrow(refusal(where, 'strides below 2^40 bytes', `${2 ** 40}`));
  });
});
