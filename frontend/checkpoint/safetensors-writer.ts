import { Flux2cError } from '../../ir/diagnostics.js';
import { byteSize, type DType } from '../../ir/dtype.js';
import { fileDTypeOf } from './file-dtype.js';
import { quoteName, quoteShape } from './quote.js';

/** What the header of a file to be written needs to know of a tensor. */
export interface TensorSpec {
  readonly dtype: DType;
  readonly shape: readonly number[];
}

export interface TensorData extends TensorSpec {
  /** Little-endian, row-major. */
  readonly data: Uint8Array;
}

/** Where everything of a file to be written goes. Offsets count from the beginning of the file. */
export interface SafetensorsLayout {
  /** The first bytes of the file: length field and header. */
  readonly header: Uint8Array;
  /** In the order in which the data follow the header, without gaps. */
  readonly tensors: readonly { readonly name: string; readonly offset: number; readonly byteLength: number }[];
  readonly byteLength: number;
}

/**
 * Plans a safetensors file, for writers that stream the data behind the header. Wider types come first and the header
 * is padded to 8 bytes, so every tensor is aligned to its element (as the format's reference writes them); `as given` leaves the order
 * to the caller.
 * @throws Flux2cError F2C440 for a shape or a name that the format cannot hold
 */
export function layOutSafetensors(
  tensors: ReadonlyMap<string, TensorSpec>,
  metadata: ReadonlyMap<string, string> = new Map(),
  order: 'widest first' | 'as given' = 'widest first',
): SafetensorsLayout {
  const ordered = [...tensors];
  if (order === 'widest first') {
    ordered.sort(([nameA, a], [nameB, b]) => byteSize(b.dtype) - byteSize(a.dtype) || (nameA < nameB ? -1 : 1));
  }
  // Written by hand: a JavaScript object would reorder keys such as "0" and lose "__proto__".
  const fields: string[] = [];
  if (metadata.size > 0) {
    const pairs = [...metadata].map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`);
    fields.push(`"__metadata__":{${pairs.join(',')}}`);
  }
  let end = 0;
  const places = ordered.map(([name, spec]) => {
    const begin = end;
    end += checkSpec(name, spec);
    const range = `"shape":[${spec.shape.join(',')}],"data_offsets":[${begin},${end}]`;
    fields.push(`${JSON.stringify(name)}:{"dtype":"${fileDTypeOf(spec.dtype)}",${range}}`);
    return { name, begin, byteLength: end - begin };
  });
  const text = new TextEncoder().encode(`{${fields.join(',')}}`);
  const headerBytes = Math.ceil(text.length / 8) * 8;
  const header = new Uint8Array(8 + headerBytes).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(headerBytes), true);
  header.set(text, 8);
  return {
    header,
    tensors: places.map(({ name, begin, byteLength }) => ({ name, offset: header.length + begin, byteLength })),
    byteLength: header.length + end,
  };
}

/**
 * A whole safetensors file in memory.
 * @throws Flux2cError F2C440 when data and shape do not fit each other, or a name or shape cannot be written
 */
export function encodeSafetensors(
  tensors: ReadonlyMap<string, TensorData>,
  metadata: ReadonlyMap<string, string> = new Map(),
): Uint8Array<ArrayBuffer> {
  const layout = layOutSafetensors(tensors, metadata);
  const file = new Uint8Array(layout.byteLength);
  file.set(layout.header);
  for (const { name, offset, byteLength } of layout.tensors) {
    const data = tensors.get(name)?.data;
    if (data?.byteLength !== byteLength) {
      throw new Flux2cError('F2C440', 'the data of a tensor do not match its type and shape', {
        where: [quoteName(name)],
        expected: `${byteLength} bytes`,
        found: `${data?.byteLength ?? 0} bytes`,
      });
    }
    file.set(data, offset);
  }
  return file;
}

/** Bytes of a tensor that is fit to be written. */
function checkSpec(name: string, spec: TensorSpec): number {
  const bytes = spec.shape.reduce((product, size) => product * size, byteSize(spec.dtype));
  const isShape = spec.shape.every((size) => Number.isSafeInteger(size) && size >= 0);
  if (!isShape || !Number.isSafeInteger(bytes) || name === '__metadata__') {
    throw new Flux2cError('F2C440', 'the tensor cannot be written to a safetensors file', {
      where: [quoteName(name)],
      expected: 'sizes that are integers and not negative, and a name other than __metadata__',
      found: `${spec.dtype} ${quoteShape(spec.shape)}`,
    });
  }
  return bytes;
}
