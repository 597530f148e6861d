/** Writers of files as other programs make them: safetensors with any element type, GGUF. */

export interface RawTensor {
  /** As the format calls it. */
  readonly type: string;
  /** Rows first. */
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

export type RawTensors = ReadonlyMap<string, RawTensor>;

/** A safetensors file with the tensors in order. */
export function writeRawSafetensors(tensors: RawTensors): Uint8Array<ArrayBuffer> {
  let end = 0;
  const entries = [...tensors].map(([name, { type, shape, bytes }]) => {
    const begin = end;
    end += bytes.byteLength;
    return [name, { dtype: type, shape, data_offsets: [begin, end] }];
  });
  const header = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(header.length), true);
  return join([length, header, ...[...tensors.values()].map(({ bytes }) => bytes)]);
}

/** The tensors of a safetensors file that is trusted, as they lie in it. */
export function readRawSafetensors(file: Uint8Array): Map<string, RawTensor> {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const start = 8 + Number(view.getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(file.subarray(8, start))) as Record<string, RawEntry>;
  delete header['__metadata__'];
  return new Map(
    Object.entries(header).map(
      ([
        name,
        {
          dtype,
          shape,
          data_offsets: [begin, end],
        },
      ]) => {
        return [name, { type: dtype, shape, bytes: file.slice(start + begin, start + end) }];
      },
    ),
  );
}

interface RawEntry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}

const ggufTypes: Readonly<Record<string, number>> = {
  F32: 0, F16: 1, Q4_0: 2, Q4_1: 3, Q5_0: 6, Q5_1: 7, Q8_0: 8, Q4_K: 12, Q5_K: 13, Q6_K: 14, BF16: 30,
}; // prettier-ignore

export type GgufProperty = string | number | boolean | readonly string[] | { readonly f32: number };

/** A GGUF file of version 3. Numbers are u32, arrays hold texts. */
export function writeGguf(
  tensors: RawTensors,
  properties: Readonly<Record<string, GgufProperty>> = {},
  alignment = 32,
): Uint8Array<ArrayBuffer> {
  const header: Uint8Array[] = [new TextEncoder().encode('GGUF'), u32(3), u64(tensors.size)];
  header.push(u64(Object.keys(properties).length));
  for (const [key, value] of Object.entries(properties)) header.push(text(key), property(value));
  let offset = 0;
  const data: Uint8Array[] = [];
  for (const [name, { type, shape, bytes }] of tensors) {
    const sizes = [...shape].reverse().map(u64);
    header.push(text(name), u32(shape.length), ...sizes, u32(ggufTypes[type] ?? Number(type)), u64(offset));
    const padded = new Uint8Array(Math.ceil(bytes.byteLength / alignment) * alignment);
    padded.set(bytes);
    data.push(padded);
    offset += padded.byteLength;
  }
  const joined = join(header);
  const padding = new Uint8Array((alignment - (joined.byteLength % alignment)) % alignment);
  return join([joined, padding, ...data]);
}

function property(value: GgufProperty): Uint8Array {
  if (typeof value === 'string') return join([u32(8), text(value)]);
  if (typeof value === 'number') return join([u32(4), u32(value)]);
  if (typeof value === 'boolean') return join([u32(7), Uint8Array.of(Number(value))]);
  if ('f32' in value) return join([u32(6), new Uint8Array(Float32Array.of(value.f32).buffer)]);
  return join([u32(9), u32(8), u64(value.length), ...value.map(text)]);
}

function text(value: string): Uint8Array {
  const bytes = new TextEncoder().encode(value);
  return join([u64(bytes.byteLength), bytes]);
}

function u32(value: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(value).buffer);
}

function u64(value: number): Uint8Array {
  return new Uint8Array(BigUint64Array.of(BigInt(value)).buffer);
}

function join(pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(pieces.reduce((sum, { byteLength }) => sum + byteLength, 0));
  let end = 0;
  for (const piece of pieces) {
    joined.set(piece, end);
    end += piece.byteLength;
  }
  return joined;
}
