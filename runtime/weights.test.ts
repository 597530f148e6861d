import { describe, expect, it } from 'vitest';
import { encodeSafetensors, memorySource, readCheckpoint } from '../frontend/checkpoint/index.js';
import type { Checkpoint, WeightTable } from '../frontend/checkpoint/index.js';
import { buildWeightTable } from '../frontend/checkpoint/names.js';
import { Dim } from '../ir/dim.js';
import { bf16ToF32, type DType, f32ToF16 } from '../ir/dtype.js';
import type { WeightDeclaration, WeightPart, WeightSource } from '../ir/graph/graph.js';
import { countElements, hostTensorToBytes } from '../ir/host-tensor.js';
import type { HostTensor } from '../ir/host-tensor.js';
import { expectRanges } from '../test/expect-ranges.js';
import { memoryWeights, pieceBytes, readWhole } from './weight-provider.js';
import { checkpointWeights } from './weights.js';

function counted(dtype: DType, shape: readonly number[], start = 0): HostTensor {
  return { dtype, shape, data: Float64Array.from({ length: countElements(shape) }, (_, index) => start + index) };
}

async function open(
  tensors: Readonly<Record<string, HostTensor>>,
): Promise<{ checkpoint: Checkpoint; table: WeightTable }> {
  const data = new Map(
    Object.entries(tensors).map(([name, tensor]) => {
      const { dtype, shape } = tensor;
      return [name, { dtype, shape, data: hostTensorToBytes(tensor) }] as const;
    }),
  );
  const checkpoint = await readCheckpoint(memorySource('weights.safetensors', encodeSafetensors(data)));
  const requests = [...checkpoint.tensors.values()].map((tensor) => ({ name: tensor.name, tensor }));
  return { checkpoint, table: buildWeightTable(checkpoint.name, requests) };
}

function declare(dtype: DType, shape: readonly number[], source: WeightSource): WeightDeclaration {
  return { name: 'w', type: { dtype, shape: shape.map((size) => Dim.of(size)) }, source };
}

function part(tensor: string, shape: readonly number[]): WeightPart {
  return { shape, source: { kind: 'tensor', tensor } };
}

describe('checkpointWeights', () => {
  const tensors = {
    a: counted('bf16', [6, 4]),
    b: counted('bf16', [6, 4], 50),
    c: counted('bf16', [2, 4], 100),
    conv: counted('f32', [4, 3, 2, 2]),
    filters: counted('bf16', [2, 3, 3, 3], -20),
    bias: counted('f32', [5]),
    point: counted('f32', [4, 3, 1, 1]),
    flat: counted('f32', [4, 12], -20.7),
    half: counted('f16', [6, 4], 3.25),
    single: counted('f32', [6, 4], -0.1),
    wide: counted('i64', [3, 2], -3),
  };
  const cases: readonly (readonly [string, WeightDeclaration])[] = [
    ['a tensor', declare('bf16', [6, 4], { kind: 'tensor', tensor: 'a' })],
    ['a vector', declare('f32', [5], { kind: 'tensor', tensor: 'bias' })],
    ['a 1x1 convolution as a matrix', declare('f32', [4, 3], { kind: 'tensor', tensor: 'point' })],
    [
      'rows after each other',
      declare('bf16', [8, 4], { kind: 'concat_rows', parts: [part('a', [6, 4]), part('c', [2, 4])] }),
    ],
    [
      'rows in turn',
      declare('bf16', [12, 4], { kind: 'interleave_rows', group: 2, parts: [part('a', [6, 4]), part('b', [6, 4])] }),
    ],
    [
      'a permutation that keeps rows',
      declare('f32', [4, 2, 2, 3], { kind: 'permute', of: part('conv', [4, 3, 2, 2]), permutation: [0, 2, 3, 1] }),
    ],
    [
      'rows of a pack, from within a part',
      declare('bf16', [5, 4], {
        kind: 'slice_rows',
        of: {
          shape: [12, 4],
          source: { kind: 'interleave_rows', group: 2, parts: [part('a', [6, 4]), part('b', [6, 4])] },
        },
        start: 3,
      }),
    ],
    ...(['f32', 'bf16', 'f16'] as const).map((dtype): (typeof cases)[number] => [
      `filters of an upsampled picture in ${dtype}`,
      declare(dtype, [8, 2, 2, 3], {
        kind: 'upsampled_filters',
        of: {
          shape: [2, 3, 3, 3],
          source: { kind: 'permute', of: part('filters', [2, 3, 3, 3]), permutation: [0, 2, 3, 1] },
        },
      }),
    ]),
    ['a transpose', declare('bf16', [4, 6], { kind: 'permute', of: part('a', [6, 4]), permutation: [1, 0] })],
    ['eight-byte elements', declare('i64', [2, 3], { kind: 'permute', of: part('wide', [3, 2]), permutation: [1, 0] })],
    ['rows in 8 bits', declare('f8e4m3', [6, 4], { kind: 'quantize_rows', dtype: 'f8e4m3', of: part('b', [6, 4]) })],
    [
      'scales of packed rows',
      declare('f32', [8], {
        kind: 'row_scales',
        dtype: 'f8e4m3',
        of: { shape: [8, 4], source: { kind: 'concat_rows', parts: [part('a', [6, 4]), part('c', [2, 4])] } },
      }),
    ],
    [
      'rows in 8 bits of f32',
      declare('f8e4m3', [4, 12], { kind: 'quantize_rows', dtype: 'f8e4m3', of: part('flat', [4, 12]) }),
    ],
    [
      'rows in 8 bits of several types',
      declare('f8e4m3', [18, 4], {
        kind: 'quantize_rows',
        dtype: 'f8e4m3',
        of: {
          shape: [18, 4],
          source: {
            kind: 'concat_rows',
            parts: [part('a', [6, 4]), part('half', [6, 4]), part('single', [6, 4])],
          },
        },
      }),
    ],
    ['rows of integers', declare('i8', [6, 4], { kind: 'quantize_rows', dtype: 'i8', of: part('b', [6, 4]) })],
    ['scales of rows of integers', declare('f32', [6], { kind: 'row_scales', dtype: 'i8', of: part('b', [6, 4]) })],
    ['integers of f32', declare('i8', [4, 12], { kind: 'quantize_rows', dtype: 'i8', of: part('flat', [4, 12]) })],
    [
      'packs of packs',
      declare('bf16', [14, 4], {
        kind: 'concat_rows',
        parts: [
          {
            shape: [12, 4],
            source: { kind: 'interleave_rows', group: 3, parts: [part('b', [6, 4]), part('a', [6, 4])] },
          },
          part('c', [2, 4]),
        ],
      }),
    ],
  ];

  it.each(cases)('reads %s as the packed weight in memory, whole and in ranges', async (_, declaration) => {
    const { checkpoint, table } = await open(tensors);
    const provider = checkpointWeights(checkpoint, table);
    const expected = await readWhole(memoryWeights(new Map(Object.entries(tensors))), declaration);
    await expectRanges(provider, declaration, expected, 40);
  });

  it('converts to the declared type', async () => {
    const { checkpoint, table } = await open({ a: counted('bf16', [2, 3]), h: counted('f32', [2], 0.5) });
    const provider = checkpointWeights(checkpoint, table);
    const wide = await readWhole(provider, declare('f32', [2, 3], { kind: 'tensor', tensor: 'a' }));
    expect([...new Float32Array(wide.slice().buffer)]).toEqual([0, 1, 2, 3, 4, 5]);
    const narrow = await readWhole(provider, declare('bf16', [2], { kind: 'tensor', tensor: 'h' }));
    expect(narrow).toEqual(new Uint8Array([0x00, 0x3f, 0xc0, 0x3f]));
  });

  it('makes the nearest halves of all finite numbers of bf16 that f16 holds', async () => {
    const numbers = Array.from({ length: 65536 }, (_, bits) => bf16ToF32(bits)).filter(
      (value) => Math.abs(value) < 65520,
    );
    expect(numbers.length).toBeGreaterThan(36000);
    const shape = [numbers.length];
    const { checkpoint, table } = await open({ w: { dtype: 'bf16', shape, data: Float64Array.from(numbers) } });
    const bytes = await readWhole(
      checkpointWeights(checkpoint, table),
      declare('f16', shape, { kind: 'tensor', tensor: 'w' }),
    );
    expect(new Uint16Array(bytes.slice().buffer)).toEqual(Uint16Array.from(numbers, f32ToF16));
  });

  it.each([
    ['bf16', 1e5],
    ['bf16', -Infinity],
    ['f32', 65520],
    ['f32', NaN],
  ] as const)('refuses a tensor of %s with %d as a weight in f16', async (dtype, value) => {
    const data = Float64Array.of(1, 2, 3, 4, value, 6);
    const { checkpoint, table } = await open({ 'layers.0.w': { dtype, shape: [3, 2], data } });
    const provider = checkpointWeights(checkpoint, table);
    const weight = declare('f16', [3, 2], { kind: 'tensor', tensor: 'layers.0.w' });
    await expect(readWhole(provider, weight)).rejects.toMatchObject({
      code: 'F2C423',
      detail: { where: ['weights.safetensors', 'layers.0.w'] },
    });
    const entry = checkpoint.tensors.get('layers.0.w')!;
    const rows = (first: number, count: number) => Float32Array.from(data.subarray(2 * first, 2 * (first + count)));
    const packed = { encoding: undefined, readRows: async (first: number, count: number) => rows(first, count) };
    const unpacking = {
      ...checkpoint,
      tensors: new Map([[entry.name, { ...entry, packed }]]),
    } as unknown as Checkpoint;
    await expect(readWhole(checkpointWeights(unpacking, table), weight)).rejects.toMatchObject({
      code: 'F2C423',
      detail: { where: ['weights.safetensors', 'layers.0.w'] },
    });
    // Rows before it are halves.
    const first = await readWhole(provider, weight, { byteOffset: 0, byteLength: 8 });
    expect([...new Uint16Array(first.slice().buffer)]).toEqual([1, 2, 3, 4].map(f32ToF16));
  });

  it('reads a slice of several parts', async () => {
    const { checkpoint } = await open({ fused: counted('f32', [8, 3]) });
    const tensor = checkpoint.tensors.get('fused');
    if (tensor === undefined) throw new Error('no tensor');
    const rows = [
      { offset: 4, count: 4 },
      { offset: 0, count: 4 },
    ];
    const table = buildWeightTable('swapped', [{ name: 'halves', tensor, rows }]);
    const provider = checkpointWeights(checkpoint, table);
    const declaration = declare('f32', [8, 3], { kind: 'tensor', tensor: 'halves' });
    const values = [...new Float32Array((await readWhole(provider, declaration)).slice().buffer)];
    expect(values).toEqual([...Array(12).keys()].map((index) => 12 + index).concat([...Array(12).keys()]));
    const middle = await readWhole(provider, declaration, { byteOffset: 40, byteLength: 16 });
    expect([...new Float32Array(middle.slice().buffer)]).toEqual([22, 23, 0, 1]);
  });

  it('reads a file once for rows in 8 bits and their scales', async () => {
    const { checkpoint, table } = await open(tensors);
    let requested = 0;
    const counting: Checkpoint = {
      ...checkpoint,
      readRange: (name, byteOffset, byteLength) => {
        requested += byteLength;
        return checkpoint.readRange(name, byteOffset, byteLength);
      },
    };
    const provider = checkpointWeights(counting, table);
    // As from an artifact: equal sources that are different objects.
    const of = (): WeightPart => ({
      shape: [12, 4],
      source: { kind: 'interleave_rows', group: 2, parts: [part('a', [6, 4]), part('b', [6, 4])] },
    });
    const codes = declare('f8e4m3', [12, 4], { kind: 'quantize_rows', dtype: 'f8e4m3', of: of() });
    const scales = declare('f32', [12], { kind: 'row_scales', dtype: 'f8e4m3', of: of() });
    const [wantCodes, wantScales] = await Promise.all(
      [codes, scales].map((one) => readWhole(memoryWeights(new Map(Object.entries(tensors))), one)),
    );
    expect(await readWhole(provider, codes)).toEqual(wantCodes);
    expect(requested).toBe(96);
    expect(await readWhole(provider, scales, { byteOffset: 4, byteLength: 12 })).toEqual(wantScales?.subarray(4, 16));
    expect(await readWhole(provider, scales)).toEqual(wantScales);
    expect(requested).toBe(96);
    // They have been forgotten by now.
    expect(await readWhole(provider, scales)).toEqual(wantScales);
    expect(requested).toBe(192);
    // Scales of only the last rows have been made: of others they come from the file.
    await readWhole(provider, codes, { byteOffset: 16, byteLength: 32 });
    expect(await readWhole(provider, scales)).toEqual(wantScales);
    expect(requested).toBe(192 + 64 + 96);
  });

  it('gives pieces of at most 64 MiB', async () => {
    const rows = 200_000;
    const requested: number[] = [];
    const entry = {
      name: 'big',
      file: 'f',
      fileDType: 'F32',
      dtype: 'f32',
      shape: [rows, 256],
      offset: 0,
      byteLength: rows * 1024,
    } as const;
    const checkpoint = {
      name: 'big',
      tensors: new Map([['big', entry]]),
      readRange: async (_: string, __: number, byteLength: number) => {
        requested.push(byteLength);
        return new Uint8Array(byteLength);
      },
    } as unknown as Checkpoint;
    const provider = checkpointWeights(checkpoint, buildWeightTable('big', [{ name: 'big', tensor: entry }]));
    for await (const piece of provider.read(declare('f32', [rows, 256], { kind: 'tensor', tensor: 'big' }))) {
      expect(piece.byteLength).toBeLessThanOrEqual(pieceBytes);
    }
    expect(requested).toHaveLength(4);
    expect(requested.reduce((sum, bytes) => sum + bytes, 0)).toBe(rows * 1024);
  });

  it('names weights that are missing or of another shape', async () => {
    const { checkpoint, table } = await open(tensors);
    const provider = checkpointWeights(checkpoint, table);
    await expect(readWhole(provider, declare('f32', [5], { kind: 'tensor', tensor: 'none' }))).rejects.toMatchObject({
      code: 'F2C403',
      detail: { where: ['weights.safetensors', 'none'] },
    });
    await expect(readWhole(provider, declare('bf16', [4, 6], { kind: 'tensor', tensor: 'a' }))).rejects.toMatchObject({
      code: 'F2C523',
      detail: { expected: '[4, 6]', found: '[6, 4]' },
    });
    const uneven = declare('bf16', [8, 4], {
      kind: 'interleave_rows',
      group: 1,
      parts: [part('a', [6, 4]), part('c', [2, 4])],
    });
    await expect(readWhole(provider, uneven)).rejects.toMatchObject({ code: 'F2C523' });
  });
});
