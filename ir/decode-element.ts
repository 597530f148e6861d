import { f8e4m3ToF32 } from './dtype.js';
import { f8e5m2ToF32 } from './encoded-rows.js';
import { encodedFields, type Encoding, type Factor, type FieldName } from './encoding.js';

/** The fields of an encoding without their extents, in the order of `encodedFields`. */
export function fieldNamesOf(encoding: Encoding): readonly FieldName[] {
  // Which fields there are does not depend on the number of columns.
  return encodedFields(encoding, 256 * (encoding.group ?? 1)).map(({ name }) => name);
}

/** Codes, or the 4 low bits of wider ones, in a word. */
export function codesOfWord({ bits }: Encoding): 4 | 8 {
  return bits === 8 ? 4 : 8;
}

/** Bits of a code that lie in the words of a plane. */
export function planeBits({ bits }: Encoding): { readonly codes: 4 | 8; readonly high: 1 | 2 | undefined } {
  return bits === 8 ? { codes: 8, high: undefined } : { codes: 4, high: bits === 5 ? 1 : bits === 6 ? 2 : undefined };
}

/**
 * One number of an encoded row: what its column has in each field, words for the planes of codes, numbers for the rest. `decodeRows`
 * does the same for whole rows.
 */
export function decodeElement(encoding: Encoding, column: number, fields: readonly number[]): number {
  const names = fieldNamesOf(encoding);
  const field = (name: FieldName): number => fields[names.indexOf(name)] ?? 0;
  const inWord = (name: FieldName, bits: number): number =>
    (field(name) >>> (bits * (column % (32 / bits)))) & (2 ** bits - 1);
  const planes = planeBits(encoding);
  const low = inWord('codes', planes.codes);
  const bits = planes.high === undefined ? low : low | (inWord('high', planes.high) << 4);
  const factor = (form: Factor, [own, outer]: readonly [FieldName, FieldName]): number =>
    form.kind === 'plain' ? field(own) : Math.fround(field(outer) * (field(own) - form.bias));
  const { scale, offset } = encoding;
  const product = Math.fround(factor(scale, ['scales', 'supers']) * (numberOf(encoding, bits) - field('zeros')));
  if (offset === undefined) return product;
  return Math.fround(product + offset.sign * factor(offset.factor, ['offsets', 'super_offsets']));
}

function numberOf({ code }: Encoding, bits: number): number {
  switch (code.kind) {
    case 'integer':
      return bits - code.zero;
    case 'table':
      return code.values[bits] ?? 0;
    case 'float':
      return code.dtype === 'f8e4m3' ? f8e4m3ToF32(bits) : f8e5m2ToF32(bits);
  }
}
