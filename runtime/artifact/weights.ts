/** Weights of an artifact: ranges of files, read as a checkpoint's. */
import type { ByteSource } from '../../frontend/checkpoint/byte-source.js';
import type { Checkpoint, CheckpointTensor } from '../../frontend/checkpoint/checkpoint.js';
import { dtypeOfFile } from '../../frontend/checkpoint/file-dtype.js';
import type { WeightSlice, WeightTable } from '../../frontend/checkpoint/names.js';
import { widenToF32 } from '../../frontend/checkpoint/widen.js';
import { encodedTensor } from '../../frontend/checkpoint/packed-tensor.js';
import { Flux2cError } from '../../ir/diagnostics.js';
import { byteSize } from '../../ir/dtype.js';
import { encodedFields, type Encoding, findEncoding, fitsEncoding } from '../../ir/encoding.js';
import { countElements } from '../../ir/host-tensor.js';
import type { WeightProvider } from '../weight-provider.js';
import { checkpointWeights } from '../weights.js';
import type { ArtifactWeights, WeightEntry } from './manifest.js';

/**
 * The weights of one network of an artifact. `sources` are the manifest's files in order, which the caller opens, checks
 * and closes. F2C534 when the artifact has no weights, F2C530 when an entry contradicts itself or its file.
 */
export function artifactWeights(
  name: string,
  weights: ArtifactWeights | null,
  component: string,
  sources: readonly ByteSource[],
): WeightProvider {
  const entries = weights?.components.get(component);
  if (entries === undefined) {
    throw new Flux2cError('F2C534', `the artifact has no weights of ${component}`, {
      where: [name],
      hint: 'It was compiled from a configuration. Compile the checkpoint itself to run it.',
    });
  }
  const tensors = new Map<string, CheckpointTensor>();
  const origins = new Map<string, ByteSource>();
  const slices = new Map<string, WeightSlice>();
  for (const [weight, entry] of entries) {
    const encoding = findEncoding(entry.dtype);
    if (encoding !== undefined) {
      const tensor = openEncoded(name, weight, entry, encoding, sources);
      tensors.set(weight, tensor);
      const parts = [{ tensor: weight, rowOffset: 0, rows: tensor.shape[0]! }];
      slices.set(weight, { ...tensor, parts, encoding });
      continue;
    }
    const pieces = checkEntry(name, weight, entry, sources);
    const dtype = dtypeOfFile(entry.dtype);
    const parts = pieces.map(({ source, offset, byteLength, rows }, index) => {
      const tensor = `${weight} part ${index}`;
      const shape = [rows, ...entry.shape.slice(1)];
      tensors.set(tensor, {
        name: tensor,
        file: source.name,
        fileDType: entry.dtype,
        dtype,
        shape,
        offset,
        byteLength,
      });
      origins.set(tensor, source);
      return { tensor, rowOffset: 0, rows };
    });
    slices.set(weight, { name: weight, dtype, fileDType: entry.dtype, shape: entry.shape, parts });
  }
  const table: WeightTable = Object.assign(slices, { source: name });
  return checkpointWeights(rangesCheckpoint(name, tensors, origins), table);
}

/** An encoded matrix: its parts are the arrays of the encoding, in their order. */
function openEncoded(
  name: string,
  weight: string,
  { dtype: fileDType, shape, parts }: WeightEntry,
  encoding: Encoding,
  sources: readonly ByteSource[],
): CheckpointTensor {
  const fail = (expected: string, found: string): Flux2cError =>
    new Flux2cError('F2C530', 'the artifact is malformed', { where: [name, weight], expected, found });
  const [rows = 0, columns = 0] = shape;
  if (shape.length !== 2 || rows === 0 || !fitsEncoding(encoding, columns)) {
    throw fail(`a matrix whose rows fit ${fileDType}`, `[${shape.join(', ')}]`);
  }
  const fields = encodedFields(encoding, columns);
  if (parts.length !== fields.length) throw fail(`${fields.length} arrays`, String(parts.length));
  const arrays = fields.map((field, index) => {
    const [file, offset, byteLength] = parts[index]!;
    const source = sources[file];
    const rowBytes = field.columns * byteSize(field.dtype);
    if (source === undefined) throw fail(`a file below ${sources.length}`, String(file));
    if (byteLength !== rows * rowBytes) throw fail(`${rows * rowBytes} bytes of ${field.name}`, `${byteLength} bytes`);
    const read = (first: number, count: number): Promise<Uint8Array> =>
      source.read(offset + first * rowBytes, count * rowBytes);
    return { name: field.name, source, offset, byteLength, read };
  });
  const packed = encodedTensor(encoding, shape, async (first, count) => {
    const read = arrays.map(async ({ name: field, read }) => [field, await read(first, count)] as const);
    return new Map(await Promise.all(read));
  });
  const [{ source, offset, byteLength }] = arrays as [(typeof arrays)[number]];
  return { name: weight, file: source.name, fileDType, dtype: 'bf16', shape, offset, byteLength, packed };
}

interface Piece {
  readonly source: ByteSource;
  readonly offset: number;
  readonly byteLength: number;
  readonly rows: number;
}

function checkEntry(
  name: string,
  weight: string,
  entry: WeightEntry,
  sources: readonly ByteSource[],
): readonly Piece[] {
  const fail = (expected: string, found: string): Flux2cError =>
    new Flux2cError('F2C530', 'the artifact is malformed', { where: [name, weight], expected, found });
  const dtype = dtypeOfFile(entry.dtype);
  if (dtype === undefined) throw fail('a type of weights', entry.dtype);
  const rowBytes = countElements(entry.shape.slice(1)) * byteSize(dtype);
  const pieces = entry.parts.map(([file, offset, byteLength]) => {
    const source = sources[file];
    if (source === undefined) throw fail(`a file below ${sources.length}`, String(file));
    if (byteLength % rowBytes !== 0) throw fail(`whole rows of ${rowBytes} bytes`, `${byteLength} bytes`);
    return { source, offset, byteLength, rows: byteLength / rowBytes };
  });
  const rows = pieces.reduce((sum, piece) => sum + piece.rows, 0);
  const wanted = entry.shape[0] ?? 1;
  if (rows !== wanted) throw fail(`${wanted} rows`, `${rows}`);
  return pieces;
}

function rangesCheckpoint(
  name: string,
  tensors: ReadonlyMap<string, CheckpointTensor>,
  origins: ReadonlyMap<string, ByteSource>,
): Checkpoint {
  const readRange: Checkpoint['readRange'] = (tensor, byteOffset, byteLength) =>
    origins.get(tensor)!.read(tensors.get(tensor)!.offset + byteOffset, byteLength);
  const read: Checkpoint['read'] = (tensor) => readRange(tensor, 0, tensors.get(tensor)!.byteLength);
  return {
    name,
    tensors,
    read,
    readRange,
    readF32: async (tensor) => widenToF32(await read(tensor), tensors.get(tensor)!.fileDType, [name, tensor]),
    // The sources are their opener's to close.
    close: async () => undefined,
  };
}
