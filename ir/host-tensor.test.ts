import { expect, it } from 'vitest';
import { hostTensor } from '../test/run-operation.js';
import { dtypes } from './dtype.js';
import {
  compareTensors,
  hostTensorFromBytes,
  hostTensorToBytes,
  isSameButForOnes,
  rowMajorStrides,
} from './host-tensor.js';

it.each(dtypes)('%s survives a round trip through bytes', (dtype) => {
  const values = dtype === 'bool' ? [0, 1, 1] : dtype.startsWith('u') ? [0, 1, 200] : [0, -1, 96];
  const tensor = hostTensor(dtype, [3, 1], values);
  const bytes = hostTensorToBytes(tensor);
  expect(hostTensorFromBytes(dtype, [3, 1], bytes)).toEqual(tensor);
  // An odd offset, as in a file.
  const shifted = new Uint8Array(bytes.length + 1);
  shifted.set(bytes, 1);
  expect(hostTensorFromBytes(dtype, [3, 1], shifted.subarray(1))).toEqual(tensor);
});

it('lays out bytes as files do', () => {
  expect([...hostTensorToBytes(hostTensor('bf16', [2], [1, -2]))]).toEqual([0x80, 0x3f, 0x00, 0xc0]);
  expect([...hostTensorToBytes(hostTensor('f16', [1], [0.1]))]).toEqual([0x66, 0x2e]);
  expect([...hostTensorToBytes(hostTensor('i64', [1], [-2]))]).toEqual([0xfe, 255, 255, 255, 255, 255, 255, 255]);
  expect([...hostTensorFromBytes('f32', [], new Uint8Array([0, 0, 0x20, 0xc1])).data]).toEqual([-10]);
});

it('refuses bytes of another length', () => {
  expect(() => hostTensorFromBytes('f32', [2, 2], new Uint8Array(15))).toThrow(
    expect.objectContaining({ code: 'F2C170', detail: { expected: '16 bytes', found: '15 bytes' } }),
  );
});

it.each([
  [[8, 4, 1, 1], [8, 4], true],
  [[], [1, 1], true],
  [[8, 4], [4, 8], false],
  [[84], [8, 4], false],
  [[8, 4, 2], [8, 4], false],
])('tells shapes that only differ in axes of size 1: %j and %j', (one, other, isSame) => {
  expect([isSameButForOnes(one, other), isSameButForOnes(other, one)]).toEqual([isSame, isSame]);
});

it('compares', () => {
  const want = hostTensor('f32', [2, 2], [3, 4, 0, 0]);
  expect(compareTensors(hostTensor('f32', [2, 2], [3, 4.5, 0, -0]), want)).toEqual({ maxAbs: 0.5, relativeL2: 0.1 });
  expect(compareTensors(want, want)).toEqual({ maxAbs: 0, relativeL2: 0 });
  expect(compareTensors(hostTensor('f32', [2, 2], [3, 4, NaN, 0]), want)).toEqual({
    maxAbs: Infinity,
    relativeL2: Infinity,
  });
  const infinite = hostTensor('f32', [2], [Infinity, 1]);
  expect(compareTensors(infinite, infinite).maxAbs).toBe(0);
  expect(() => compareTensors(want, infinite)).toThrow(expect.objectContaining({ code: 'F2C171' }));
});

it('counts strides', () => {
  expect(rowMajorStrides([2, 3, 4])).toEqual([12, 4, 1]);
  expect(rowMajorStrides([])).toEqual([]);
});
