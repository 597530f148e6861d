import { Flux2cError } from '../../ir/diagnostics.js';
import type { DType } from '../../ir/dtype.js';
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
  return { name, dtype, fileDType, shape: shape ?? natural, parts };
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

/** Where the bytes of a slice are, in order: for programs that copy or map them without this reader. */
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
 * @throws Flux2cError F2C403 when the checkpoint lacks a part, F2C401/F2C402 when reading fails
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

/** The values of a slice, widened as `readTensorF32` does. */
export async function readSliceF32(checkpoint: Checkpoint, slice: WeightSlice): Promise<Float32Array> {
  return widenToF32(await readSlice(checkpoint, slice), slice.fileDType, [checkpoint.name, quoteName(slice.name)]);
}

interface LocatedPart {
  readonly tensor: CheckpointTensor;
  /** From the tensor's first byte. */
  readonly byteOffset: number;
  readonly byteLength: number;
}

function locatePart(checkpoint: Checkpoint, part: SlicePart): LocatedPart {
  const tensor = checkpoint.tensors.get(part.tensor);
  if (tensor === undefined) {
    throw new Flux2cError('F2C403', 'the checkpoint has no such tensor', {
      where: [checkpoint.name, quoteName(part.tensor)],
    });
  }
  // Whole rows are whole bytes in every type that is split; a row of a block-quantised type is whole blocks.
  const rowBytes = tensor.byteLength / Math.max(1, tensor.shape[0] ?? 1);
  return { tensor, byteOffset: part.rowOffset * rowBytes, byteLength: part.rows * rowBytes };
}
