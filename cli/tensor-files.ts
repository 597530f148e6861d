/** Tensors in and out of the command line: safetensors files. */
import { encodeSafetensors, readCheckpoint, type TensorData } from '../frontend/checkpoint/index.js';
import { openFileSource } from '../frontend/checkpoint/node/file-source.js';
import { writeFileAtomically } from '../frontend/checkpoint/node/write-file.js';
import { Flux2cError } from '../ir/diagnostics.js';
import { hostTensorFromBytes, type HostTensor } from '../ir/host-tensor.js';
import type { GivenTensor } from '../models/flux2/initial-noise.js';
import type { NetworkTensor } from '../models/flux2/networks.js';

/** An input tensor's name: `in.NAME` or `NAME`. */
const INPUT_PREFIX = 'in.';

/** The tensors of a file; values in doubles, which hold everything but large 64-bit integers exactly. */
export class TensorFile {
  private constructor(
    readonly path: string,
    private readonly tensors: ReadonlyMap<string, HostTensor>,
  ) {}

  /**
   * Reads the tensors `names` of a file, with the prefix `in.` or without it; those that are not there are left out.
   * F2C41x for a damaged file, F2C705 for a name with and without prefix and for types without numbers in the IR.
   */
  static async read(path: string, names: readonly string[]): Promise<TensorFile> {
    const checkpoint = await readCheckpoint(await openFileSource(path));
    try {
      const tensors = new Map<string, HostTensor>();
      for (const name of names) {
        const stored = [`${INPUT_PREFIX}${name}`, name].filter((candidate) => checkpoint.tensors.has(candidate));
        const [choice] = stored;
        if (choice === undefined) continue;
        if (stored.length > 1) throw problem(path, name, 'one tensor of this name', `both ${stored.join(' and ')}`);
        const { dtype, fileDType, shape, packed } = checkpoint.tensors.get(choice)!;
        if (packed !== undefined) {
          tensors.set(name, { dtype: 'f32', shape, data: Float64Array.from(await checkpoint.readF32(choice)) });
          continue;
        }
        if (dtype === undefined) throw problem(path, choice, 'floating-point numbers or integers', fileDType);
        tensors.set(name, hostTensorFromBytes(dtype, shape, await checkpoint.read(choice)));
      }
      return new TensorFile(path, tensors);
    } finally {
      await checkpoint.close();
    }
  }

  has(name: string): boolean {
    return this.tensors.has(name);
  }

  /** F2C705 when it is not there. */
  get(name: string): HostTensor {
    const tensor = this.tensors.get(name);
    if (tensor !== undefined) return tensor;
    throw problem(this.path, name, `a tensor ${INPUT_PREFIX}${name} or ${name}`, 'none');
  }

  /** As f32, in its own shape. */
  floats(name: string): GivenTensor {
    const { shape, data } = this.get(name);
    return { shape, values: Float32Array.from(data) };
  }

  /**
   * As a function's input. Position ids with a batch are reduced to the rows that all of it shares: F2C705 when they
   * differ. Integers beyond 32 bits and fractions where integers are asked for are F2C705.
   */
  input(name: string, dtype: 'f32' | 'i32', rank: number): NetworkTensor {
    const stored = this.get(name);
    const { shape, data } =
      name.endsWith('_ids') && stored.shape.length === rank + 1 ? this.sharedRows(name, stored) : stored;
    if (shape.length !== rank) {
      throw problem(this.path, name, `${rank} dimensions`, `[${shape.join(', ')}]`);
    }
    if (dtype === 'f32') return { dtype, shape, values: Float32Array.from(data) };
    const values = Int32Array.from(data);
    const at = data.findIndex((value, i) => value !== values[i]);
    if (at >= 0) throw problem(this.path, name, 'integers of 32 bits', `${data[at]} at index ${at}`);
    return { dtype, shape, values };
  }

  private sharedRows(name: string, { dtype, shape, data }: HostTensor): HostTensor {
    const [batch = 0, ...rest] = shape;
    const size = batch === 0 ? 0 : data.length / batch;
    const first = data.subarray(0, size);
    const at = data.findIndex((value, i) => value !== first[i % size]);
    if (at < 0) return { dtype, shape: rest, data: first };
    throw problem(this.path, name, 'the same ids in every row of the batch', `another id at index ${at}`);
  }
}

/** Writes tensors as f32 or i32, whole or not at all. F2C401 when the file cannot be written. */
export async function writeTensors(
  path: string,
  tensors: ReadonlyMap<string, NetworkTensor>,
  metadata: ReadonlyMap<string, string> = new Map(),
): Promise<void> {
  const encoded = new Map<string, TensorData>();
  for (const [name, { dtype, shape, values }] of tensors) {
    const data = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    encoded.set(name, { dtype, shape, data });
  }
  await writeFileAtomically(path, encodeSafetensors(encoded, metadata));
}

function problem(path: string, name: string, expected: string, found: string): Flux2cError {
  return new Flux2cError('F2C705', 'an input tensor cannot be used', { where: [path, name], expected, found });
}
