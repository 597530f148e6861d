/** Files of weights inside of an artifact: what lies where in them, and writing them a piece at a time. */
import { isPacked, layOutSafetensors, readEncodedRows, type WeightSlice } from '../frontend/checkpoint/index.js';
import { fileDTypeOf } from '../frontend/checkpoint/file-dtype.js';
import { Dim } from '../ir/dim.js';
import { byteSize, type DType } from '../ir/dtype.js';
import type { EncodedRows } from '../ir/encoded-rows.js';
import { encodedFields, type FieldName, fitsEncoding, parseEncoding } from '../ir/encoding.js';
import type { TensorUse } from '../models/flux2/compile-artifact.js';
import type { LoadedComponent } from '../models/flux2/load-model.js';
import type { FileRange, WeightEntry } from '../runtime/artifact.js';
import { readWhole, type WeightProvider } from '../runtime/weight-provider.js';
import { checkpointWeights } from '../runtime/weights.js';
import type { PutBytes } from './placed-file.js';
import type { RowEncoder } from './row-encoder.js';

/** How a tensor is written. Numbers are those of the file; arrays are copied from a file that has them, or made. */
type Form =
  { readonly kind: 'numbers'; readonly dtype: DType } | { readonly kind: 'copied' | 'made'; readonly encoding: string };

/** A tensor to be written. */
export interface TensorToPack {
  readonly name: string;
  readonly slice: WeightSlice;
  readonly form: Form;
}

/** A file of an artifact. */
export interface PackedFile {
  /** Length field and header of the safetensors file. */
  readonly header: Uint8Array;
  readonly byteLength: number;
  /** Where the manifest, in which the file is the `index`-th, says that the tensors are. */
  readonly entriesOf: (index: number) => ReadonlyMap<string, WeightEntry>;
  /** In the order of the files that are read. */
  readonly pieces: readonly PackedPiece[];
}

/** Some rows of a tensor. */
export interface PackedPiece {
  /** That will be written. */
  readonly byteLength: number;
  readonly needsEncoder: boolean;
  write(put: PutBytes, encoder: RowEncoder): Promise<void>;
}

/** Bytes that are read or encoded at a time, by each of several threads. */
const PIECE_BYTES = 16 * 2 ** 20;

/**
 * How a tensor goes into an artifact, undefined where the artifact can point to its numbers. What a file holds in fewer bits is kept as it
 * is. What all plans want encoded is encoded now; what some want as numbers stays numbers, and is encoded when it is loaded.
 */
export function formOf(
  { checkpoint, table }: Pick<LoadedComponent<unknown>, 'checkpoint' | 'table'>,
  name: string,
  { isNumbers, encodings }: TensorUse,
  packAll: boolean,
): TensorToPack | undefined {
  const slice = table.get(name)!;
  const { encoding, shape, dtype } = slice;
  if (encoding !== undefined && shape.length === 2 && fitsEncoding(encoding, shape[1]!)) {
    return { name, slice, form: { kind: 'copied', encoding: encoding.text } };
  }
  const [wanted, ...others] = encodings;
  if (wanted !== undefined && others.length === 0 && !isNumbers) {
    return { name, slice, form: { kind: 'made', encoding: wanted } };
  }
  if (isPacked(checkpoint, slice)) {
    // Encoding starts from numbers that were not rounded.
    return { name, slice, form: { kind: 'numbers', dtype: wanted === undefined ? dtype! : 'f32' } };
  }
  return packAll ? { name, slice, form: { kind: 'numbers', dtype: dtype! } } : undefined;
}

interface PlacedArray {
  /** The encoding's field; undefined for numbers. */
  readonly field: FieldName | undefined;
  readonly rowBytes: number;
  readonly range: readonly [offset: number, byteLength: number];
}

/** Lays a file out: of a network, in the order in which their files have the tensors. */
export function layOutPacked(
  { checkpoint, table }: Pick<LoadedComponent<unknown>, 'checkpoint' | 'table'>,
  tensors: readonly TensorToPack[],
): PackedFile {
  const arraysOf = new Map(tensors.map((tensor) => [tensor, listArrays(tensor)]));
  const layout = layOutSafetensors(new Map([...arraysOf.values()].flat().map(({ name, spec }) => [name, spec])));
  const places = new Map(layout.tensors.map(({ name, offset, byteLength }) => [name, [offset, byteLength] as const]));
  const placed = tensors.map((tensor) => {
    const arrays = arraysOf.get(tensor)!.map(({ name, field, rowBytes }): PlacedArray => {
      return { field, rowBytes, range: places.get(name)! };
    });
    return { tensor, arrays };
  });
  const weights = checkpointWeights(checkpoint, table);
  const inFileOrder = [...placed].sort((a, b) => comparePlaces(checkpoint, a.tensor.slice, b.tensor.slice));
  return {
    header: layout.header,
    byteLength: layout.byteLength,
    entriesOf: (index) => new Map(placed.map(({ tensor, arrays }) => [tensor.name, entryOf(tensor, arrays, index)])),
    pieces: inFileOrder.flatMap(({ tensor, arrays }) =>
      cutRows(tensor, arrays).map(([first, count]): PackedPiece => {
        return {
          byteLength: arrays.reduce((sum, { rowBytes }) => sum + rowBytes * count, 0),
          needsEncoder: tensor.form.kind === 'made',
          write: async (put, encoder) => {
            const read = await readRows(tensor, { checkpoint, weights, encoder }, first, count);
            for (const { field, rowBytes, range } of arrays) {
              await put(range[0] + first * rowBytes, read instanceof Uint8Array ? read : read.get(field!)!);
            }
          },
        };
      }),
    ),
  };
}

/** The arrays of a tensor as tensors of a file: itself, or `NAME.codes`, `NAME.scales` and so on. */
function listArrays({ name, slice: { shape }, form }: TensorToPack): readonly {
  readonly name: string;
  readonly field: FieldName | undefined;
  readonly rowBytes: number;
  readonly spec: { readonly dtype: DType; readonly shape: readonly number[] };
}[] {
  if (form.kind === 'numbers') {
    const rowBytes = shape.slice(1).reduce((product, size) => product * size, byteSize(form.dtype));
    return [{ name, field: undefined, rowBytes, spec: { dtype: form.dtype, shape } }];
  }
  const [rows, columns] = shape as readonly [number, number];
  return encodedFields(parseEncoding(form.encoding), columns).map(({ name: field, dtype, columns: width }) => {
    return {
      name: `${name}.${field}`,
      field,
      rowBytes: width * byteSize(dtype),
      spec: { dtype, shape: [rows, width] },
    };
  });
}

function entryOf(
  { slice: { shape, dtype }, form }: TensorToPack,
  arrays: readonly PlacedArray[],
  index: number,
): WeightEntry {
  const ranges = arrays.map(({ range: [offset, byteLength] }): FileRange => [index, offset, byteLength]);
  if (form.kind === 'numbers') return { dtype: fileDTypeOf(form.dtype), shape, parts: ranges };
  const named = arrays.map(({ field }, place) => [field!, ranges[place]!] as const);
  return { encoding: form.encoding, dtype: fileDTypeOf(dtype!), shape, arrays: new Map(named) };
}

/** Ranges of rows that are [first, count]. */
function cutRows(
  { slice: { shape }, form }: TensorToPack,
  arrays: readonly PlacedArray[],
): readonly [number, number][] {
  const rows = shape[0] ?? 1;
  const written = arrays.reduce((sum, { rowBytes }) => sum + rowBytes, 0);
  const rowBytes = form.kind === 'made' ? 4 * shape[1]! : written;
  const rowsOfPiece = Math.max(1, Math.floor(PIECE_BYTES / Math.max(1, rowBytes)));
  return Array.from({ length: Math.ceil(rows / rowsOfPiece) }, (_, index) => {
    const first = index * rowsOfPiece;
    return [first, Math.min(rowsOfPiece, rows - first)];
  });
}

interface RowSources extends Pick<LoadedComponent<unknown>, 'checkpoint'> {
  readonly weights: WeightProvider;
  readonly encoder: RowEncoder;
}

/** Rows as they are written: the numbers' bytes, or arrays. */
async function readRows(
  { name, slice, form }: TensorToPack,
  { checkpoint, weights, encoder }: RowSources,
  first: number,
  count: number,
): Promise<Uint8Array | EncodedRows> {
  if (form.kind === 'copied') return readEncodedRows(checkpoint, slice, first, count);
  const dtype = form.kind === 'numbers' ? form.dtype : 'f32';
  const { shape } = slice;
  const rowBytes = shape.slice(1).reduce((product, size) => product * size, byteSize(dtype));
  const type = { dtype, shape: shape.map((size) => Dim.of(size)) };
  const bytes = await readWhole(
    weights,
    { name, type, source: { kind: 'tensor', tensor: name } },
    { byteOffset: first * rowBytes, byteLength: count * rowBytes },
  );
  if (form.kind === 'numbers') return bytes;
  const columns = shape[1]!;
  // In a buffer of its own: it goes to another thread.
  const values = new Float32Array(bytes.slice().buffer, 0, count * columns);
  return encoder.encode({ encoding: form.encoding, rows: count, columns, values });
}

function comparePlaces({ tensors }: LoadedComponent<unknown>['checkpoint'], a: WeightSlice, b: WeightSlice): number {
  const [one, other] = [tensors.get(a.parts[0]!.tensor)!, tensors.get(b.parts[0]!.tensor)!];
  if (one.file !== other.file) return one.file < other.file ? -1 : 1;
  return one.offset - other.offset;
}
