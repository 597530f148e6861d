import { bf16ToF32, f16ToF32, f8e4m3ToF32 } from './dtype.js';
import { encodedFields, type Encoding, type Factor, type FieldName } from './encoding.js';

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
  const { group = columns, code, scale, offset, hasZeros } = encoding;
  const widths = new Map(encodedFields(encoding, columns).map((field) => [field.name, field.columns]));
  const view = (name: FieldName): DataView => {
    const bytes = fields.get(name);
    if (bytes === undefined) throw new Error(`internal: encoded rows without ${name}`);
    return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  };
  const readCode = codeReader(encoding, view);
  const readScale = factorReader(scale, view, ['scales', 'supers']);
  const readOffset = offset && factorReader(offset.factor, view, ['offsets', 'super_offsets']);
  const zeros = hasZeros ? view('zeros') : undefined;
  const groups = columns / group;
  const values = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    for (let at = 0; at < groups; at++) {
      const place = row * groups + at;
      const superPlace = (form: Factor): number =>
        form.kind === 'scaled' ? row * (columns / form.superGroup) + Math.floor((at * group) / form.superGroup) : 0;
      const factor = readScale(place, superPlace(scale));
      const zero = zeros?.getUint8(place) ?? 0;
      const added = offset && readOffset ? offset.sign * readOffset(place, superPlace(offset.factor)) : undefined;
      for (let inner = 0; inner < group; inner++) {
        const column = at * group + inner;
        const bits = readCode(row, column, widths);
        const number = code.kind === 'integer' ? bits - code.zero - zero : code.kind === 'table' ? code.values[bits]! : float(code.dtype, bits); // prettier-ignore
        const product = Math.fround(factor * number);
        values[row * columns + column] = added === undefined ? product : Math.fround(product + added);
      }
    }
  }
  return values;
}

function float(dtype: 'f8e4m3' | 'f8e5m2', bits: number): number {
  return dtype === 'f8e4m3' ? f8e4m3ToF32(bits) : f8e5m2ToF32(bits);
}

type ReadCode = (row: number, column: number, widths: ReadonlyMap<FieldName, number>) => number;

/** Code j of a row lies in word j / (32 / bits) from its lowest bits on, in either plane. */
function codeReader({ bits }: Encoding, view: (name: FieldName) => DataView): ReadCode {
  const codes = view('codes');
  if (bits === 8) return (row, column, widths) => codes.getUint8(row * widths.get('codes')! * 4 + column);
  const low: ReadCode = (row, column, widths) =>
    (codes.getUint8(row * widths.get('codes')! * 4 + (column >> 1)) >> (4 * (column & 1))) & 15;
  if (bits === 4) return low;
  const high = view('high');
  const width = bits - 4;
  const perByte = 8 / width;
  return (row, column, widths) => {
    const byte = high.getUint8(row * widths.get('high')! * 4 + Math.floor(column / perByte));
    return low(row, column, widths) | (((byte >> (width * (column % perByte))) & ((1 << width) - 1)) << 4);
  };
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
