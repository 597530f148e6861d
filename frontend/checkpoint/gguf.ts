/** Files of ggml's format GGUF, versions 2 and 3 (`docs/gguf.md` of ggml): a header of properties and tensors, then their data. */
import { Flux2cError } from '../../ir/diagnostics.js';
import type { ByteSource } from './byte-source.js';
import type { TensorFile } from './checkpoint.js';
import { dtypeOfFile } from './file-dtype.js';
import { repackBlocks } from './gguf-blocks.js';
import { GgufReader, numberBytes, type NumberType } from './gguf-reader.js';
import { type GgufFile, ggufType, ggufTypesThatRun, nameGgufType } from './gguf-types.js';
import { restoreHeadRows } from './gguf-heads.js';
import { encodedTensor } from './packed-tensor.js';
import { listFirst, quoteName, quoteShape } from './quote.js';

type Tensor = TensorFile['tensors'] extends ReadonlyMap<string, infer T> ? T : never;

/** `GGUF`, little-endian. */
const MAGIC = 0x46554747;
const MOST_PROPERTIES = 100_000;
// The largest released FLUX.2 file has under 1,000.
const MOST_TENSORS = 200_000;
const MOST_DIMENSIONS = 8;
const MOST_ALIGNMENT = 2 ** 20;
// A vocabulary has some 150,000 entries; three arrays are as long.
const MOST_TEXTS = 4_000_000;

const numberTypes: readonly (NumberType | undefined)[] = [
  'u8', 'i8', 'u16', 'i16', 'u32', 'i32', 'f32', 'bool', undefined, undefined, 'u64', 'i64', 'f64',
]; // prettier-ignore
const TEXT = 8;
const ARRAY = 9;

/** Whether a file begins as GGUF files do. */
export async function isGguf(source: ByteSource): Promise<boolean> {
  if (source.size < 8) return false;
  return new DataView((await source.read(0, 4)).buffer).getUint32(0, true) === MAGIC;
}

/**
 * Reads and checks the header of a GGUF file; the tensors stay in the file. The file is not trusted. Dimensions are in our order, rows
 * first; rows of queries and keys that ggml keeps in another order are put back.
 * @throws Flux2cError F2C418 (the header), F2C419 (an element type that is not read), F2C413 (ranges), F2C404 (a tensor twice),
 *   F2C401/F2C402 (reading)
 */
export async function readGguf(source: ByteSource): Promise<GgufFile> {
  const reader = new GgufReader(source);
  if ((await reader.u32()) !== MAGIC) throw reader.malformed('GGUF', 'something else');
  const version = await reader.u32();
  if (version !== 2 && version !== 3) {
    throw new Flux2cError('F2C418', 'this version of GGUF is not read', {
      where: [source.name],
      expected: '2 or 3, little-endian',
      found: String(version),
      hint: 'Convert the model again with a current llama.cpp.',
    });
  }
  const tensorCount = await reader.u64('a number of tensors');
  const propertyCount = await reader.u64('a number of properties');
  if (tensorCount > MOST_TENSORS) throw reader.malformed(`at most ${MOST_TENSORS} tensors`, String(tensorCount));
  if (propertyCount > MOST_PROPERTIES) throw reader.malformed(`at most ${MOST_PROPERTIES} properties`, String(propertyCount)); // prettier-ignore
  const properties = new Map<string, string | number | boolean>();
  const texts = { left: MOST_TEXTS };
  for (let index = 0; index < propertyCount; index++) {
    const key = await reader.text();
    const value = await readValue(reader, await reader.u32(), texts);
    if (key !== undefined && value !== undefined) properties.set(key, value);
  }
  const infos: TensorInfo[] = [];
  for (let index = 0; index < tensorCount; index++) infos.push(await readInfo(reader));
  const dataStart = alignUp(reader.position, readAlignment(reader, properties));
  refuseOtherTypes(source, infos);
  const tensors = new Map<string, Tensor>();
  for (const info of infos) {
    if (tensors.has(info.name)) {
      throw new Flux2cError('F2C404', 'the file has a tensor twice', { where: [source.name, quoteName(info.name)] });
    }
    tensors.set(info.name, placeTensor(source, info, dataStart));
  }
  checkOverlaps(source, tensors);
  return { source, properties, tensors: restoreHeadRows({ source, properties, tensors }) };
}

/** A scalar; undefined for what is passed over. */
async function readValue(
  reader: GgufReader,
  type: number,
  texts: { left: number },
): Promise<string | number | boolean | undefined> {
  const scalar = numberTypes[type];
  if (scalar !== undefined) {
    const value = await reader.number(scalar);
    return scalar === 'bool' ? value !== 0 : value;
  }
  if (type === TEXT) return reader.text();
  if (type !== ARRAY) throw reader.malformed('a type of value from 0 to 12', String(type));
  const inner = await reader.u32();
  const count = await reader.u64('a number of elements');
  const element = numberTypes[inner];
  if (element !== undefined) {
    reader.skip(count * numberBytes[element]);
    return undefined;
  }
  if (inner !== TEXT) throw reader.malformed('an array of numbers or texts', `one of type ${inner}`);
  texts.left -= count;
  if (texts.left < 0) throw reader.malformed(`at most ${MOST_TEXTS} texts in arrays`, 'more');
  for (let index = 0; index < count; index++) reader.skip(await reader.u64('a length'));
  return undefined;
}

interface TensorInfo {
  readonly name: string;
  readonly shape: readonly number[];
  readonly type: number;
  /** From the beginning of the data. */
  readonly offset: number;
}

async function readInfo(reader: GgufReader): Promise<TensorInfo> {
  const name = await reader.text();
  if (name === undefined) throw reader.malformed('a name of a tensor', 'a text of more than 65536 bytes');
  const rank = await reader.u32();
  if (rank > MOST_DIMENSIONS) throw reader.malformed(`at most ${MOST_DIMENSIONS} dimensions of ${quoteName(name)}`, String(rank)); // prettier-ignore
  const shape: number[] = [];
  for (let axis = 0; axis < rank; axis++) shape.unshift(await reader.u64('a size'));
  const type = await reader.u32();
  return { name, shape, type, offset: await reader.u64('an offset') };
}

function readAlignment(reader: GgufReader, properties: GgufFile['properties']): number {
  const alignment = properties.get('general.alignment') ?? 32;
  const isPower = typeof alignment === 'number' && alignment >= 1 && Number.isInteger(Math.log2(alignment));
  if (isPower && alignment <= MOST_ALIGNMENT) return alignment;
  throw reader.malformed('a power of two as general.alignment', String(alignment));
}

function alignUp(position: number, alignment: number): number {
  return Math.ceil(position / alignment) * alignment;
}

function refuseOtherTypes(source: ByteSource, infos: readonly TensorInfo[]): void {
  const others = infos.filter(({ type }) => ggufType(type) === undefined);
  const [first] = others;
  if (first === undefined) return;
  const kinds = [...new Set(others.map(({ type }) => nameGgufType(type)))];
  throw new Flux2cError('F2C419', `GGUF's element type ${nameGgufType(first.type)} is not read`, {
    where: [source.name, quoteName(first.name)],
    expected: ggufTypesThatRun,
    found: `${others.length} tensors in ${listFirst(kinds, 8)}`,
    hint: 'Take another file of the model: Q8_0, Q6_K, Q5_0, Q4_0 and the like.',
  });
}

function placeTensor(source: ByteSource, { name, shape, type, offset }: TensorInfo, dataStart: number): Tensor {
  const { name: fileDType, numbers, bytes, encoding } = ggufType(type)!;
  const fail = (message: string, expected: string, found: string): Flux2cError =>
    new Flux2cError('F2C413', message, { where: [source.name, quoteName(name)], expected, found });
  const count = shape.reduce((product, size) => product * size, 1);
  const columns = shape.at(-1) ?? 1;
  const byteLength = (count / numbers) * bytes;
  if (columns % numbers !== 0 || !Number.isSafeInteger(byteLength)) {
    throw fail('the shape of a tensor does not fit its type', `rows of whole blocks of ${numbers}`, `${fileDType} ${quoteShape(shape)}`); // prettier-ignore
  }
  const start = dataStart + offset;
  if (start > source.size - byteLength) {
    throw fail('the data are not inside the file', `a range within ${dataStart} .. ${source.size}`, `${byteLength} bytes from ${start}`); // prettier-ignore
  }
  const entry = { name, fileDType, dtype: dtypeOfFile(fileDType), shape, offset: start, byteLength };
  if (encoding === undefined) return entry;
  if (shape.length < 2 || count === 0) throw fail('a tensor in blocks is no matrix', 'at least 2 dimensions, none empty', `${fileDType} ${quoteShape(shape)}`); // prettier-ignore
  const rowNumbers = count / Math.max(1, shape[0]!);
  const rowBytes = (rowNumbers / numbers) * bytes;
  const packed = encodedTensor(encoding, shape, async (first, rows) => {
    return repackBlocks(encoding, rows, rowNumbers, await source.read(start + first * rowBytes, rows * rowBytes));
  });
  return { ...entry, dtype: 'bf16', packed };
}

/** Between tensors there may be holes for their alignment. */
function checkOverlaps(source: ByteSource, tensors: ReadonlyMap<string, Tensor>): void {
  const ordered = [...tensors.values()].sort((a, b) => a.offset - b.offset || a.byteLength - b.byteLength);
  let end = 0;
  let previous = '';
  for (const { name, offset, byteLength } of ordered) {
    if (offset < end) {
      throw new Flux2cError('F2C413', 'the data of a tensor overlap those of another', {
        where: [source.name, quoteName(name)],
        expected: `data behind those of ${quoteName(previous)}, from byte ${end} on`,
        found: `byte ${offset}`,
      });
    }
    end = offset + byteLength;
    previous = name;
  }
}
