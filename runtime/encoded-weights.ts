/** Arrays of encoded matrices, from files that store them so or from numbers that are encoded while they are read. */
import { readEncodedRows, type Checkpoint, type WeightSlice } from '../frontend/checkpoint/index.js';
import { byteSize } from '../ir/dtype.js';
import { encodeRows } from '../ir/encode-rows.js';
import type { EncodedRows } from '../ir/encoded-rows.js';
import { encodedFields, type Encoding, type FieldName } from '../ir/encoding.js';
import type { WeightPart } from '../ir/graph/graph.js';
import type { KeptArrays } from './kept-arrays.js';
import { aligned, type Rows } from './row-bytes.js';

/**
 * Rows of a matrix as records: what the arrays have of a row, one after another. Records are put together as rows of numbers are, so that
 * every way to pack rows holds for all arrays.
 */
export interface EncodedForm {
  readonly encoding: Encoding;
  readonly columns: number;
  readonly recordBytes: number;
  readonly fields: readonly EncodedPlace[];
}

interface EncodedPlace {
  readonly name: FieldName;
  /** In the record. */
  readonly start: number;
  readonly byteLength: number;
}

/** Bytes of numbers in f32 that are encoded at a time. */
const portionBytes = 2 ** 24;

/** The record of a row [columns] of a matrix [N, columns]: its arrays one behind the other, in bytes. */
export function encodedForm(encoding: Encoding, { shape }: WeightPart): EncodedForm {
  const columns = shape[1] ?? 1;
  let recordBytes = 0;
  const fields = encodedFields(encoding, columns).map(({ name, dtype, columns: width }): EncodedPlace => {
    const place = { name, start: recordBytes, byteLength: width * byteSize(dtype) };
    recordBytes += place.byteLength;
    return place;
  });
  return { encoding, columns, recordBytes, fields };
}

/** Records of a slice that is stored in the encoding. */
export function storedRecords(form: EncodedForm, checkpoint: Checkpoint, slice: WeightSlice): Rows {
  return {
    count: slice.shape[0] ?? 1,
    rowBytes: form.recordBytes,
    read: async (first, count) => toRecords(form, count, await readEncodedRows(checkpoint, slice, first, count)),
  };
}

/** Records of rows of f32 numbers. F2C172 for encodings that only files bring. */
export function madeRecords(form: EncodedForm, numbers: Rows): Rows {
  const { encoding, columns } = form;
  const read: Rows['read'] = async (first, count) => {
    const { buffer, byteOffset } = aligned(await numbers.read(first, count), 4);
    const values = new Float32Array(buffer, byteOffset, count * columns);
    return toRecords(form, count, encodeRows(encoding, count, columns, values));
  };
  return { count: numbers.count, rowBytes: form.recordBytes, read };
}

/**
 * One array of a matrix of which there are records. Records are read a portion at a time; what they have for other arrays, but for the
 * codes, is kept for those who ask for it next.
 */
export function encodedArray(
  form: EncodedForm,
  field: FieldName,
  of: WeightPart,
  records: Rows,
  kept: KeptArrays,
): Rows {
  const key = JSON.stringify([form.encoding.text, of]);
  const wanted = form.fields.find(({ name }) => name === field);
  if (wanted === undefined) throw new Error(`internal: ${form.encoding.text} has no ${field}`);
  const others = form.fields.filter(({ name }) => name !== field && name !== 'codes');
  const rowsOfPortion = Math.max(1, Math.floor(portionBytes / (4 * form.columns)));
  const read: Rows['read'] = async (first, count) => {
    const known = kept.take(key, field, first, count);
    if (known !== undefined) return known;
    const array = new Uint8Array(count * wanted.byteLength);
    for (let start = 0; start < count; start += rowsOfPortion) {
      const rows = Math.min(rowsOfPortion, count - start);
      const bytes = await records.read(first + start, rows);
      copyField(form, wanted, bytes, array.subarray(start * wanted.byteLength));
      if (others.length === 0) continue;
      const arrays = others.map((place): [string, Uint8Array] => {
        const part = new Uint8Array(rows * place.byteLength);
        copyField(form, place, bytes, part);
        return [place.name, part];
      });
      kept.keep(key, first + start, rows, records.count, new Map(arrays));
    }
    return array;
  };
  return { count: records.count, rowBytes: wanted.byteLength, read };
}

function toRecords({ fields, recordBytes }: EncodedForm, rows: number, arrays: EncodedRows): Uint8Array {
  const records = new Uint8Array(rows * recordBytes);
  for (const { name, start, byteLength } of fields) {
    const array = arrays.get(name)!;
    for (let row = 0; row < rows; row++) {
      records.set(array.subarray(row * byteLength, (row + 1) * byteLength), row * recordBytes + start);
    }
  }
  return records;
}

/** What records have for one array. */
function copyField(
  { recordBytes }: EncodedForm,
  { start, byteLength }: EncodedPlace,
  records: Uint8Array,
  into: Uint8Array,
): void {
  for (let at = start, to = 0; at < records.byteLength; at += recordBytes, to += byteLength) {
    into.set(records.subarray(at, at + byteLength), to);
  }
}
