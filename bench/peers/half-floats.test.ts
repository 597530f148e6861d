import { describe, expect, it } from 'vitest';
import { f16ToF32, f32ToF16 } from '../../ir/dtype.js';
import { decodeHalves, encodeHalves } from './half-floats.js';

describe('encodeHalves', () => {
  it('rounds as the IR does: normal numbers, small ones, ties, infinities', () => {
    const halves = Array.from({ length: 0x7c00 }, (_, bits) => f16ToF32(bits));
    const between = halves.slice(1).map((value, at) => (value + halves[at]!) / 2);
    const near = between.flatMap((value) => [value, value * (1 + 2 ** -20), value * (1 - 2 ** -20)]);
    const more = [65504, 65519.99, 65520, 1e9, Infinity, NaN, 0, -0, 2 ** -14, 2 ** -25, 2 ** -26];
    const values = Float32Array.from([...halves, ...near, ...more].flatMap((value) => [value, -value]));
    expect(encodeHalves(values)).toEqual(Uint16Array.from(values, f32ToF16));
  });

  it('takes a part of a longer array', () => {
    expect(encodeHalves(Float32Array.of(7, 1, 2).subarray(1))).toEqual(Uint16Array.of(0x3c00, 0x4000));
  });
});

describe('decodeHalves', () => {
  it('gives every number back', () => {
    const all = Uint16Array.from({ length: 2 ** 16 }, (_, bits) => bits);
    expect(decodeHalves(all)).toEqual(Float32Array.from(all, f16ToF32));
  });
});
