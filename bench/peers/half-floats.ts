/** Conversions of whole arrays between f32 and the bits of f16, quick enough for gigabytes. */
import { f16ToF32, f32ToF16 } from '../../ir/dtype.js';

/** Bits of the nearest f16 of each number, ties to even. */
export function encodeHalves(values: Float32Array): Uint16Array {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const halves = new Uint16Array(values.length);
  for (let at = 0; at < halves.length; at++) {
    const word = words[at]!;
    const magnitude = word & 0x7fffffff;
    // From 2^-14 up to 65520, from where on numbers round to infinity: another bias, and 13 bits less of fraction.
    const isNormal = magnitude >= 0x38800000 && magnitude < 0x477ff000;
    halves[at] = isNormal
      ? ((word >>> 16) & 0x8000) | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13)
      : f32ToF16(values[at]!);
  }
  return halves;
}

let valueOfBits: Float32Array | undefined;

/** The numbers that bits of f16 stand for. */
export function decodeHalves(halves: Uint16Array): Float32Array {
  valueOfBits ??= Float32Array.from({ length: 2 ** 16 }, (_, bits) => f16ToF32(bits));
  const values = new Float32Array(halves.length);
  for (let at = 0; at < values.length; at++) values[at] = valueOfBits[halves[at]!]!;
  return values;
}
