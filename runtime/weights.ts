import { widenToF32 } from '../frontend/checkpoint/index.js';
import type { Checkpoint, WeightSlice, WeightTable } from '../frontend/checkpoint/index.js';
import { Flux2cError, unreachable } from '../ir/diagnostics.js';
import { byteSize } from '../ir/dtype.js';
import type { DType } from '../ir/dtype.js';
import type { WeightDeclaration, WeightPart, WeightSource } from '../ir/graph/graph.js';
import { countElements, hostTensorToBytes, isSameButForOnes, rowMajorStrides } from '../ir/host-tensor.js';
import { KeptScales, quantizedRows, type Rows } from './quantized-rows.js';
import { countWeightBytes, pieceBytes } from './weight-provider.js';
import type { WeightProvider } from './weight-provider.js';

/**
 * The weights of a checkpoint under the compiler's names. Packed weights are put together while they are read, by rows:
 * only a permutation that moves the rows themselves holds its whole tensor. Another element type than declared is
 * converted, floats to nearest.
 *
 * @throws while reading: F2C403 the checkpoint lacks a tensor, F2C523 one has another shape than the declaration expects,
 *   F2C401, F2C402 and F2C414 from the files
 */
export function checkpointWeights(checkpoint: Checkpoint, table: WeightTable): WeightProvider {
  const scales = new KeptScales();
  return {
    async *read(declaration, range) {
      const { byteOffset, byteLength } = range ?? { byteOffset: 0, byteLength: countWeightBytes(declaration) };
      if (byteLength === 0) return;
      const rows = openRows(declaration, checkpoint, table, scales);
      const end = byteOffset + byteLength;
      const lastRow = Math.ceil(end / rows.rowBytes);
      const rowsOfPiece = Math.max(1, Math.floor(pieceBytes / rows.rowBytes));
      for (let row = Math.floor(byteOffset / rows.rowBytes); row < lastRow; row += rowsOfPiece) {
        const count = Math.min(rowsOfPiece, lastRow - row);
        const start = row * rows.rowBytes;
        const piece = await rows.read(row, count);
        yield piece.subarray(Math.max(0, byteOffset - start), Math.min(piece.byteLength, end - start));
      }
    },
  };
}

function openRows(
  declaration: WeightDeclaration,
  checkpoint: Checkpoint,
  table: WeightTable,
  scales: KeptScales,
): Rows {
  const { dtype, shape } = declaration.type;
  const opener = new RowOpener(declaration.name, dtype, checkpoint, table, scales);
  return opener.open({ shape: shape.map((dim) => dim.evaluate({})), source: declaration.source });
}

class RowOpener {
  constructor(
    private readonly name: string,
    private readonly dtype: DType,
    private readonly checkpoint: Checkpoint,
    private readonly table: WeightTable,
    private readonly scales: KeptScales,
  ) {}

  open(part: WeightPart): Rows {
    const { source } = part;
    switch (source.kind) {
      case 'tensor':
        return this.openTensor(part, source.tensor);
      case 'concat_rows':
        return this.concatenate(part, this.openParts(part, source.parts));
      case 'interleave_rows':
        return this.interleave(part, this.openParts(part, source.parts), source.group);
      case 'permute':
        return this.permute(part, source.of, source.permutation);
      case 'quantize_rows':
      case 'row_scales':
        return this.quantize(source.kind, source.of);
      case 'encoded_rows':
        throw new Error(`internal: nothing encodes the rows of @${this.name}`);
      default:
        return unreachable(source, 'weight source');
    }
  }

  private openTensor(part: WeightPart, tensor: string): Rows {
    const slice = this.table.get(tensor);
    if (slice === undefined) {
      throw new Flux2cError('F2C403', 'the checkpoint has no such weight', {
        where: [this.table.source, tensor],
        expected: `[${part.shape.join(', ')}] for @${this.name}`,
      });
    }
    if (!isSameButForOnes(slice.shape, part.shape)) this.rejectShape(part, slice.shape, tensor);
    const rowElements = countElements(part.shape.slice(1));
    return {
      count: part.shape[0] ?? 1,
      rowBytes: rowElements * byteSize(this.dtype),
      read: (first, count) => this.readElements(slice, first * rowElements, count * rowElements),
    };
  }

  /** A range of a slice's elements, in the declared type. */
  private async readElements(slice: WeightSlice, first: number, count: number): Promise<Uint8Array> {
    const pieces: Uint8Array[] = [];
    let skip = first;
    let left = count;
    for (const { tensor, rowOffset, rows } of slice.parts) {
      const entry = this.checkpoint.tensors.get(tensor);
      if (entry === undefined) {
        throw new Flux2cError('F2C403', 'the checkpoint has no such tensor', { where: [this.checkpoint.name, tensor] });
      }
      const rowElements = countElements(entry.shape.slice(1));
      const here = Math.min(left, rows * rowElements - skip);
      if (here > 0) {
        const elementBytes = entry.byteLength / countElements(entry.shape);
        const offset = (rowOffset * rowElements + skip) * elementBytes;
        pieces.push(await this.checkpoint.readRange(tensor, offset, here * elementBytes));
        left -= here;
      }
      skip = Math.max(0, skip - rows * rowElements);
    }
    const bytes = joinPieces(pieces);
    if (slice.dtype === this.dtype) return bytes;
    const values = widenToF32(bytes, slice.fileDType, [this.checkpoint.name, slice.name]);
    if (this.dtype === 'f32') return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    return hostTensorToBytes({ dtype: this.dtype, shape: [count], data: Float64Array.from(values) });
  }

  private openParts(whole: WeightPart, parts: readonly WeightPart[]): readonly Rows[] {
    const tail = whole.shape.slice(1).join();
    for (const part of parts) if (part.shape.slice(1).join() !== tail) this.rejectShape(whole, part.shape);
    const opened = parts.map((part) => this.open(part));
    const rows = opened.reduce((sum, { count }) => sum + count, 0);
    if (rows !== whole.shape[0]) this.rejectShape(whole, [rows, ...whole.shape.slice(1)]);
    return opened;
  }

  private concatenate(whole: WeightPart, parts: readonly Rows[]): Rows {
    const read = async (first: number, count: number): Promise<Uint8Array> => {
      const pieces: Uint8Array[] = [];
      let start = 0;
      for (const part of parts) {
        const from = Math.max(first, start);
        const end = Math.min(first + count, start + part.count);
        if (from < end) pieces.push(await part.read(from - start, end - from));
        start += part.count;
      }
      return joinPieces(pieces);
    };
    return { count: whole.shape[0] as number, rowBytes: this.rowBytes(whole), read };
  }

  private interleave(whole: WeightPart, parts: readonly Rows[], group: number): Rows {
    for (const { count } of parts) {
      if (count !== parts[0]?.count || count % group !== 0) this.rejectShape(whole, [count, ...whole.shape.slice(1)]);
    }
    const rowBytes = this.rowBytes(whole);
    const cycle = group * parts.length;
    const read = async (first: number, count: number): Promise<Uint8Array> => {
      // Whole cycles from every part, then the rows asked for.
      const firstCycle = Math.floor(first / cycle);
      const cycles = Math.ceil((first + count) / cycle) - firstCycle;
      const whole = new Uint8Array(cycles * cycle * rowBytes);
      const groupBytes = group * rowBytes;
      for (const [place, part] of parts.entries()) {
        const bytes = await part.read(firstCycle * group, cycles * group);
        for (let at = 0; at < cycles; at++) {
          whole.set(bytes.subarray(at * groupBytes, (at + 1) * groupBytes), (at * parts.length + place) * groupBytes);
        }
      }
      const skip = (first - firstCycle * cycle) * rowBytes;
      return whole.subarray(skip, skip + count * rowBytes);
    };
    return { count: whole.shape[0] as number, rowBytes, read };
  }

  private permute(part: WeightPart, of: WeightPart, permutation: readonly number[]): Rows {
    const permuted = permutation.map((axis) => of.shape[axis] as number);
    if (permuted.join() !== part.shape.join()) this.rejectShape(part, permuted);
    const source = this.open(of);
    const elementBytes = byteSize(this.dtype);
    const rowBytes = this.rowBytes(part);
    const count = part.shape[0] as number;
    if (permutation[0] === 0) {
      const read = async (first: number, rows: number): Promise<Uint8Array> =>
        permuteBytes(await source.read(first, rows), [rows, ...of.shape.slice(1)], permutation, elementBytes);
      return { count, rowBytes, read };
    }
    let whole: Promise<Uint8Array> | undefined;
    const read = async (first: number, rows: number): Promise<Uint8Array> => {
      whole ??= source.read(0, source.count).then((bytes) => permuteBytes(bytes, of.shape, permutation, elementBytes));
      return (await whole).subarray(first * rowBytes, (first + rows) * rowBytes);
    };
    return { count, rowBytes, read };
  }

  /** Rows in 8 bits, or their scales. */
  private quantize(kind: 'quantize_rows' | 'row_scales', of: WeightPart): Rows {
    const from = this.storedType(of.source) === 'bf16' ? 'bf16' : 'f32';
    const source = new RowOpener(this.name, from, this.checkpoint, this.table, this.scales).open(of);
    return quantizedRows(kind, of, source, from, this.scales);
  }

  /** The element type that all tensors of a source have in the files; undefined if they differ. */
  private storedType(source: WeightSource): DType | undefined {
    switch (source.kind) {
      case 'tensor':
        return this.table.get(source.tensor)?.dtype;
      case 'concat_rows':
      case 'interleave_rows': {
        const types = new Set(source.parts.map((part) => this.storedType(part.source)));
        return types.size === 1 ? [...types][0] : undefined;
      }
      default:
        return this.storedType(source.of.source);
    }
  }

  private rowBytes(part: WeightPart): number {
    return countElements(part.shape.slice(1)) * byteSize(this.dtype);
  }

  private rejectShape(part: WeightPart, found: readonly number[], tensor?: string): never {
    throw new Flux2cError('F2C523', 'a weight of the checkpoint has the wrong shape', {
      where: [this.table.source, `@${this.name}`, ...(tensor === undefined ? [] : [tensor])],
      expected: `[${part.shape.join(', ')}]`,
      found: `[${found.join(', ')}]`,
    });
  }
}

function joinPieces(pieces: readonly Uint8Array[]): Uint8Array {
  const [only] = pieces;
  if (only !== undefined && pieces.length === 1) return only;
  const whole = new Uint8Array(pieces.reduce((sum, { byteLength }) => sum + byteLength, 0));
  let end = 0;
  for (const piece of pieces) {
    whole.set(piece, end);
    end += piece.byteLength;
  }
  return whole;
}

/** Elements of a row-major array of `shape` in the order of its permuted axes. */
function permuteBytes(
  bytes: Uint8Array,
  shape: readonly number[],
  permutation: readonly number[],
  elementBytes: number,
): Uint8Array {
  // Doubles would not keep all bit patterns: eight bytes are moved as two words.
  if (elementBytes === 8) return permuteBytes(bytes, [...shape, 2], [...permutation, shape.length], 4);
  const from = elementView(bytes, elementBytes);
  const to = elementView(new Uint8Array(bytes.byteLength), elementBytes);
  const sourceStrides = rowMajorStrides(shape);
  const sizes = permutation.map((axis) => shape[axis] as number);
  const strides = permutation.map((axis) => sourceStrides[axis] as number);
  const last = sizes.length - 1;
  const [inner, innerStride] = [sizes[last] ?? 1, strides[last] ?? 0];
  const index = new Array<number>(sizes.length).fill(0);
  let start = 0;
  for (let at = 0; at < to.length;) {
    for (let step = 0, place = start; step < inner; step++, place += innerStride) to[at++] = from[place] as number;
    for (let axis = last - 1; axis >= 0; axis--) {
      start += strides[axis] as number;
      index[axis] = (index[axis] as number) + 1;
      if ((index[axis] as number) < (sizes[axis] as number)) break;
      start -= (strides[axis] as number) * (sizes[axis] as number);
      index[axis] = 0;
    }
  }
  return new Uint8Array(to.buffer, to.byteOffset, to.byteLength);
}

/** Elements are only moved, so any type of their width will do. */
function elementView(bytes: Uint8Array, elementBytes: number): Uint8Array | Uint16Array | Uint32Array {
  const { buffer, byteOffset, byteLength } = bytes.byteOffset % elementBytes === 0 ? bytes : bytes.slice();
  const length = byteLength / elementBytes;
  switch (elementBytes) {
    case 1:
      return new Uint8Array(buffer, byteOffset, length);
    case 2:
      return new Uint16Array(buffer, byteOffset, length);
    default:
      return new Uint32Array(buffer, byteOffset, length);
  }
}
