import { readFileSync } from 'node:fs';
import { bf16ToF32, f16ToF32 } from '../ir/dtype.js';

/** One tensor of a golden file. Integers and floats alike are widened to doubles, which hold every value exactly. */
export interface GoldenTensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly values: Float64Array;
}

export interface GoldenFile {
  readonly names: readonly string[];
  readonly metadata: Readonly<Record<string, string>>;
  /** The tensor called `name`; throws when the file has none. */
  tensor(name: string): GoldenTensor;
}

interface HeaderEntry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}

/** Reads a safetensors file of the tests' own golden data: trusted input, no checks beyond the names asked for. */
export function readSafetensors(path: string | URL): GoldenFile {
  const bytes = readFileSync(path);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const headerLength = Number(view.getBigUint64(0, true));
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + headerLength)) as Record<string, HeaderEntry>;
  const { __metadata__: metadata, ...entries } = header;
  return {
    names: Object.keys(entries),
    metadata: (metadata ?? {}) as unknown as Record<string, string>,
    tensor(name) {
      const entry = entries[name];
      if (entry === undefined) throw new Error(`no tensor ${name} in ${String(path)}`);
      const read = elementReader(entry.dtype, view);
      const [begin, end] = entry.data_offsets;
      const count = entry.shape.reduce((product, size) => product * size, 1);
      const step = count === 0 ? 0 : (end - begin) / count;
      const values = new Float64Array(count);
      for (let i = 0; i < count; i++) values[i] = read(8 + headerLength + begin + i * step);
      return { dtype: entry.dtype, shape: entry.shape, values };
    },
  };
}

function elementReader(dtype: string, view: DataView): (offset: number) => number {
  switch (dtype) {
    case 'F64':
      return (offset) => view.getFloat64(offset, true);
    case 'F32':
      return (offset) => view.getFloat32(offset, true);
    case 'F16':
      return (offset) => f16ToF32(view.getUint16(offset, true));
    case 'BF16':
      return (offset) => bf16ToF32(view.getUint16(offset, true));
    case 'I64':
      return (offset) => Number(view.getBigInt64(offset, true));
    case 'I32':
      return (offset) => view.getInt32(offset, true);
    case 'I8':
      return (offset) => view.getInt8(offset);
    case 'U8':
      return (offset) => view.getUint8(offset);
    default:
      throw new Error(`golden data has no element type ${dtype}`);
  }
}
