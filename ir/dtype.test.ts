import { describe, expect, it } from 'vitest';
import { f8e4m3Inputs, f8e4m3Values, nearestF8e4m3 } from '../test/f8e4m3-cases.js';
import { byteSize, f32ToF16, f32ToF8e4m3, f8e4m3ToF32, isDType, isFloat } from './dtype.js';
import { hostTensorFromBytes, hostTensorToBytes } from './host-tensor.js';
import { BoundBuffer } from './kernel/thread-interpret-memory.js';
import { Order } from './kernel/thread-interpret-order.js';

describe('f8e4m3', () => {
  it('has the values of its definition', () => {
    expect(Array.from({ length: 256 }, (_, code) => f8e4m3ToF32(code))).toEqual(f8e4m3Values);
    // The specification's table of the format.
    expect([0x7e, 0x08, 0x01, 0x07, 0x80].map(f8e4m3ToF32)).toEqual([448, 2 ** -6, 2 ** -9, 7 * 2 ** -9, -0]);
    expect([isDType('f8e4m3'), isFloat('f8e4m3'), byteSize('f8e4m3')]).toEqual([true, true, 1]);
  });

  it('is rounded to nearest even, to ±448 at most', () => {
    for (const value of f8e4m3Inputs) expect(f32ToF8e4m3(value), `code of ${value}`).toBe(nearestF8e4m3(value));
    expect([17, 19, 464, 1e30, Infinity, -Infinity].map((value) => f8e4m3ToF32(f32ToF8e4m3(value)))).toEqual([
      16, 20, 448, 448, 448, -448,
    ]);
    expect(f32ToF8e4m3(NaN)).toBe(0x7f);
    expect(f32ToF8e4m3(-0)).toBe(0x80);
  });

  it('is a byte in files and in buffers of kernels', () => {
    const codes = Uint8Array.from({ length: 256 }, (_, code) => code);
    const tensor = hostTensorFromBytes('f8e4m3', [256], codes);
    expect([...tensor.data]).toEqual(f8e4m3Values);
    const expected = codes.map((code) => (code === 0xff ? 0x7f : code));
    expect(hostTensorToBytes(tensor)).toEqual(expected);
    const active = new Uint8Array(64).fill(1);
    const workgroup = [0, 0, 0] as const;
    const invocations = { kernelName: 'k', count: 64, active, together: active, workgroup, order: new Order(64, 0) };
    const at = Int32Array.from(active, (_, index) => index);
    const [from, to] = [codes, new Uint8Array(256)].map((bytes) => {
      const buffer = new BoundBuffer({ name: 'b', storage: 'f8e4m3', lanes: 4, access: 'read_write' }, invocations);
      buffer.bind(bytes);
      return { buffer, bytes };
    });
    const values = new Float32Array(256);
    from!.buffer.load(at, values);
    expect([...values]).toEqual(f8e4m3Values);
    to!.buffer.store(at, values);
    expect(to!.bytes).toEqual(expected);
  });
});

it('f16 is rounded to nearest even, past the largest half to infinity', () => {
  const values = [
    1,
    1 + 2 ** -11,
    1 + 3 * 2 ** -11,
    2 ** -14,
    2 ** -24,
    2 ** -25,
    3 * 2 ** -25,
    65504,
    65519,
    65520,
    -1,
  ];
  expect(values.map(f32ToF16)).toEqual([0x3c00, 0x3c00, 0x3c02, 0x0400, 1, 0, 2, 0x7bff, 0x7bff, 0x7c00, 0xbc00]);
});
