import { Flux2cError } from '../../ir/diagnostics.js';
import type { DType } from '../../ir/dtype.js';
import type { EncodedRows } from '../../ir/encoded-rows.js';
import type { Encoding, FieldName } from '../../ir/encoding.js';
import { joinPieces } from './byte-source.js';
import type { Checkpoint, CheckpointTensor } from './checkpoint.js';
import { quoteName, quoteShape } from './quote.js';
import { widenToF32 } from './widen.js';

/** Consecutive rows (indices of the first dimension) of a tensor in a file. A tensor without dimensions is one row. */
export interface SlicePart {
  readonly tensor: string;
  readonly rowOffset: number;
  readonly rows: number;
}

/** A weight under its canonical name: the rows of its parts, one after the other. */
export interface WeightSlice {
  readonly name: string;
  /** undefined for types the IR does not have (fp8 …): see `fileDType`. */
  readonly dtype: DType | undefined;
  readonly fileDType: string;
  readonly shape: readonly number[];
  readonly parts: readonly SlicePart[];
  /** What the rows are stored in, if not as numbers (`packed` of the tensor): `q4_k`, `nf4:64`. */
  readonly encoding?: Encoding;
}

/** The weights of a component under the names the compiler uses (diffusers' own), whatever the file's layout. */
export interface WeightTable extends ReadonlyMap<string, WeightSlice> {
  /** The checkpoint, for errors. */
  readonly source: string;
}

/** A weight to be put into a table: which tensor it comes from and which of its rows, in order. */
export interface SliceRequest {
  readonly name: string;
  readonly tensor: CheckpointTensor;
  /** Default: all rows. */
  readonly rows?: readonly { readonly offset: number; readonly count: number }[];
  /** Default: the tensor's, with the number of rows asked for. */
  readonly shape?: readonly number[];
}

/**
 * Builds a table.
 * @throws Flux2cError F2C430 when two tensors of the checkpoint claim one canonical name
 */
export function buildWeightTable(source: string, requests: Iterable<SliceRequest>): WeightTable {
  const table = new Map<string, WeightSlice>();
  for (const request of requests) {
    const { name, tensor } = request;
    const existing = table.get(name)?.parts[0];
    if (existing !== undefined) {
      throw new Flux2cError('F2C430', 'two tensors of the checkpoint are the same weight', {
        where: [source, quoteName(name)],
        found: `${quoteName(existing.tensor)} and ${quoteName(tensor.name)}`,
        hint: 'The file may hold several models, or one model in two layouts: split it.',
      });
    }
    table.set(name, makeSlice(request));
  }
  return Object.assign(table, { source });
}

function makeSlice({ name, tensor, rows, shape }: SliceRequest): WeightSlice {
  const { dtype, fileDType } = tensor;
  const ranges = rows ?? [{ offset: 0, count: tensor.shape[0] ?? 1 }];
  const count = ranges.reduce((sum, range) => sum + range.count, 0);
  const natural = tensor.shape.length === 0 ? [] : [count, ...tensor.shape.slice(1)];
  const parts = ranges.map((range) => ({ tensor: tensor.name, rowOffset: range.offset, rows: range.count }));
  const encoding = tensor.packed?.encoding;
  return { name, dtype, fileDType, shape: shape ?? natural, parts, ...(encoding && { encoding }) };
}

/**
 * The tensor's rows cut into `count` equal ranges.
 * @throws Flux2cError F2C430 when they do not divide
 */
export function cutRows(tensor: CheckpointTensor, count: number): readonly { offset: number; count: number }[] {
  const rows = tensor.shape[0] ?? 1;
  if (tensor.shape.length === 0 || rows % count !== 0) {
    throw new Flux2cError('F2C430', `the rows of a fused weight do not divide by ${count}`, {
      where: [tensor.file, quoteName(tensor.name)],
      expected: `a multiple of ${count} rows`,
      found: quoteShape(tensor.shape),
    });
  }
  return Array.from({ length: count }, (_, index) => ({ offset: (index * rows) / count, count: rows / count }));
}

/**
 * Where the bytes of a slice are, in order: for programs that copy or map them without this reader.
 * @throws Flux2cError F2C403, F2C414 for packed tensors
 */
export function locateSlice(
  checkpoint: Checkpoint,
  slice: WeightSlice,
): readonly { readonly file: string; readonly offset: number; readonly byteLength: number }[] {
  return slice.parts.map((part) => {
    const { tensor, byteOffset, byteLength } = locatePart(checkpoint, part);
    return { file: tensor.file, offset: tensor.offset + byteOffset, byteLength };
  });
}

/**
 * The bytes of a slice, little-endian, row-major, in the file's element type.
 * @throws Flux2cError F2C403 when the checkpoint lacks a part, F2C414 for packed tensors, F2C401/F2C402 when reading fails
 */
export async function readSlice(checkpoint: Checkpoint, slice: WeightSlice): Promise<Uint8Array<ArrayBuffer>> {
  const located = slice.parts.map((part) => locatePart(checkpoint, part));
  const read = ({ tensor, byteOffset, byteLength }: LocatedPart): Promise<Uint8Array<ArrayBuffer>> =>
    checkpoint.readRange(tensor.name, byteOffset, byteLength);
  const [only] = located;
  if (only !== undefined && located.length === 1) return read(only);
  const bytes = new Uint8Array(located.reduce((sum, part) => sum + part.byteLength, 0));
  let end = 0;
  for (const part of located) {
    bytes.set(await read(part), end);
    end += part.byteLength;
  }
  return bytes;
}

/** The values of a slice, widened as `readTensorF32` does or unpacked. */
export async function readSliceF32(checkpoint: Checkpoint, slice: WeightSlice): Promise<Float32Array> {
  if (!isPacked(checkpoint, slice)) {
    return widenToF32(await readSlice(checkpoint, slice), slice.fileDType, [checkpoint.name, quoteName(slice.name)]);
  }
  return readPackedRows(checkpoint, slice, 0, countRows(slice));
}

/** Whether files have any part of a slice in fewer bits. */
export function isPacked({ tensors }: Checkpoint, { parts }: WeightSlice): boolean {
  return parts.some(({ tensor }) => tensors.get(tensor)?.packed !== undefined);
}

/** The numbers of some rows of a packed slice. */
export async function readPackedRows(
  checkpoint: Checkpoint,
  slice: WeightSlice,
  first: number,
  count: number,
): Promise<Float32Array> {
  const pieces: Float32Array[] = [];
  for (const { tensor, rowOffset, rows } of cutParts(slice, first, count)) {
    pieces.push(await findTensor(checkpoint, tensor).packed!.readRows(rowOffset, rows));
  }
  const bytes = joinPieces(
    pieces.map(({ buffer, byteOffset, byteLength }) => new Uint8Array(buffer, byteOffset, byteLength)),
  );
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
}

/** The arrays of some rows of a slice with an encoding. */
export async function readEncodedRows(
  checkpoint: Checkpoint,
  slice: WeightSlice,
  first: number,
  count: number,
): Promise<EncodedRows> {
  const pieces: EncodedRows[] = [];
  for (const { tensor, rowOffset, rows } of cutParts(slice, first, count)) {
    pieces.push(await findTensor(checkpoint, tensor).packed!.readEncodedRows(rowOffset, rows));
  }
  const [only] = pieces;
  if (only !== undefined && pieces.length === 1) return only;
  const joined = new Map<FieldName, Uint8Array>();
  for (const name of only?.keys() ?? []) {
    joined.set(name, joinPieces(pieces.map((piece) => piece.get(name)!)));
  }
  return joined;
}

/** The parts of a slice that rows `first` to `first + count - 1` are in, cut to these. */
function cutParts({ parts }: WeightSlice, first: number, count: number): readonly SlicePart[] {
  let start = 0;
  return parts.flatMap(({ tensor, rowOffset, rows }) => {
    const from = Math.max(first, start) - start;
    const to = Math.min(first + count, start + rows) - start;
    start += rows;
    return from < to ? [{ tensor, rowOffset: rowOffset + from, rows: to - from }] : [];
  });
}

function countRows({ parts }: WeightSlice): number {
  return parts.reduce((sum, { rows }) => sum + rows, 0);
}

interface LocatedPart {
  readonly tensor: CheckpointTensor;
  /** From the tensor's first byte. */
  readonly byteOffset: number;
  readonly byteLength: number;
}

function findTensor(checkpoint: Checkpoint, name: string): CheckpointTensor {
  const tensor = checkpoint.tensors.get(name);
  if (tensor !== undefined) return tensor;
  throw new Flux2cError('F2C403', 'the checkpoint has no such tensor', { where: [checkpoint.name, quoteName(name)] });
}

function locatePart(checkpoint: Checkpoint, part: SlicePart): LocatedPart {
  const tensor = findTensor(checkpoint, part.tensor);
  if (tensor.packed !== undefined) {
    throw new Flux2cError('F2C414', 'the weights are not stored as numbers of a type that can be copied', {
      where: [tensor.file, quoteName(part.tensor)],
      expected: 'F32, F16 or BF16',
      found: tensor.fileDType,
      hint: 'Run the checkpoint itself, or take the one of full precision.',
    });
  }
  // Whole rows are whole bytes in every type that is split.
  const rowBytes = tensor.byteLength / Math.max(1, tensor.shape[0] ?? 1);
  return { tensor, byteOffset: part.rowOffset * rowBytes, byteLength: part.rows * rowBytes };
}
