import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Flux2cError } from '../../ir/diagnostics.js';
import { bf16ToF32, f16ToF32 } from '../../ir/dtype.js';
import { memorySource, type ByteSource } from './byte-source.js';
import { readSafetensorsHeader, readTensorBytes, readTensorF32, type SafetensorsFile } from './safetensors.js';
import { widenToF32 } from './widen.js';
import { encodeSafetensors, layOutSafetensors, type TensorData } from './safetensors-writer.js';

const golden = new URL('../../test/golden/', import.meta.url);

function fileOf(
  header: string,
  data = new Uint8Array(0),
  headerLength = new TextEncoder().encode(header).length,
): Uint8Array {
  const text = new TextEncoder().encode(header);
  const file = new Uint8Array(8 + text.length + data.length);
  new DataView(file.buffer).setBigUint64(0, BigInt(headerLength), true);
  file.set(text, 8);
  file.set(data, 8 + text.length);
  return file;
}

function read(bytes: Uint8Array): Promise<SafetensorsFile> {
  return readSafetensorsHeader(memorySource('test.safetensors', bytes));
}

async function errorOf(promise: Promise<unknown>): Promise<Flux2cError> {
  const error: unknown = await promise.then(
    () => new Error('nothing was thrown'),
    (thrown: unknown) => thrown,
  );
  if (error instanceof Flux2cError) return error;
  throw error;
}

function entry(fileDType: string, shape: string, begin: number | string, end: number | string): string {
  return `{"dtype":"${fileDType}","shape":${shape},"data_offsets":[${begin},${end}]}`;
}

describe('readSafetensorsHeader', () => {
  it('reads names, types, shapes, places and metadata', async () => {
    const header = `{"__metadata__":{"format":"pt"},"b":${entry('F8_E4M3', '[2]', 8, 10)},"a":${entry('BF16', '[2,2]', 0, 8)}}   `;
    const file = await read(fileOf(header, new Uint8Array(10)));
    expect(file.metadata).toEqual(new Map([['format', 'pt']]));
    const start = 8 + header.length;
    expect([...file.tensors.values()]).toEqual([
      { name: 'b', fileDType: 'F8_E4M3', dtype: 'f8e4m3', shape: [2], offset: start + 8, byteLength: 2 },
      { name: 'a', fileDType: 'BF16', dtype: 'bf16', shape: [2, 2], offset: start, byteLength: 8 },
    ]);
  });

  it('takes names of object members as names', async () => {
    const names = ['__proto__', 'constructor', 'toString', '\u0000', '10', '2'];
    const fields = names.map((name) => `${JSON.stringify(name)}:${entry('U8', '[0]', 0, 0)}`);
    const file = await read(fileOf(`{${fields.join(',')}}`));
    expect([...file.tensors.keys()]).toEqual(names);
  });

  it('reads an empty file of no tensors', async () => {
    expect((await read(fileOf('{}'))).tensors.size).toBe(0);
  });

  const u8 = entry('U8', '[4]', 0, 4);
  const four = new Uint8Array(4);
  const broken: readonly (readonly [string, Uint8Array, string, string])[] = [
    ['no bytes', new Uint8Array(0), 'F2C410', '0 bytes'],
    ['seven bytes', new Uint8Array(7), 'F2C410', '7 bytes'],
    ['a header of nothing', new Uint8Array(8), 'F2C410', '0 bytes of header'],
    ['a length beyond the file', fileOf('{}', four, 2 ** 40), 'F2C410', `${2 ** 40} bytes`],
    ['the largest length', new Uint8Array(64).fill(0xff), 'F2C410', '18446744073709551615 bytes'],
    ['a GGUF file', new TextEncoder().encode('GGUF............'), 'F2C410', 'GGUF'],
    ['a Git LFS pointer', new TextEncoder().encode('version https://git-lfs'), 'F2C410', 'git lfs pull'],
    ['no JSON', fileOf('hello'), 'F2C411', 'a value'],
    ['a header cut short', fileOf(`{"a":${u8}`, four), 'F2C411', '"," or "}"'],
    ['text after the header', fileOf('{} {}'), 'F2C411', 'the end of the text'],
    ['an array', fileOf('[]'), 'F2C411', 'safetensors header'],
    ['invalid UTF-8', fileOf('{}', four, 6).fill(0xff, 10), 'F2C411', 'UTF-8'],
    ['a byte order mark', fileOf('\ufeff{}'), 'F2C411', 'a value'],
    ['duplicate names', fileOf(`{"a":${u8},"a":${u8}}`, four), 'F2C411', 'the key "a" twice'],
    ['duplicate names, one escaped', fileOf(`{"a":${u8},"\\u0061":${u8}}`, four), 'F2C411', 'the key "a" twice'],
    ['duplicate keys', fileOf('{"a":{"dtype":"U8","dtype":"I8"}}'), 'F2C411', 'the key "dtype" twice'],
    ['a bomb of arrays', fileOf('['.repeat(1_000_000)), 'F2C411', 'nesting'],
    ['a bomb of objects', fileOf('{"a":'.repeat(500_000)), 'F2C411', 'nesting'],
    ['a bomb of values', fileOf(`{"a":[${'0,'.repeat(2_100_000)}0]}`), 'F2C411', 'at most 2000000 values'],
    ['a line feed in a name', fileOf('{"a\n":1}'), 'F2C411', 'the end of a string'],
    ['a name cut inside an escape', fileOf('{"a\\'), 'F2C411', 'the end of a string'],
    ['an unknown escape', fileOf('{"\\x":1}'), 'F2C411', 'valid escapes'],
    ['a number with a leading zero', fileOf(`{"a":${entry('U8', '[04]', 0, 4)}}`, four), 'F2C411', '"," or "]"'],
    ['NaN', fileOf(`{"a":${entry('U8', '[NaN]', 0, 4)}}`, four), 'F2C411', 'a value'],
    ['metadata of numbers', fileOf('{"__metadata__":{"a":1}}'), 'F2C412', '1 under "a"'],
    ['metadata that are an array', fileOf('{"__metadata__":[]}'), 'F2C412', 'an array of 0'],
    ['an entry that is null', fileOf('{"a":null}'), 'F2C412', 'null'],
    ['no type', fileOf('{"a":{}}'), 'F2C412', 'nothing'],
    ['a type that is an object', fileOf('{"a":{"dtype":{}}}'), 'F2C412', 'an object'],
    ['an unknown type', fileOf(`{"a":${entry('Q9', '[4]', 0, 4)}}`, four), 'F2C412', 'Q9'],
    ['no shape', fileOf('{"a":{"dtype":"U8"}}'), 'F2C412', 'nothing'],
    ['a negative size', fileOf(`{"a":${entry('U8', '[-4]', 0, 4)}}`, four), 'F2C412', '[-4]'],
    ['two negative sizes', fileOf(`{"a":${entry('U8', '[-2,-2]', 0, 4)}}`, four), 'F2C412', '[-2, -2]'],
    ['a broken size', fileOf(`{"a":${entry('U8', '[4.5]', 0, 4)}}`, four), 'F2C412', '[4.5]'],
    ['a size that is a string', fileOf(`{"a":${entry('U8', '["4"]', 0, 4)}}`, four), 'F2C412', '["4"]'],
    ['an infinite size', fileOf(`{"a":${entry('U8', '[1e999]', 0, 4)}}`, four), 'F2C412', '[Infinity]'],
    ['a size past 2^53', fileOf(`{"a":${entry('U8', '[9007199254740993]', 0, 4)}}`, four), 'F2C412', 'the shape'],
    ['too many sizes', fileOf(`{"a":${entry('U8', `[${'1,'.repeat(64)}1]`, 0, 4)}}`, four), 'F2C412', 'an array of 65'],
    [
      'a product that overflows',
      fileOf(`{"a":${entry('U8', '[4294967296,4294967296]', 0, 4)}}`, four),
      'F2C412',
      '2^53',
    ],
    [
      'a product that overflows to nothing',
      fileOf(`{"a":${entry('U8', '[4294967296,4294967296,0]', 0, 0)}}`),
      'F2C412',
      '2^53',
    ],
    ['one offset', fileOf('{"a":{"dtype":"U8","shape":[],"data_offsets":[0]}}'), 'F2C412', 'an array of 1'],
    ['three offsets', fileOf('{"a":{"dtype":"U8","shape":[],"data_offsets":[0,1,2]}}'), 'F2C412', 'an array of 3'],
    ['a negative offset', fileOf(`{"a":${entry('U8', '[4]', -4, 0)}}`, four), 'F2C412', '[-4, 0]'],
    ['offsets the wrong way round', fileOf(`{"a":${entry('U8', '[4]', 4, 0)}}`, four), 'F2C413', '4 .. 0'],
    ['data beyond the file', fileOf(`{"a":${entry('U8', '[5]', 0, 5)}}`, four), 'F2C413', '0 .. 5'],
    ['data of a terabyte', fileOf(`{"a":${entry('U8', '[1e12]', 0, 1e12)}}`, four), 'F2C413', '0 .. 1000000000000'],
    ['too few data', fileOf(`{"a":${entry('F32', '[4]', 0, 4)}}`, four), 'F2C413', '4 bytes'],
    ['data of half a byte', fileOf(`{"a":${entry('F4', '[7]', 0, 4)}}`, four), 'F2C413', '3.5 bytes'],
    ['overlapping data', fileOf(`{"a":${u8},"b":${entry('U8', '[2]', 2, 4)}}`, four), 'F2C413', 'overlap those of "a"'],
    ['the same data twice', fileOf(`{"a":${u8},"b":${u8}}`, four), 'F2C413', 'overlap'],
    ['a hole', fileOf(`{"a":${entry('U8', '[3]', 1, 4)}}`, four), 'F2C413', 'leave a hole after those of the header'],
    ['data of no tensor', fileOf(`{"a":${u8}}`, new Uint8Array(6)), 'F2C413', 'belong to no tensor'],
  ];

  it.each(broken)('refuses %s', async (_, bytes, code, text) => {
    const error = await errorOf(read(bytes));
    expect(error.code).toBe(code);
    expect(error.format()).toContain(text);
    expect(error.detail.where?.[0]).toBe('test.safetensors');
    expect(error.format().length).toBeLessThan(2000);
  });

  it('names the tensor, and cuts a name of a megabyte', async () => {
    const name = 'n'.repeat(1_000_000);
    const error = await errorOf(read(fileOf(`{"${name}":${entry('U8', '[-1]', 0, 4)}}`, four)));
    expect(error.detail.where?.[1]).toContain('nnn… (1000000 characters)');
    expect(error.format().length).toBeLessThan(1000);
  });

  it('never asks for more than the file has, and for no header over 100 MB', async () => {
    const asked: number[] = [];
    const source = (headerLength: bigint): ByteSource => ({
      name: 'huge.safetensors',
      size: 2 ** 50,
      read: async (_, length) => {
        asked.push(length);
        const bytes = new Uint8Array(length);
        new DataView(bytes.buffer).setBigUint64(0, headerLength, true);
        return bytes;
      },
      close: async () => undefined,
    });
    expect((await errorOf(readSafetensorsHeader(source(100_000_001n)))).code).toBe('F2C410');
    expect((await errorOf(readSafetensorsHeader(source(2n ** 49n)))).code).toBe('F2C410');
    expect(asked).toEqual([8, 8]);
  });
});

describe('readTensorF32', () => {
  async function widen(fileDType: string, bytes: Uint8Array): Promise<Float32Array> {
    // A tensor of one byte before it makes its start unaligned.
    const data = new Uint8Array([7, ...bytes]);
    const width = { F64: 8, I64: 8, U64: 8, F32: 4, I32: 4, U32: 4, F16: 2, BF16: 2, I16: 2, U16: 2 }[fileDType] ?? 1;
    const header = `{"pad":${entry('U8', '[1]', 0, 1)},"x":${entry(fileDType, `[${bytes.length / width}]`, 1, data.length)}}`;
    const file = await read(fileOf(header, data));
    const tensor = file.tensors.get('x');
    if (tensor === undefined) throw new Error('no x');
    expect(await readTensorBytes(file.source, tensor)).toEqual(bytes);
    return readTensorF32(file.source, tensor);
  }
  const bytesOf = (array: ArrayBufferView): Uint8Array => new Uint8Array(array.buffer);

  it('widens every type that has numbers', async () => {
    expect(await widen('F32', bytesOf(Float32Array.of(1.5, -0, NaN)))).toEqual(Float32Array.of(1.5, -0, NaN));
    expect(await widen('F64', bytesOf(Float64Array.of(0.1, 1e300)))).toEqual(Float32Array.of(0.1, Infinity));
    expect(await widen('I64', bytesOf(BigInt64Array.of(-3n, 2n ** 53n - 1n)))).toEqual(Float32Array.of(-3, 2 ** 53));
    expect(await widen('U64', bytesOf(BigUint64Array.of(3n)))).toEqual(Float32Array.of(3));
    expect(await widen('I32', bytesOf(Int32Array.of(-70000)))).toEqual(Float32Array.of(-70000));
    expect(await widen('U32', bytesOf(Uint32Array.of(2 ** 32 - 1)))).toEqual(Float32Array.of(2 ** 32));
    expect(await widen('I16', bytesOf(Int16Array.of(-300)))).toEqual(Float32Array.of(-300));
    expect(await widen('U16', bytesOf(Uint16Array.of(65535)))).toEqual(Float32Array.of(65535));
    expect(await widen('I8', bytesOf(Int8Array.of(-128, 127)))).toEqual(Float32Array.of(-128, 127));
    expect(await widen('U8', Uint8Array.of(255))).toEqual(Float32Array.of(255));
    expect(await widen('BOOL', Uint8Array.of(0, 1, 2))).toEqual(Float32Array.of(0, 1, 1));
  });

  it('widens all codes of the 16-bit floats', async () => {
    const codes = Uint16Array.from({ length: 65536 }, (_, code) => code);
    expect(await widen('F16', bytesOf(codes))).toEqual(Float32Array.from(codes, f16ToF32));
    expect(await widen('BF16', bytesOf(codes))).toEqual(Float32Array.from(codes, bf16ToF32));
  });

  it('widens all codes of fp8 as the golden file expects', async () => {
    const file = await read(readFileSync(new URL('quant/fp8.safetensors', golden)));
    for (const type of ['e4m3fn', 'e5m2']) {
      const [codes, expected] = [file.tensors.get(`all_codes.${type}`), file.tensors.get(`all_codes.${type}.expected`)];
      if (codes === undefined || expected === undefined) throw new Error(type);
      expect(await readTensorF32(file.source, codes)).toEqual(await readTensorF32(file.source, expected));
    }
  });

  it('widens parts of larger buffers, and refuses a part of an element', () => {
    const bytes = bytesOf(Float32Array.of(0, 1.5, 0))
      .copyWithin(3, 4, 8)
      .subarray(3, 8);
    expect(widenToF32(bytes.subarray(0, 4), 'F32', [])).toEqual(Float32Array.of(1.5));
    expect(widenToF32(bytes.subarray(2, 4), 'BF16', [])).toEqual(Float32Array.of(1.5));
    expect(() => widenToF32(bytes, 'F32', ['x'])).toThrow(expect.objectContaining({ code: 'F2C414' }));
  });

  it('refuses what has no numbers and integers that are not exact', async () => {
    expect((await errorOf(widen('F8_E8M0', Uint8Array.of(1)))).format()).toContain('test.safetensors › x');
    expect((await errorOf(widen('I64', bytesOf(BigInt64Array.of(2n ** 53n))))).code).toBe('F2C414');
    expect((await errorOf(widen('U64', bytesOf(BigUint64Array.of(2n ** 64n - 1n))))).code).toBe('F2C414');
  });
});

describe('encodeSafetensors', () => {
  const tensor = (dtype: TensorData['dtype'], shape: readonly number[], bytes: number): TensorData => ({
    dtype,
    shape,
    data: Uint8Array.from({ length: bytes }, (_, index) => index + bytes),
  });

  it('writes what the reader reads, every tensor aligned', async () => {
    const tensors = new Map<string, TensorData>([
      ['a', tensor('u8', [3], 3)],
      ['z', tensor('i64', [], 8)],
      ['__proto__', tensor('bf16', [1, 5], 10)],
      ['7', tensor('f32', [2, 0], 0)],
      ['quote " \\ \n é', tensor('bool', [1], 1)],
      ['f64', tensor('f64', [2], 16)],
    ]);
    const metadata = new Map([
      ['format', 'pt'],
      ['"', '\u2028'],
    ]);
    const file = await read(encodeSafetensors(tensors, metadata));
    expect(file.metadata).toEqual(metadata);
    expect([...file.tensors.keys()].sort()).toEqual([...tensors.keys()].sort());
    for (const [name, { dtype, shape, data }] of tensors) {
      const written = file.tensors.get(name);
      if (written === undefined) throw new Error(name);
      expect(written).toMatchObject({ dtype, shape });
      expect(await readTensorBytes(file.source, written)).toEqual(data);
      expect(written.offset % (dtype === 'i64' || dtype === 'f64' ? 8 : 1)).toBe(0);
    }
    expect(layOutSafetensors(tensors, metadata).byteLength).toBe(file.source.size);
  });

  it('writes a golden file again with equal tensors', async () => {
    const original = await read(readFileSync(new URL('lora/lora_kohya.safetensors', golden)));
    const tensors = new Map<string, TensorData>();
    for (const [name, { dtype, shape, ...place }] of original.tensors) {
      if (dtype === undefined) throw new Error(name);
      const data = await original.source.read(place.offset, place.byteLength);
      tensors.set(name, { dtype, shape, data });
    }
    const copy = await read(encodeSafetensors(tensors, original.metadata));
    expect(copy.tensors.size).toBe(original.tensors.size);
    for (const [name, entry] of copy.tensors) {
      expect(await readTensorBytes(copy.source, entry)).toEqual(tensors.get(name)?.data);
    }
  });

  it.each([
    ['x', tensor('f32', [2], 7)],
    ['x', tensor('f32', [-2, -1], 8)],
    ['x', tensor('f32', [0.5], 2)],
    ['x', tensor('f32', [2 ** 40, 2 ** 40], 0)],
    ['__metadata__', tensor('f32', [1], 4)],
  ])('refuses %s %o', (name, data) => {
    expect(() => encodeSafetensors(new Map([[name, data]]))).toThrow(expect.objectContaining({ code: 'F2C440' }));
  });
});
