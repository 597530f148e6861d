import { bf16ToF32, f16ToF32, f8e4m3ToF32 } from './dtype.js';
import { type Encoding, type Factor, type FieldName } from './encoding.js';

/** The arrays of some rows of an encoded matrix: little-endian, row-major, as `encodedFields` lists them. */
export type EncodedRows = ReadonlyMap<FieldName, Uint8Array>;

/** The value of an f8e5m2 bit pattern: the upper half of a half (Open Compute Project, 8-bit Floating Point Specification 1.0). */
export function f8e5m2ToF32(bits: number): number {
  return f16ToF32(bits << 8);
}

/**
 * The numbers that encoded rows stand for: [rows, columns], in f32, each operation rounded as `Encoding` says. What kernels are held
 * to, and what runs where they do not reach.
 */
export function decodeRows(encoding: Encoding, rows: number, columns: number, fields: EncodedRows): Float32Array {
  const { group = columns, scale, offset, hasZeros } = encoding;
  const view = (name: FieldName): DataView => {
    const bytes = bytesOf(fields, name);
    return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  };
  const numbers = numbersOfCodes(encoding);
  const codes = new Uint8Array(columns);
  const readScale = factorReader(scale, view, ['scales', 'supers']);
  const readOffset = offset && factorReader(offset.factor, view, ['offsets', 'super_offsets']);
  const zeros = hasZeros ? view('zeros') : undefined;
  const groups = columns / group;
  const values = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    unpackCodes(encoding, row, fields, codes);
    for (let at = 0; at < groups; at++) {
      const place = row * groups + at;
      const superPlace = (form: Factor): number =>
        form.kind === 'scaled' ? row * (columns / form.superGroup) + Math.floor((at * group) / form.superGroup) : 0;
      const factor = readScale(place, superPlace(scale));
      const zero = zeros?.getUint8(place) ?? 0;
      const added = offset && readOffset ? offset.sign * readOffset(place, superPlace(offset.factor)) : undefined;
      for (let column = at * group; column < (at + 1) * group; column++) {
        const product = Math.fround(factor * (numbers[codes[column]!]! - zero));
        values[row * columns + column] = added === undefined ? product : Math.fround(product + added);
      }
    }
  }
  return values;
}

function bytesOf(fields: EncodedRows, name: FieldName): Uint8Array {
  const bytes = fields.get(name);
  if (bytes === undefined) throw new Error(`internal: encoded rows without ${name}`);
  return bytes;
}

/** What each code stands for, zero points apart. */
function numbersOfCodes({ bits, code }: Encoding): Float64Array {
  return Float64Array.from({ length: 2 ** bits }, (_, at) => {
    return code.kind === 'integer' ? at - code.zero : code.kind === 'table' ? code.values[at]! : float(code.dtype, at);
  });
}

function float(dtype: 'f8e4m3' | 'f8e5m2', bits: number): number {
  return dtype === 'f8e4m3' ? f8e4m3ToF32(bits) : f8e5m2ToF32(bits);
}

/** The codes of a row. Code j lies in word j / (32 / bits) from its lowest bits on, in either plane. */
function unpackCodes({ bits }: Encoding, row: number, fields: EncodedRows, codes: Uint8Array): void {
  const columns = codes.length;
  const low = bytesOf(fields, 'codes');
  if (bits === 8) {
    codes.set(low.subarray(row * columns, (row + 1) * columns));
    return;
  }
  for (let column = 0, at = (row * columns) / 2; column < columns; column += 2, at++) {
    const byte = low[at]!;
    codes[column] = byte & 15;
    codes[column + 1] = byte >>> 4;
  }
  if (bits === 4) return;
  const high = bytesOf(fields, 'high');
  const width = bits - 4;
  const perByte = 8 / width;
  const mask = (1 << width) - 1;
  for (let column = 0, at = (row * columns) / perByte; column < columns; column += perByte, at++) {
    const byte = high[at]!;
    for (let inner = 0; inner < perByte; inner++) codes[column + inner]! |= ((byte >>> (width * inner)) & mask) << 4;
  }
}

type ReadFactor = (place: number, superPlace: number) => number;

function factorReader(
  form: Factor,
  view: (name: FieldName) => DataView,
  [own, outer]: readonly [FieldName, FieldName],
): ReadFactor {
  const values = view(own);
  if (form.kind === 'scaled') {
    const supers = view(outer);
    return (place, superPlace) =>
      Math.fround(f16ToF32(supers.getUint16(superPlace * 2, true)) * (values.getUint8(place) - form.bias));
  }
  switch (form.dtype) {
    case 'f32':
      return (place) => values.getFloat32(place * 4, true);
    case 'f16':
      return (place) => f16ToF32(values.getUint16(place * 2, true));
    case 'bf16':
      return (place) => bf16ToF32(values.getUint16(place * 2, true));
  }
}
