import { beforeEach, describe, expect, it } from 'vitest';
import {
  type CudaFunction,
  type CudaStream,
  type DevicePointer,
  type EncodedTensorMap,
  offsetPointer,
  type TensorMapDescription,
} from '../../runtime/cuda/driver.js';
import { MockCudaDriver, type MockKernel } from './mock-driver.js';

const taking: MockKernel = { buffers: [], parameters: 0, tensorMaps: 1, blockSize: 32, run: () => undefined };

describe('tensor maps of the mock driver', () => {
  let driver: MockCudaDriver;
  let stream: CudaStream;
  let kernel: CudaFunction;

  beforeEach(() => {
    driver = new MockCudaDriver({ kernelOf: () => taking });
    driver.contextSetCurrent(driver.primaryContextRetain().value);
    stream = driver.streamCreate().value;
    kernel = driver.moduleGetFunction(driver.moduleLoadData(new Uint8Array(4)).value, 'taking').value;
  });

  const allocate = (bytes = 512): DevicePointer => driver.memoryAllocate(bytes).value;
  /** A map of 2 by 64 bf16, whose rows lie 256 bytes apart. */
  const encode = (changed: Partial<TensorMapDescription> = {}): EncodedTensorMap =>
    driver.tensorMapEncode({ storage: 'bf16', address: allocate(), extents: [64, 2], byteStrides: [256], boxes: [64, 8], ...changed }).value; // prettier-ignore
  const launch = (tensorMaps: readonly EncodedTensorMap[]): number =>
    driver.launchKernel({ function: kernel, grid: [1, 1, 1], blockSize: 32, sharedBytes: 0, stream, pointers: [], spans: [], tensorMaps, parameters: new Int32Array(0) }); // prettier-ignore

  const broken: readonly (readonly [string, () => unknown, RegExp])[] = [
    ['at an odd address', () => encode({ address: offsetPointer(allocate(), 8) }), /the misaligned address/],
    ['that reaches out of its memory', () => encode({ address: allocate(256) }), /bytes 0 to 384 are out of the 256/],
    ['of freed memory', () => {
      const address = allocate();
      driver.memoryFree(address);
      encode({ address });
    }, /used after it was freed/],
    ['of six dimensions', () => encode({ extents: [64, 1, 1, 1, 1, 1] }), /6 dimensions/],
    ['without its strides', () => encode({ byteStrides: [] }), /0 strides for 2 dimensions/],
    ['with a stride too many', () => encode({ byteStrides: [2, 256] }), /2 strides for 2 dimensions/],
    ['with an odd stride', () => encode({ byteStrides: [130] }), /the stride 130/],
    ['with a huge stride', () => encode({ byteStrides: [2 ** 40] }), /the stride 1099511627776/],
    ['of nothing', () => encode({ extents: [64, 0] }), /the extent 0/],
    ['with too large a box', () => encode({ boxes: [64, 257] }), /the box 257/],
    ['with half a box', () => encode({ boxes: [64] }), /a box of 1 dimensions for 2/],
    ['with wide rows', () => encode({ storage: 'f32', extents: [32, 2] }), /rows of 256 bytes in a box/],
  ]; // prettier-ignore

  it.each(broken)('are refused %s', (_, act, message) => {
    expect(act).toThrow(message);
  });

  it('are given to launches that take them, as the driver made them', () => {
    expect(launch([encode()])).toBe(0);
    expect(() => launch([])).toThrow(/taking is launched with 0 tensor maps/);
    expect(() => launch([encode(), encode()])).toThrow(/with 2 tensor maps/);
    expect(() => launch([new Uint8Array(128) as EncodedTensorMap])).toThrow(/not encoded/);
    expect(() => launch([encode().subarray(64) as EncodedTensorMap])).toThrow(/not encoded/);
  });

  it('keep no memory alive, but launches read it', () => {
    const address = allocate();
    const map = encode({ address });
    driver.memset(address, 1, 512, stream);
    launch([map]);
    const other = driver.streamCreate().value;
    expect(() => driver.memset(address, 0, 512, other)).toThrow(/a memset writes .* without waiting for/);
    expect(() => driver.memoryFree(address)).toThrow(/memoryFree while work/);
    const stale = encode();
    const { address: freed } = driver.tensorMaps.descriptions.at(-1)!;
    driver.memoryFree(freed);
    expect(() => launch([stale])).toThrow(/used after it was freed/);
  });
});
