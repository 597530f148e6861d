import { Flux2cError } from './diagnostics.js';
import { bf16ToF32, byteSize, f32ToBf16 } from './dtype.js';
import type { EncodedRows } from './encoded-rows.js';
import { encodedFields, encodingForms, findEncoding, type Encoding, type FieldName } from './encoding.js';
import { encodeRow, leastQuantized } from './quantize.js';

/** Encodes the numbers `begin` to `end`, the `group`-th group of all rows. */
type EncodeGroup = (begin: number, end: number, group: number) => void;

/** Whether `encodeRows` makes it: GGUF's blocks are only read. */
export function canEncode({ text, code, bits }: Encoding): boolean {
  return code.kind !== 'integer' || text === 'int8' || (bits === 4 && text.startsWith('int4'));
}

/** @throws Flux2cError F2C172 for encodings that only files bring */
export function requireEncodable(encoding: Encoding): void {
  if (canEncode(encoding)) return;
  throw new Flux2cError('F2C172', 'weights cannot be encoded in this way, only read', {
    expected: encodingForms.filter((form) => canEncode(findEncoding(form.replace('GROUP', '64'))!)).join(', '),
    found: encoding.text,
  });
}

/**
 * Encodes rows of numbers, each to the nearest code of its group: the inverse of `decodeRows` but for what is lost. A group's scale is its largest
 * magnitude over the largest code's; of integers in 4 bits it is the one of a few around it with the smallest squared error.
 * Groups of numbers below 2^-100 become zeros; NaN and infinity make their whole group NaN.
 *
 * @param values [rows, columns], whose columns `fitsEncoding`
 * @throws Flux2cError F2C172 for encodings that only files bring
 */
export function encodeRows(encoding: Encoding, rows: number, columns: number, values: Float32Array): EncodedRows {
  const { group = columns } = encoding;
  const fields = new Map<FieldName, Uint8Array>();
  for (const { name, dtype, columns: width } of encodedFields(encoding, columns)) {
    fields.set(name, new Uint8Array(rows * width * byteSize(dtype)));
  }
  const encodeGroup = groupEncoder(encoding, values, fields);
  for (let begin = 0, at = 0; begin < rows * columns; begin += group, at++) encodeGroup(begin, begin + group, at);
  return fields;
}

function groupEncoder(encoding: Encoding, values: Float32Array, fields: EncodedRows): EncodeGroup {
  const codes = fields.get('codes')!;
  const scaleBytes = fields.get('scales')!;
  requireEncodable(encoding);
  const { code } = encoding;
  if (code.kind === 'integer' && encoding.bits === 4) {
    return integer4Encoder(values, codes, new Uint16Array(scaleBytes.buffer), fields.get('zeros'));
  }
  const scales = new Float32Array(scaleBytes.buffer);
  switch (code.kind) {
    case 'integer':
      return (begin, end, group) => {
        scales[group] = encodeInteger8(values, begin, end, codes);
      };
    case 'table':
      return tableEncoder(code.values, values, codes, scales);
    case 'float':
      return (begin, end, group) => {
        const [row, into] = [values.subarray(begin, end), codes.subarray(begin, end)];
        scales[group] = code.dtype === 'f8e4m3' ? encodeRow(row, into, 'f8e4m3') : encodeF8e5m2(row, into);
      };
  }
}

function largestMagnitude(values: Float32Array, begin: number, end: number): number {
  let largest = 0;
  for (let at = begin; at < end; at++) largest = Math.max(largest, Math.abs(values[at]!));
  return largest;
}

/** 3 · 2^51: added and taken away again it rounds a double to the nearest integer, ties to even. */
const rounder = 6755399441055744;

/**
 * -127 to 127 times the largest magnitude / 127, as bitsandbytes' rows; returns the scale. It is never infinity, which codes would make
 * infinities of.
 */
function encodeInteger8(values: Float32Array, begin: number, end: number, codes: Uint8Array): number {
  const largest = largestMagnitude(values, begin, end);
  const scale = largest < leastQuantized ? 0 : Number.isFinite(largest) ? Math.fround(largest / 127) : NaN;
  const inverse = scale === 0 ? 0 : 1 / scale;
  for (let at = begin; at < end; at++) codes[at] = values[at]! * inverse + rounder - rounder + 128;
  return scale;
}

/**
 * What the largest magnitude is divided by, to be tried: with 8 it becomes the code -8, with 7 or less every number is in reach, with
 * more than 8 the largest are cut off and the others closer.
 */
const divisors: readonly number[] = [8, 7.5, 7, 8.5, 9.25];
/** Parts of the range from the smallest to the largest number of a group that codes with a zero point shall reach, to be tried. */
const reaches: readonly number[] = [1, 0.95, 0.9, 0.84];

/** 4 bits with scales in bf16: codes are chosen for the rounded scale. With `zeros`, each group has a zero point. */
function integer4Encoder(
  values: Float32Array,
  codes: Uint8Array,
  scales: Uint16Array,
  zeros: Uint8Array | undefined,
): EncodeGroup {
  let best = { bits: 0, zero: 0, error: 0 };
  const attempt = (begin: number, end: number, wanted: number, wantedZero: (scale: number) => number): void => {
    const bits = f32ToBf16(wanted);
    const scale = bf16ToF32(bits);
    const zero = wantedZero(scale);
    const error = errorOf4Bits(values, begin, end, scale, zero);
    if (error < best.error) best = { bits, zero, error };
  };
  return (begin, end, group) => {
    let smallest = 0;
    let largest = 0;
    for (let at = begin; at < end; at++) {
      smallest = Math.min(smallest, values[at]!);
      largest = Math.max(largest, values[at]!);
    }
    const extreme = largest > -smallest ? largest : smallest;
    best = { bits: 0, zero: zeros === undefined ? 8 : 0, error: Infinity };
    if (!Number.isFinite(largest - smallest)) best.bits = f32ToBf16(NaN);
    else if (largest - smallest >= leastQuantized) {
      if (zeros === undefined) for (const divisor of divisors) attempt(begin, end, -extreme / divisor, () => 8);
      else {
        for (const reach of reaches) {
          const wanted = ((largest - smallest) * reach) / 15;
          attempt(begin, end, wanted, (scale) => Math.min(15, Math.round((-smallest * reach) / scale)));
        }
      }
    }
    scales[group] = best.bits;
    if (zeros !== undefined) zeros[group] = best.zero;
    write4Bits(values, begin, end, bf16ToF32(best.bits), best.zero, codes);
  };
}

/** The sum of squared errors of a group in 4 bits. */
function errorOf4Bits(values: Float32Array, begin: number, end: number, scale: number, zero: number): number {
  const inverse = 1 / scale;
  const [low, high] = [-zero, 15 - zero];
  let sum = 0;
  for (let at = begin; at < end; at++) {
    const value = values[at]!;
    let code = value * inverse + rounder - rounder;
    if (code < low) code = low;
    else if (code > high) code = high;
    const error = code * scale - value;
    sum += error * error;
  }
  return sum;
}

function write4Bits(
  values: Float32Array,
  begin: number,
  end: number,
  scale: number,
  zero: number,
  codes: Uint8Array,
): void {
  const inverse = scale === 0 ? 0 : 1 / scale;
  for (let at = begin; at < end; at += 2) {
    const low = values[at]! * inverse + rounder - rounder + zero;
    const high = values[at + 1]! * inverse + rounder - rounder + zero;
    codes[at >> 1] = clampTo4Bits(low) | (clampTo4Bits(high) << 4);
  }
}

function clampTo4Bits(code: number): number {
  return code < 0 ? 0 : code > 15 ? 15 : code;
}

/** Cells of equal width from -1 to 1: narrower than the middles between any two neighbours of a table are apart. */
const cells = 512;

/**
 * The nearest of 16 numbers from -1 to 1 times the largest magnitude. At most one middle between neighbours of the table lies in a cell:
 * one comparison decides.
 */
function tableEncoder(
  table: readonly number[],
  values: Float32Array,
  codes: Uint8Array,
  scales: Float32Array,
): EncodeGroup {
  const sorted = [...new Set(table)].sort((a, b) => a - b);
  const below = new Uint8Array(cells + 1);
  const above = new Uint8Array(cells + 1);
  const middles = new Float64Array(cells + 1);
  for (let cell = 0; cell <= cells; cell++) {
    const start = (2 * cell) / cells - 1;
    let place = 0;
    while (place < sorted.length - 1 && (sorted[place]! + sorted[place + 1]!) / 2 < start) place++;
    const next = Math.min(place + 1, sorted.length - 1);
    below[cell] = table.indexOf(sorted[place]!);
    above[cell] = table.indexOf(sorted[next]!);
    middles[cell] = (sorted[place]! + sorted[next]!) / 2;
  }
  return (begin, end, group) => {
    const largest = largestMagnitude(values, begin, end);
    const scale = largest < leastQuantized ? 0 : largest;
    const inverse = scale === 0 || !Number.isFinite(scale) ? 0 : 1 / scale;
    scales[group] = Number.isFinite(scale) ? scale : NaN;
    for (let at = begin; at < end; at += 2) {
      const first = values[at]! * inverse;
      const second = values[at + 1]! * inverse;
      const firstCell = ((first + 1) * (cells / 2)) | 0;
      const secondCell = ((second + 1) * (cells / 2)) | 0;
      const low = first > middles[firstCell]! ? above[firstCell]! : below[firstCell]!;
      const high = second > middles[secondCell]! ? above[secondCell]! : below[secondCell]!;
      codes[at >> 1] = low | (high << 4);
    }
  };
}

const largestF8e5m2 = 57344;

/** As `encodeRow`, in f8e5m2: a half cut to its upper byte, to nearest, ties to even. */
function encodeF8e5m2(row: Float32Array, codes: Uint8Array): number {
  const largest = largestMagnitude(row, 0, row.length);
  const scale = largest < leastQuantized ? 1 : Math.fround(largest / largestF8e5m2);
  for (let at = 0; at < row.length; at++) codes[at] = f32ToF8e5m2(row[at]! / scale);
  return scale;
}

const float = new Float32Array(1);
const word = new Uint32Array(float.buffer);

/** Bits of the f8e5m2 nearest to a number, ties to even; beyond 57344 it becomes ±57344, NaN 0x7f. */
function f32ToF8e5m2(value: number): number {
  float[0] = value;
  const bits = word[0]!;
  const exact = bits & 0x7fffffff;
  if (exact > 0x7f800000) return 0x7f;
  const sign = (bits >>> 24) & 0x80;
  // 57344 is 0x47600000, 2^-14 is 0x38800000. Below it codes are multiples of 2^-16, as numbers from 2^7 on are in f32.
  const magnitude = Math.min(exact, 0x47600000);
  if (magnitude < 0x38800000) return sign | ((Math.fround(Math.abs(value) + 128) - 128) * 65536);
  return sign | (((magnitude + 0xfffff + ((magnitude >>> 21) & 1)) >>> 21) - 448);
}
