import { Flux2cError } from '../../ir/diagnostics.js';
import { checkRange, type ByteSource } from './byte-source.js';
import type { PackedTensor } from './packed-tensor.js';
import { quoteName } from './quote.js';
import type { TensorEntry } from './safetensors.js';
import { widenToF32 } from './widen.js';

/** A tensor of a checkpoint: where it is and what it is. */
export interface CheckpointTensor extends TensorEntry {
  /** Name of the file it is in. */
  readonly file: string;
  /**
   * For tensors that are not stored as one number after another. Their shape is that of the numbers, `dtype` what they are rounded to
   * where a graph wants the numbers themselves, `fileDType` what the file calls the way they are stored; offset and length
   * are those of the codes.
   */
  readonly packed?: PackedTensor;
}

/** A file whose header has been read. */
export interface TensorFile {
  readonly source: ByteSource;
  readonly tensors: ReadonlyMap<string, Omit<CheckpointTensor, 'file'>>;
}

/** The tensors of a model component, in one file or several, under the names of the files. */
export interface Checkpoint {
  /** What errors call it: the path it was opened from. */
  readonly name: string;
  readonly tensors: ReadonlyMap<string, CheckpointTensor>;
  /** What a GGUF file says of its model: `general.architecture` and so on, without arrays. */
  readonly properties?: ReadonlyMap<string, string | number | boolean>;
  /**
   * A tensor's bytes, little-endian, as they are in the file.
   * @throws Flux2cError F2C403 when there is no such tensor, F2C401/F2C402 when reading fails
   */
  read(name: string): Promise<Uint8Array<ArrayBuffer>>;
  /** A tensor's values, widened as `readTensorF32` does; those of a packed tensor are unpacked. */
  readF32(name: string): Promise<Float32Array>;
  /** A part of a tensor's bytes; `byteOffset` counts from the tensor's first byte. */
  readRange(name: string, byteOffset: number, byteLength: number): Promise<Uint8Array<ArrayBuffer>>;
  close(): Promise<void>;
}

/**
 * A checkpoint over files whose headers have been read. Closing it closes their sources.
 * @throws Flux2cError F2C404 when two files have a tensor of the same name
 */
export function joinFiles(name: string, files: readonly TensorFile[]): Checkpoint {
  const tensors = new Map<string, CheckpointTensor>();
  const sources = new Map<string, ByteSource>();
  for (const file of files) {
    for (const [tensor, entry] of file.tensors) {
      const other = tensors.get(tensor);
      if (other !== undefined) {
        throw new Flux2cError('F2C404', 'two files of the checkpoint have the same tensor', {
          where: [name, quoteName(tensor)],
          found: `${other.file} and ${file.source.name}`,
        });
      }
      tensors.set(tensor, { ...entry, file: file.source.name });
      sources.set(tensor, file.source);
    }
  }
  const find = (tensor: string): { entry: CheckpointTensor; source: ByteSource } => {
    const entry = tensors.get(tensor);
    const source = sources.get(tensor);
    if (entry !== undefined && source !== undefined) return { entry, source };
    throw new Flux2cError('F2C403', 'the checkpoint has no such tensor', { where: [name, quoteName(tensor)] });
  };
  const read = async (tensor: string): Promise<Uint8Array<ArrayBuffer>> => {
    const { entry, source } = find(tensor);
    return source.read(entry.offset, entry.byteLength);
  };
  return {
    name,
    tensors,
    read,
    readF32: async (tensor) => {
      const { entry } = find(tensor);
      if (entry.packed !== undefined) return entry.packed.readRows(0, entry.shape[0] ?? 1);
      return widenToF32(await read(tensor), entry.fileDType, [entry.file, quoteName(tensor)]);
    },
    readRange: async (tensor, byteOffset, byteLength) => {
      const { entry, source } = find(tensor);
      checkRange(`${entry.file} › ${quoteName(tensor)}`, entry.byteLength, byteOffset, byteLength);
      return source.read(entry.offset + byteOffset, byteLength);
    },
    close: async () => {
      await Promise.all(files.map((file) => file.source.close()));
    },
  };
}
