/** The weights of a network as a device holds them, in numbers: to compare models, a piece at a time. */
import { parseDim } from '../../ir/dim.js';
import { encodeRows } from '../../ir/encode-rows.js';
import { decodeRows } from '../../ir/encoded-rows.js';
import { encodedRowBytes, parseEncoding } from '../../ir/encoding.js';
import { byteSize, type DType } from '../../ir/dtype.js';
import { countElements } from '../../ir/host-tensor.js';
import { aligned } from '../../runtime/row-bytes.js';
import type { WeightProvider } from '../../runtime/weight-provider.js';

export interface HeldWeight {
  /** In the network's checkpoint, by diffusers' names. */
  readonly name: string;
  readonly shape: readonly number[];
  /** `int8`, `q4_k`; undefined for numbers of a float type. */
  readonly encoding: string | undefined;
  /** On a device. */
  readonly bytes: number;
  /** All numbers in order, in pieces of whole rows; two models' pieces of a weight of one shape are cut alike. */
  read(): AsyncIterable<Float32Array>;
}

/** How a weight lies in its files, and how it is to be held. */
export interface WeightForm {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: DType;
  /** As the files have it. */
  readonly storedEncoding: string | undefined;
  /** As the device has it: encoded from numbers where the files have none. */
  readonly encoding: string | undefined;
}

/** A weight that `provider` reads from its files. */
export function heldWeight(provider: WeightProvider, form: WeightForm): HeldWeight {
  const { name, shape, dtype, storedEncoding, encoding } = form;
  const columns = countElements(shape.slice(1));
  const made = encoding !== undefined && encoding !== storedEncoding ? parseEncoding(encoding) : undefined;
  const type = { dtype: 'f32', shape: shape.map((size) => parseDim(String(size))) } as const;
  return {
    name,
    shape,
    encoding,
    bytes: (shape[0] ?? 1) * rowBytes(columns, encoding, dtype),
    async *read() {
      // f32 in whole rows, whatever the files have.
      for await (const bytes of provider.read({ name, type, source: { kind: 'tensor', tensor: name } })) {
        const { buffer, byteOffset, byteLength } = aligned(bytes, Float32Array.BYTES_PER_ELEMENT);
        const values = new Float32Array(buffer, byteOffset, byteLength / Float32Array.BYTES_PER_ELEMENT);
        const rows = values.length / columns;
        yield made === undefined ? values : decodeRows(made, rows, columns, encodeRows(made, rows, columns, values));
      }
    },
  };
}

function rowBytes(columns: number, encoding: string | undefined, dtype: DType): number {
  return encoding === undefined ? columns * byteSize(dtype) : encodedRowBytes(parseEncoding(encoding), columns);
}
