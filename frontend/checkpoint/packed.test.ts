import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { decodeRows } from '../../ir/encoded-rows.js';
import { encodedFields } from '../../ir/encoding.js';
import { readSafetensors } from '../../test/read-safetensors.js';
import { readRawSafetensors, writeGguf, writeRawSafetensors, type RawTensor } from '../../test/raw-files.js';
import { memorySource } from './byte-source.js';
import type { Checkpoint } from './checkpoint.js';
import { readCheckpoint } from './read-checkpoint.js';
import { buildWeightTable, readEncodedRows } from './names.js';

const golden = new URL('../../test/golden/quant/', import.meta.url);
const raw = (file: string): Map<string, RawTensor> => readRawSafetensors(readFileSync(new URL(file, golden)));
const expected = (file: string, name = 'expected'): Float64Array =>
  readSafetensors(new URL(file, golden)).tensor(name).values;
const open = (bytes: Uint8Array): Promise<Checkpoint> => readCheckpoint(memorySource('made', bytes));

/** The numbers, and those that the arrays of rows 5 to 16 stand for. */
async function readBoth(checkpoint: Checkpoint, name: string): Promise<readonly [Float32Array, Float32Array]> {
  const { packed, shape } = checkpoint.tensors.get(name)!;
  const { encoding } = packed!;
  const fields = await packed!.readEncodedRows(5, 12);
  expect([...fields.keys()]).toEqual(encodedFields(encoding!, shape[1]!).map((field) => field.name));
  return [await checkpoint.readF32(name), decodeRows(encoding!, 12, shape[1]!, fields)];
}

async function expectNumbers(checkpoint: Checkpoint, name: string, want: Float64Array): Promise<void> {
  const [numbers, some] = await readBoth(checkpoint, name);
  expect(numbers).toEqual(Float32Array.from(want));
  expect(some).toEqual(Float32Array.from(want.subarray(5 * 128, 17 * 128)));
}

describe('golden matrices are read bit for bit', () => {
  it.each([
    ['nf4_block64', 'nf4:64'],
    ['nf4_block64_double_quant', 'nf4:64'],
    ['fp4_block64', 'fp4:64'],
  ])('%s', async (file, encoding) => {
    const checkpoint = await open(readFileSync(new URL(`${file}.safetensors`, golden)));
    const names = [...checkpoint.tensors.keys()].filter((name) => !name.startsWith('expected'));
    expect(names).toEqual(['weight']);
    expect(checkpoint.tensors.get('weight')).toMatchObject({
      shape: [24, 128],
      packed: { encoding: { text: encoding } },
    });
    await expectNumbers(checkpoint, 'weight', expected(`${file}.safetensors`));
  });

  it('the scales of double quantisation', async () => {
    const file = 'nf4_block64_double_quant.safetensors';
    const { packed } = (await open(readFileSync(new URL(file, golden)))).tensors.get('weight')!;
    const scales = (await packed!.readEncodedRows(0, 24)).get('scales')!;
    expect(new Float32Array(scales.slice().buffer)).toEqual(Float32Array.from(expected(file, 'expected.absmax')));
  });

  it.each(['Q4_0', 'Q4_1', 'Q5_0', 'Q5_1', 'Q8_0', 'Q4_K', 'Q6_K'])('%s', async (type) => {
    const bytes = raw('ggml_blocks.safetensors').get(`${type}.bytes`)!.bytes;
    const want = expected('ggml_blocks.safetensors', `${type}.expected`);
    // Super-blocks need rows of 256.
    const columns = type.endsWith('K') ? 256 : 128;
    const shape = [(24 * 128) / columns, columns];
    const checkpoint = await open(writeGguf(new Map([['a', { type, shape, bytes }]])));
    const { packed } = checkpoint.tensors.get('a')!;
    expect(packed?.encoding?.text).toBe(type.toLowerCase());
    expect(await checkpoint.readF32('a')).toEqual(Float32Array.from(want));
    const some = decodeRows(packed!.encoding!, 4, columns, await packed!.readEncodedRows(3, 4));
    expect(some).toEqual(Float32Array.from(want.subarray(3 * columns, 7 * columns)));
  });

  it.each([
    ['e4m3fn', 'scale_weight'],
    ['e4m3fn', 'weight_scale'],
    ['e5m2', 'scale_weight'],
    ['e5m2', 'weight_scale'],
  ])('fp8 %s with %s', async (kind, spelling) => {
    const file = raw('fp8.safetensors');
    const checkpoint = await open(
      writeRawSafetensors(
        new Map([
          ['x.weight', file.get(`weight.${kind}`)!],
          [`x.${spelling}`, file.get(`weight.${kind}.scale`)!],
          ['x.input_scale', file.get(`weight.${kind}.scale`)!],
          ['scaled_fp8', { type: 'F8_E4M3', shape: [0], bytes: new Uint8Array(0) }],
        ]),
      ),
    );
    expect([...checkpoint.tensors.keys()]).toEqual(['x.weight']);
    await expectNumbers(checkpoint, 'x.weight', expected('fp8.safetensors', `weight.${kind}.expected`));
  });

  it.each(['e4m3fn', 'e5m2'])('all codes of fp8 %s', async (kind) => {
    const codes = raw('fp8.safetensors').get(`all_codes.${kind}`)!;
    const checkpoint = await open(writeRawSafetensors(new Map([['x.weight', codes]])));
    expect(await checkpoint.readF32('x.weight')).toEqual(
      Float32Array.from(expected('fp8.safetensors', `all_codes.${kind}.expected`)),
    );
  });

  it.each(['SCB', 'scale'])('int8 with %s', async (spelling) => {
    const file = raw('int8_rowwise.safetensors');
    const checkpoint = await open(
      writeRawSafetensors(
        new Map([
          ['x.weight', file.get('weight.int8')!],
          [`x.${spelling}`, file.get(`weight.${spelling}`)!],
          ['x.weight_format', { type: 'U8', shape: [], bytes: Uint8Array.of(0) }],
        ]),
      ),
    );
    expect([...checkpoint.tensors.keys()]).toEqual(['x.weight']);
    const [numbers] = await readBoth(checkpoint, 'x.weight');
    const want = expected('int8_rowwise.safetensors', `expected.${spelling}`);
    const largest = want.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    let off = 0;
    numbers.forEach((value, index) => (off = Math.max(off, Math.abs(value - want[index]!))));
    // One unit in the last place of the largest number: SCB is divided by 127 before it is multiplied.
    expect(off).toBeLessThanOrEqual(2 ** (Math.floor(Math.log2(largest)) - 23));
  });
});

it('reads blocks that go over the ends of rows as numbers only', async () => {
  const file = raw('nf4_block64.safetensors');
  const state = JSON.parse(new TextDecoder().decode(file.get('weight.quant_state.bitsandbytes__nf4')!.bytes)) as object;
  const bytes = new TextEncoder().encode(JSON.stringify({ ...state, shape: [32, 96] }));
  file.set('weight.quant_state.bitsandbytes__nf4', { type: 'U8', shape: [bytes.length], bytes });
  const checkpoint = await open(writeRawSafetensors(file));
  const want = Float32Array.from(expected('nf4_block64.safetensors'));
  const { packed } = checkpoint.tensors.get('weight')!;
  expect(packed?.encoding).toBeUndefined();
  expect(await checkpoint.readF32('weight')).toEqual(want);
  expect(await packed!.readRows(7, 3)).toEqual(want.subarray(7 * 96, 10 * 96));
});

it('cuts and joins rows of encoded tensors', async () => {
  const checkpoint = await open(readFileSync(new URL('nf4_block64.safetensors', golden)));
  const tensor = checkpoint.tensors.get('weight')!;
  const rows = [{ offset: 12, count: 12 }, { offset: 0, count: 12 }]; // prettier-ignore
  const slice = buildWeightTable('made', [{ name: 'turned', tensor, rows }]).get('turned')!;
  expect(slice.encoding?.text).toBe('nf4:64');
  const want = Float32Array.from(expected('nf4_block64.safetensors'));
  const fields = await readEncodedRows(checkpoint, slice, 10, 5);
  expect(decodeRows(slice.encoding!, 5, 128, fields)).toEqual(
    Float32Array.of(...want.subarray(22 * 128, 24 * 128), ...want.subarray(0, 3 * 128)),
  );
});

describe('what is not as it should be is refused by name', () => {
  const nf4 = (): Map<string, RawTensor> => {
    const file = raw('nf4_block64_double_quant.safetensors');
    return new Map([...file].filter(([name]) => !name.startsWith('expected')));
  };
  const stateName = 'weight.quant_state.bitsandbytes__nf4';
  const withState = (change: object): ReadonlyMap<string, RawTensor> => {
    const file = nf4();
    const state = JSON.parse(new TextDecoder().decode(file.get(stateName)!.bytes)) as object;
    const bytes = new TextEncoder().encode(JSON.stringify({ ...state, ...change }));
    return file.set(stateName, { type: 'U8', shape: [bytes.length], bytes });
  };
  const floats = (values: readonly number[], shape = [values.length]): RawTensor => ({
    type: 'F32',
    shape,
    bytes: new Uint8Array(Float32Array.from(values).buffer),
  });
  const bytes = (type: string, ...shape: readonly number[]): RawTensor => ({
    type,
    shape,
    bytes: new Uint8Array(shape.reduce((product, size) => product * size, 1)),
  });
  const without = (name: string): ReadonlyMap<string, RawTensor> => {
    const file = nf4();
    file.delete(name);
    return file;
  };

  it.each<readonly [string, ReadonlyMap<string, RawTensor>, string, string]>([
    ['a table of its own', nf4().set('weight.quant_map', floats(Array.from({ length: 16 }, (_, at) => at / 15))), 'F2C415', 'weight.quant_map'],
    ['a table of fewer numbers', nf4().set('weight.quant_map', floats([0, 1])), 'F2C415', 'weight'],
    ['no scales', without('weight.absmax'), 'F2C415', 'weight'],
    ['no scales of scales', without('weight.nested_absmax'), 'F2C415', 'weight'],
    ['no codes', without('weight'), 'F2C415', 'weight'],
    ['too few codes', nf4().set('weight', bytes('U8', 8, 1)), 'F2C415', 'weight'],
    ['blocks of 65', withState({ blocksize: 65 }), 'F2C415', 'weight'],
    ['another type than its name says', withState({ quant_type: 'fp4' }), 'F2C415', 'weight'],
    ['a shape of strings', withState({ shape: ['24', '128'] }), 'F2C415', 'weight'],
    ['another shape', withState({ shape: [24, 129] }), 'F2C415', 'weight'],
    ['a type that it was of and nobody knows', withState({ dtype: 'float12' }), 'F2C415', 'weight'],
    ['no offset of scales', withState({ nested_offset: null }), 'F2C415', 'weight'],
    ['two scales', new Map([['x.weight', bytes('F8_E4M3', 2, 4)], ['x.scale_weight', floats([1])], ['x.weight_scale', floats([1])]]), 'F2C416', 'x.weight'],
    ['scales of three rows for two', new Map([['x.weight', bytes('F8_E4M3', 2, 4)], ['x.scale_weight', floats([1, 1, 1])]]), 'F2C416', 'x.scale_weight'],
    ['a scale of integers', new Map([['x.weight', bytes('I8', 2, 4)], ['x.SCB', bytes('U8', 2)]]), 'F2C416', 'x.SCB'],
    ['no scale where another weight has one', new Map([['x.weight', bytes('F8_E4M3', 2, 4)], ['x.scale_weight', floats([1])], ['y.weight', bytes('F8_E5M2', 2, 4)]]), 'F2C416', 'y.weight'],
    ['no scale in a file that is marked', new Map([['m.scaled_fp8', bytes('F8_E4M3', 0)], ['y.weight', bytes('F8_E4M3', 2, 4)]]), 'F2C416', 'y.weight'],
  ])('%s', async (_, tensors, code, name) => {
    await expect(open(writeRawSafetensors(tensors))).rejects.toMatchObject({
      code,
      detail: { where: expect.arrayContaining([name]) as unknown },
    });
  }); // prettier-ignore
});
