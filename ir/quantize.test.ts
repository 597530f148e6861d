import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bf16ToF32, f32ToBf16, f32ToF8e4m3, type QuantizedDType, quantizedDTypes } from './dtype.js';
import { encodeBf16Row, encodeRow, quantizeRow, scaleOfBf16Row, scaleOfRow } from './quantize.js';

/** The definition, element by element. */
function plainly(row: Float32Array, dtype: QuantizedDType): { readonly scale: number; readonly codes: Uint8Array } {
  const largest = row.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const scale = Math.fround(largest < 2 ** -100 ? 1 : largest / (dtype === 'i8' ? 127 : 448));
  const encode = dtype === 'i8' ? nearestByte : f32ToF8e4m3;
  return { scale, codes: Uint8Array.from(row, (value) => encode(Math.fround(value / scale))) };
}

/** The nearer of the integers around a number, the even one of two. */
function nearestByte(value: number): number {
  if (Number.isNaN(value)) return 0;
  const [below, above] = [Math.floor(value), Math.ceil(value)];
  if (value - below === above - value) return below % 2 === 0 ? below : above;
  return value - below < above - value ? below : above;
}

const widen = (bits: Uint16Array): Float32Array => Float32Array.from(bits, bf16ToF32);

function expectPlain(bits: Uint16Array, dtype: QuantizedDType): void {
  const row = widen(bits);
  const { scale, codes } = plainly(row, dtype);
  const [fromF32, fromBf16] = [new Uint8Array(row.length), new Uint8Array(row.length)];
  expect([encodeRow(row, fromF32, dtype), encodeBf16Row(bits, fromBf16, dtype)]).toEqual([scale, scale]);
  expect(Buffer.compare(fromF32, codes)).toBe(0);
  expect(Buffer.compare(fromBf16, codes)).toBe(0);
  expect([Math.fround(scaleOfRow(row, dtype)), scaleOfBf16Row(bits, dtype)]).toEqual([scale, scale]);
}

describe.each(quantizedDTypes)('rows in %s', (dtype) => {
  it.each([448, 447, 1, 0.0371, 3.3e38, 1e-20, 2 ** -100, 2 ** -101, 1e-39])(
    'are the same from bf16 bits, for every number up to %f',
    (largest) => {
      const most = f32ToBf16(largest);
      // Signs in turn.
      expectPlain(
        Uint16Array.from({ length: most + 1 }, (_, bits) => bits | ((bits & 1) << 15)),
        dtype,
      );
    },
  );

  it('are the same from any bf16 bits, infinities and NaN too', () => {
    const words = fc.uint16Array({ minLength: 1, maxLength: 40 });
    const finite = words.map((bits) => bits.map((word) => word & 0xbfff));
    fc.assert(
      fc.property(fc.oneof(words, finite), (bits) => expectPlain(bits, dtype)),
      { numRuns: 1000 },
    );
  });

  it('have the numbers that graphs are evaluated with', () => {
    const finite = fc.float32Array({ minLength: 1, maxLength: 40, noNaN: true, noDefaultInfinity: true });
    fc.assert(
      fc.property(finite, (row) => {
        const codes = new Uint8Array(row.length);
        const values = new Float64Array(row.length);
        expect(quantizeRow(Float64Array.from(row), values, dtype, 'f32')).toBe(encodeRow(row, codes, dtype));
        expect(Uint8Array.from(values, dtype === 'i8' ? (value) => value : f32ToF8e4m3)).toEqual(codes);
      }),
    );
  });
});
