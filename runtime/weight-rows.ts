import { isPacked, readPackedRows, widenToF32 } from '../frontend/checkpoint/index.js';
import type { Checkpoint, WeightSlice, WeightTable } from '../frontend/checkpoint/index.js';
import { Flux2cError, unreachable } from '../ir/diagnostics.js';
import { byteSize } from '../ir/dtype.js';
import type { DType } from '../ir/dtype.js';
import { parseEncoding } from '../ir/encoding.js';
import type { WeightDeclaration, WeightPart, WeightSource } from '../ir/graph/graph.js';
import { tensorsOf } from '../ir/graph/weight-ingredients.js';
import { countElements, isSameButForOnes } from '../ir/host-tensor.js';
import { encodedArray, type EncodedForm, encodedForm, madeRecords, storedRecords } from './encoded-weights.js';
import type { KeptArrays } from './kept-arrays.js';
import { upsampledShape } from '../ir/upsampled-filters.js';
import { quantizedRows } from './quantized-rows.js';
import { upsampledRows } from './upsampled-rows.js';
import { joinPieces } from '../frontend/checkpoint/byte-source.js';
import { areFiniteHalves, halvesOfBf16, narrowF32, permuteBytes, type Rows } from './row-bytes.js';

export interface WeightFiles {
  readonly checkpoint: Checkpoint;
  readonly table: WeightTable;
  readonly kept: KeptArrays;
}

/** The rows of a weight, packed as declared. Errors as `checkpointWeights`. */
export function openRows({ name, type, source }: WeightDeclaration, files: WeightFiles): Rows {
  const shape = type.shape.map((dim) => dim.evaluate({}));
  return new NumberOpener({ ...files, name }, type.dtype).open({ shape, source });
}

interface NamedFiles extends WeightFiles {
  /** Of the weight, for errors. */
  readonly name: string;
}

/** Puts rows together from rows of tensors, whatever a row is. */
abstract class RowOpener {
  constructor(protected readonly files: NamedFiles) {}

  abstract open(part: WeightPart): Rows;

  protected abstract rowBytes(part: WeightPart): number;

  protected findSlice(part: WeightPart, tensor: string): WeightSlice {
    const slice = this.files.table.get(tensor);
    if (slice === undefined) {
      throw new Flux2cError('F2C403', 'the checkpoint has no such weight', {
        where: [this.files.table.source, tensor],
        expected: `[${part.shape.join(', ')}] for @${this.files.name}`,
      });
    }
    if (!isSameButForOnes(slice.shape, part.shape)) this.rejectShape(part, slice.shape, tensor);
    return slice;
  }

  protected openParts(whole: WeightPart, parts: readonly WeightPart[]): readonly Rows[] {
    const tail = whole.shape.slice(1).join();
    for (const part of parts) if (part.shape.slice(1).join() !== tail) this.rejectShape(whole, part.shape);
    const opened = parts.map((part) => this.open(part));
    const rows = opened.reduce((sum, { count }) => sum + count, 0);
    if (rows !== whole.shape[0]) this.rejectShape(whole, [rows, ...whole.shape.slice(1)]);
    return opened;
  }

  protected concatenate(whole: WeightPart, parts: readonly Rows[]): Rows {
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

  protected interleave(whole: WeightPart, parts: readonly Rows[], group: number): Rows {
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

  protected slice(part: WeightPart, of: WeightPart, start: number): Rows {
    const end = start + (part.shape[0] as number);
    const fits = end <= (of.shape[0] ?? 0) && of.shape.slice(1).join() === part.shape.slice(1).join();
    if (!fits) this.rejectShape({ ...part, shape: [end, ...part.shape.slice(1)] }, of.shape);
    const { rowBytes, read } = this.open(of);
    return { count: end - start, rowBytes, read: (first, count) => read(start + first, count) };
  }

  protected rejectShape(part: WeightPart, found: readonly number[], tensor?: string): never {
    throw new Flux2cError('F2C523', 'a weight of the checkpoint has the wrong shape', {
      where: [this.files.table.source, `@${this.files.name}`, ...(tensor === undefined ? [] : [tensor])],
      expected: `[${part.shape.join(', ')}]`,
      found: `[${found.join(', ')}]`,
    });
  }
}

/** Rows of numbers in an element type; of whole weights arrays of 8 bits and encoded ones, too. */
class NumberOpener extends RowOpener {
  constructor(
    files: NamedFiles,
    private readonly dtype: DType,
  ) {
    super(files);
  }

  open(part: WeightPart): Rows {
    const { source } = part;
    switch (source.kind) {
      case 'tensor':
        return this.openTensor(part, source.tensor);
      case 'concat_rows':
        return this.concatenate(part, this.openParts(part, source.parts));
      case 'interleave_rows':
        return this.interleave(part, this.openParts(part, source.parts), source.group);
      case 'slice_rows':
        return this.slice(part, source.of, source.start);
      case 'permute':
        return this.permute(part, source.of, source.permutation);
      case 'upsampled_filters':
        return this.upsample(part, source.of);
      case 'quantize_rows':
      case 'row_scales':
        return this.quantize(source);
      case 'encoded_rows': {
        const form = encodedForm(parseEncoding(source.encoding), source.of);
        const records = new RecordOpener(this.files, form).open(source.of);
        return encodedArray(form, source.field, source.of, records, this.files.kept);
      }
      default:
        return unreachable(source, 'weight source');
    }
  }

  private openTensor(part: WeightPart, tensor: string): Rows {
    const slice = this.findSlice(part, tensor);
    const rowElements = countElements(part.shape.slice(1));
    const rowBytes = rowElements * byteSize(this.dtype);
    const rows = part.shape[0] ?? 1;
    if (isPacked(this.files.checkpoint, slice)) {
      if (rows !== (slice.shape[0] ?? 1)) this.rejectShape(part, slice.shape, tensor);
      const read: Rows['read'] = async (first, count) =>
        this.narrow(await readPackedRows(this.files.checkpoint, slice, first, count), slice.name);
      return { count: rows, rowBytes, read };
    }
    const read: Rows['read'] = (first, count) => this.readElements(slice, first * rowElements, count * rowElements);
    return { count: rows, rowBytes, read };
  }

  /** A range of a slice's elements, in the declared type. */
  private async readElements(slice: WeightSlice, first: number, count: number): Promise<Uint8Array> {
    const pieces: Uint8Array[] = [];
    let skip = first;
    let left = count;
    for (const { tensor, rowOffset, rows } of slice.parts) {
      const entry = this.files.checkpoint.tensors.get(tensor);
      if (entry === undefined) {
        throw new Flux2cError('F2C403', 'the checkpoint has no such tensor', {
          where: [this.files.checkpoint.name, tensor],
        });
      }
      const rowElements = countElements(entry.shape.slice(1));
      const here = Math.min(left, rows * rowElements - skip);
      if (here > 0) {
        const elementBytes = entry.byteLength / countElements(entry.shape);
        const offset = (rowOffset * rowElements + skip) * elementBytes;
        pieces.push(await this.files.checkpoint.readRange(tensor, offset, here * elementBytes));
        left -= here;
      }
      skip = Math.max(0, skip - rows * rowElements);
    }
    const bytes = joinPieces(pieces);
    if (slice.dtype === this.dtype) return bytes;
    if (slice.dtype === 'bf16' && this.dtype === 'f16') return this.expectFinite(halvesOfBf16(bytes), slice.name);
    return this.narrow(widenToF32(bytes, slice.fileDType, [this.files.checkpoint.name, slice.name]), slice.name);
  }

  private narrow(values: Float32Array, name: string): Uint8Array {
    const narrow = narrowF32(values, this.dtype);
    return this.dtype === 'f16' ? this.expectFinite(narrow, name) : narrow;
  }

  /** A number too large for f16 would make a picture black or white. */
  private expectFinite(halves: Uint8Array, name: string): Uint8Array {
    if (areFiniteHalves(halves)) return halves;
    throw new Flux2cError('F2C423', 'a weight has numbers that f16 does not hold', {
      where: [this.files.checkpoint.name, name],
      expected: 'numbers from -65504 to 65504',
      found: 'larger ones, infinities or none',
      hint: 'Multiply in f32: --operands f32.',
    });
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

  /** Sums of f32 numbers, whatever they are declared as. */
  private upsample(part: WeightPart, of: WeightPart): Rows {
    const made = upsampledShape(of.shape);
    if (made?.join() !== part.shape.join()) this.rejectShape(part, of.shape);
    const { count, read } = upsampledRows(new NumberOpener(this.files, 'f32').open(of), part.shape[3] as number);
    const narrowed: Rows['read'] = async (first, rows) => {
      const { buffer, byteOffset, byteLength } = await read(first, rows);
      const values = new Float32Array(buffer, byteOffset, byteLength / Float32Array.BYTES_PER_ELEMENT);
      return this.narrow(values, `filters of @${this.files.name}`);
    };
    return { count, rowBytes: this.rowBytes(part), read: narrowed };
  }

  /** Rows in 8 bits, or their scales. */
  private quantize(source: Extract<WeightSource, { kind: 'quantize_rows' | 'row_scales' }>): Rows {
    const { of } = source;
    const from = this.storedType(of) === 'bf16' ? 'bf16' : 'f32';
    return quantizedRows(source, new NumberOpener(this.files, from).open(of), from, this.files.kept);
  }

  /** The element type that all tensors of a part have in the files; undefined if they differ. */
  private storedType(part: WeightPart): DType | undefined {
    const [type, ...others] = new Set(tensorsOf(part).map(({ tensor }) => this.files.table.get(tensor)?.dtype));
    return others.length === 0 ? type : undefined;
  }

  protected rowBytes(part: WeightPart): number {
    return countElements(part.shape.slice(1)) * byteSize(this.dtype);
  }
}

/** Records of encoded rows. */
class RecordOpener extends RowOpener {
  constructor(
    files: NamedFiles,
    private readonly form: EncodedForm,
  ) {
    super(files);
  }

  open(part: WeightPart): Rows {
    const { source } = part;
    switch (source.kind) {
      case 'concat_rows':
        return this.concatenate(part, this.openParts(part, source.parts));
      case 'interleave_rows':
        return this.interleave(part, this.openParts(part, source.parts), source.group);
      case 'slice_rows':
        return this.slice(part, source.of, source.start);
      case 'tensor': {
        const slice = this.findSlice(part, source.tensor);
        const isStored = slice.encoding?.text === this.form.encoding.text && slice.shape.join() === part.shape.join();
        return isStored ? storedRecords(this.form, this.files.checkpoint, slice) : this.encode(part);
      }
      default:
        return this.encode(part);
    }
  }

  private encode(part: WeightPart): Rows {
    return madeRecords(this.form, new NumberOpener(this.files, 'f32').open(part));
  }

  protected rowBytes(): number {
    return this.form.recordBytes;
  }
}
