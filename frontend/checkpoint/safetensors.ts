import { Flux2cError } from '../../ir/diagnostics.js';
import type { DType } from '../../ir/dtype.js';
import type { ByteSource } from './byte-source.js';
import { dtypeOfFile, fileBitSize, knownFileDTypes } from './file-dtype.js';
import { quoteName, quoteShape } from './quote.js';
import { parseStrictJson, type JsonObject, type JsonValue } from './strict-json.js';
import { widenToF32 } from './widen.js';

/** One tensor of a file. */
export interface TensorEntry {
  readonly name: string;
  /** The type as the file spells it: `BF16`, `F8_E4M3` … */
  readonly fileDType: string;
  /** The IR's type with the same bits; undefined when the IR has none (fp8, 16-bit integers …). */
  readonly dtype: DType | undefined;
  readonly shape: readonly number[];
  /** First byte, counted from the beginning of the file. */
  readonly offset: number;
  readonly byteLength: number;
}

export interface SafetensorsFile {
  readonly source: ByteSource;
  /** The `__metadata__` of the header. */
  readonly metadata: ReadonlyMap<string, string>;
  /** By name, in the order of the header. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
}

/** The longest header the format's reference implementation reads. */
export const MAXIMUM_HEADER_BYTES = 100_000_000;
const LENGTH_FIELD_BYTES = 8;
// Header → tensor → shape is three deep; a tensor is 8 values with a shape of 4 (name's object, type, two arrays, six
// numbers), so two million values are 180,000 tensors. The largest released FLUX.2 file has under 1,000.
const HEADER_LIMITS = { depth: 3, values: 2_000_000 };
// What PyTorch allows.
const MAXIMUM_RANK = 64;

/**
 * Reads and checks the header of a safetensors file; the tensors stay in the file. The file is not trusted: every
 * range must lie in the file, ranges must cover the data without holes or overlaps (as the format demands), and a
 * range must be as long as type and shape say.
 * @throws Flux2cError F2C410 (no header), F2C411 (not the JSON of a header), F2C412 (a malformed entry), F2C413
 * (ranges), F2C401/F2C402 (reading), each naming the file and, where there is one, the tensor
 */
export async function readSafetensorsHeader(source: ByteSource): Promise<SafetensorsFile> {
  const headerBytes = await readHeaderLength(source);
  const dataStart = LENGTH_FIELD_BYTES + headerBytes;
  const bytes = await source.read(LENGTH_FIELD_BYTES, headerBytes);
  const header = parseStrictJson(bytes, source.name, 'F2C411', HEADER_LIMITS);
  if (!(header instanceof Map)) {
    throw new Flux2cError('F2C411', 'the header is not a JSON object', {
      where: [source.name],
      expected: 'a safetensors header: {"name": {"dtype", "shape", "data_offsets"}, …}',
    });
  }
  const metadata = new Map<string, string>();
  const tensors = new Map<string, TensorEntry>();
  for (const [name, value] of header as JsonObject) {
    if (name === '__metadata__') readMetadata(source, value, metadata);
    else tensors.set(name, readEntry(source, name, value, dataStart));
  }
  checkCoverage(source, tensors, dataStart);
  return { source, metadata, tensors };
}

/**
 * All bytes of a tensor, little-endian, as they are in the file.
 * @throws Flux2cError F2C401/F2C402
 */
export function readTensorBytes(source: ByteSource, entry: TensorEntry): Promise<Uint8Array<ArrayBuffer>> {
  return source.read(entry.offset, entry.byteLength);
}

/**
 * A tensor's values as f32: exact for types of up to 24 significant bits, else rounded to nearest. Values of fp8
 * types are the codes' own values; a scale beside them is the caller's to apply.
 * @throws Flux2cError F2C414 when the type cannot be widened or a 64-bit integer exceeds 2^53
 */
export async function readTensorF32(source: ByteSource, entry: TensorEntry): Promise<Float32Array> {
  return widenToF32(await readTensorBytes(source, entry), entry.fileDType, [source.name, quoteName(entry.name)]);
}

async function readHeaderLength(source: ByteSource): Promise<number> {
  const fail = (message: string, expected: string, found: string): never => {
    throw new Flux2cError('F2C410', message, {
      where: [source.name],
      expected,
      found,
      hint: 'Check that the download is complete and that the file is a safetensors file.',
    });
  };
  if (source.size < LENGTH_FIELD_BYTES) {
    return fail('the file is too short for a safetensors file', 'at least 8 bytes', `${source.size} bytes`);
  }
  const field = await source.read(0, LENGTH_FIELD_BYTES);
  refuseOtherFormats(source, field);
  const length = new DataView(field.buffer).getBigUint64(0, true);
  const inFile = BigInt(source.size - LENGTH_FIELD_BYTES);
  if (length > inFile) {
    return fail('the header is longer than the file', `at most ${inFile} bytes of header`, `${length} bytes`);
  }
  if (length > BigInt(MAXIMUM_HEADER_BYTES)) {
    return fail('the header is too long', `at most ${MAXIMUM_HEADER_BYTES} bytes of header`, `${length} bytes`);
  }
  if (length < 2n) return fail('the header is empty', 'a JSON object', `${length} bytes of header`);
  return Number(length);
}

function refuseOtherFormats(source: ByteSource, start: Uint8Array): void {
  const magic = String.fromCharCode(...start.subarray(0, 4));
  const hints: ReadonlyMap<string, string> = new Map([
    ['GGUF', 'This is a GGUF file: one is a checkpoint by itself, no shard of one.'],
    ['PK\u0003\u0004', 'This is a zip file, probably a PyTorch pickle: convert it to safetensors first.'],
    ['vers', 'This is a Git LFS pointer, not the weights: run `git lfs pull`.'],
  ]);
  const hint = hints.get(magic);
  if (hint === undefined) return;
  throw new Flux2cError('F2C410', 'the file is not a safetensors file', { where: [source.name], hint });
}

function readMetadata(source: ByteSource, value: JsonValue, metadata: Map<string, string>): void {
  const fail = (found: string): never => {
    throw new Flux2cError('F2C412', 'the metadata of the file is malformed', {
      where: [source.name, '__metadata__'],
      expected: 'an object of strings',
      found,
    });
  };
  if (!(value instanceof Map)) return fail(describe(value));
  for (const [key, text] of value as JsonObject) {
    if (typeof text !== 'string') return fail(`${describe(text)} under "${quoteName(key)}"`);
    metadata.set(key, text);
  }
}

function readEntry(source: ByteSource, name: string, value: JsonValue, dataStart: number): TensorEntry {
  const fail = (code: 'F2C412' | 'F2C413', message: string, expected: string, found: string): never => {
    throw new Flux2cError(code, message, { where: [source.name, quoteName(name)], expected, found });
  };
  if (!(value instanceof Map)) return fail('F2C412', 'the entry is malformed', 'an object', describe(value));
  const entry = value as JsonObject;
  const fileDType = entry.get('dtype');
  if (typeof fileDType !== 'string') {
    return fail('F2C412', 'the element type is malformed', 'a string', describe(fileDType));
  }
  const bits = fileBitSize(fileDType);
  if (bits === undefined) {
    const known = `one of ${knownFileDTypes().join(', ')}`;
    return fail('F2C412', 'the element type is not known', known, quoteName(fileDType));
  }
  const shape = readSizes(entry.get('shape'));
  if (shape === undefined || shape.length > MAXIMUM_RANK) {
    const expected = `at most ${MAXIMUM_RANK} integers, none negative`;
    return fail('F2C412', 'the shape is malformed', expected, describe(entry.get('shape')));
  }
  const range = readSizes(entry.get('data_offsets'));
  const [begin, end] = range ?? [];
  if (begin === undefined || end === undefined || range?.length !== 2) {
    const expected = 'two integers, none negative';
    return fail('F2C412', 'the data offsets are malformed', expected, describe(entry.get('data_offsets')));
  }
  if (begin > end || end > source.size - dataStart) {
    const expected = `a range within 0 .. ${source.size - dataStart}`;
    return fail('F2C413', 'the data are not inside the file', expected, `${begin} .. ${end}`);
  }
  const wanted = multiply([...shape, bits]);
  if (wanted === undefined) {
    return fail('F2C412', 'the shape is too large', 'fewer than 2^53 bits', `${fileDType} ${quoteShape(shape)}`);
  }
  if (wanted !== (end - begin) * 8) {
    const expected = `${wanted / 8} bytes for ${fileDType} ${quoteShape(shape)}`;
    return fail('F2C413', 'the length of the data does not match type and shape', expected, `${end - begin} bytes`);
  }
  return { name, fileDType, dtype: dtypeOfFile(fileDType), shape, offset: dataStart + begin, byteLength: end - begin };
}

/** The format's data are indexed to the last byte: no overlaps, no holes, nothing after the last tensor. */
function checkCoverage(source: ByteSource, tensors: ReadonlyMap<string, TensorEntry>, dataStart: number): void {
  const ordered = [...tensors.values()].sort((a, b) => a.offset - b.offset || a.byteLength - b.byteLength);
  let covered = dataStart;
  let previous = 'the header';
  for (const entry of ordered) {
    if (entry.offset !== covered) {
      const what = entry.offset < covered ? 'overlap' : 'leave a hole after';
      throw new Flux2cError('F2C413', `the data of a tensor ${what} those of ${previous}`, {
        where: [source.name, quoteName(entry.name)],
        expected: `data from offset ${covered - dataStart} on`,
        found: `offset ${entry.offset - dataStart}`,
      });
    }
    covered = entry.offset + entry.byteLength;
    previous = `"${quoteName(entry.name)}"`;
  }
  if (covered === source.size) return;
  throw new Flux2cError('F2C413', 'the file has bytes that belong to no tensor', {
    where: [source.name],
    expected: `${covered} bytes`,
    found: `${source.size} bytes`,
  });
}

/** The product, or undefined when it (or a part of it) is not an exact integer any more. */
function multiply(factors: readonly number[]): number | undefined {
  let product = 1;
  for (const factor of factors) {
    product *= factor;
    if (!Number.isSafeInteger(product)) return undefined;
  }
  return product;
}

function readSizes(value: JsonValue | undefined): readonly number[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const sizes: number[] = [];
  for (const item of value as readonly JsonValue[]) {
    if (typeof item !== 'number' || !Number.isSafeInteger(item) || item < 0) return undefined;
    sizes.push(Math.abs(item)); // -0 becomes 0
  }
  return sizes;
}

function describe(value: JsonValue | undefined): string {
  if (value === undefined) return 'nothing';
  if (value instanceof Map) return 'an object';
  if (Array.isArray(value)) return `an array of ${value.length}: [${value.slice(0, 8).map(describe).join(', ')}]`;
  return typeof value === 'string' ? `"${quoteName(value)}"` : String(value as number | boolean | null);
}
