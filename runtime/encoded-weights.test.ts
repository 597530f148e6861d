import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { encodeSafetensors, memorySource, readCheckpoint, type Checkpoint } from '../frontend/checkpoint/index.js';
import { buildWeightTable } from '../frontend/checkpoint/names.js';
import { Dim } from '../ir/dim.js';
import { decodeRows } from '../ir/encoded-rows.js';
import { encodedFields, parseEncoding, type FieldName } from '../ir/encoding.js';
import type { WeightDeclaration, WeightPart } from '../ir/graph/graph.js';
import { hostTensorToBytes, type HostTensor } from '../ir/host-tensor.js';
import { Random } from '../test/random.js';
import { readRawSafetensors, writeGguf } from '../test/raw-files.js';
import { readSafetensors } from '../test/read-safetensors.js';
import { expectRanges } from '../test/expect-ranges.js';
import { memoryWeights, readWhole } from './weight-provider.js';
import { checkpointWeights } from './weights.js';

const golden = new URL('../test/golden/quant/', import.meta.url);

function provide(checkpoint: Checkpoint): ReturnType<typeof checkpointWeights> {
  const requests = [...checkpoint.tensors.values()].map((tensor) => ({ name: tensor.name, tensor }));
  return checkpointWeights(checkpoint, buildWeightTable(checkpoint.name, requests));
}

/** A declaration of each array. */
function declare(encoding: string, of: WeightPart): ReadonlyMap<FieldName, WeightDeclaration> {
  const [rows, columns] = of.shape as readonly [number, number];
  return new Map(
    encodedFields(parseEncoding(encoding), columns).map(({ name, dtype, columns: width }) => {
      const type = { dtype, shape: [Dim.of(rows), Dim.of(width)] };
      return [name, { name: `w.${name}`, type, source: { kind: 'encoded_rows', of, encoding, field: name } }] as const;
    }),
  );
}

const part = (tensor: string, rows: number, columns: number): WeightPart => ({
  shape: [rows, columns],
  source: { kind: 'tensor', tensor },
});

function numbers(rows: number, columns: number, seed: number): HostTensor {
  const random = new Random(seed);
  const data = Float64Array.from({ length: rows * columns }, () =>
    Math.fround((random.next() - 0.5) * 2 ** (4 * random.next())),
  );
  return { dtype: 'f32', shape: [rows, columns], data };
}

describe('numbers are encoded while they are read', () => {
  const tensors = new Map([
    ['a', numbers(6, 64, 1)],
    ['b', numbers(6, 64, 2)],
    ['c', numbers(2, 64, 3)],
    ['across', numbers(64, 6, 4)],
  ]);
  const sources: readonly (readonly [string, WeightPart])[] = [
    ['a tensor', part('a', 6, 64)],
    ['rows after each other', { shape: [8, 64], source: { kind: 'concat_rows', parts: [part('a', 6, 64), part('c', 2, 64)] } }],
    ['rows in turn', { shape: [12, 64], source: { kind: 'interleave_rows', group: 2, parts: [part('a', 6, 64), part('b', 6, 64)] } }],
    ['rows of a tensor', { shape: [3, 64], source: { kind: 'slice_rows', of: part('b', 6, 64), start: 2 } }],
    ['a transpose', { shape: [6, 64], source: { kind: 'permute', of: part('across', 64, 6), permutation: [1, 0] } }],
  ]; // prettier-ignore

  it.each(
    ['int8', 'int4:32', 'int4z:16', 'nf4:64', 'fp4:32', 'f8e4m3', 'f8e5m2'].flatMap((encoding) =>
      sources.map(([what, of]) => [encoding, what, of] as const),
    ),
  )('%s of %s as in memory, whole and in ranges', async (encoding, _, of) => {
    const data = new Map([...tensors].map(([name, tensor]) => [name, { ...tensor, data: hostTensorToBytes(tensor) }]));
    const provider = provide(await readCheckpoint(memorySource('made', encodeSafetensors(data))));
    for (const declaration of declare(encoding, of).values()) {
      const expected = await readWhole(memoryWeights(tensors), declaration);
      await expectRanges(provider, declaration, expected, 10);
    }
  });

  it('refuses what only files bring', async () => {
    const data = new Map([['a', { ...numbers(2, 256, 5), data: hostTensorToBytes(numbers(2, 256, 5)) }]]);
    const provider = provide(await readCheckpoint(memorySource('made', encodeSafetensors(data))));
    const codes = declare('q4_k', part('a', 2, 256)).get('codes')!;
    await expect(readWhole(provider, codes)).rejects.toMatchObject({ code: 'F2C172', detail: { found: 'q4_k' } });
  });
});

describe('arrays of a file are repacked', () => {
  const blocks = readRawSafetensors(readFileSync(new URL('ggml_blocks.safetensors', golden)));
  const wanted = readSafetensors(new URL('ggml_blocks.safetensors', golden));

  it.each(['Q4_0', 'Q5_1', 'Q8_0', 'Q4_K', 'Q6_K'])('%s, packed in turn, in one pass', async (type) => {
    const columns = type.endsWith('K') ? 256 : 128;
    const rows = (24 * 128) / columns;
    const tensor = { type, shape: [rows, columns], bytes: blocks.get(`${type}.bytes`)!.bytes };
    const file = writeGguf(new Map([['a', tensor], ['b', tensor]])); // prettier-ignore
    let requested = 0;
    const source = memorySource('made', file);
    const counting = {
      ...source,
      read: (offset: number, length: number) => {
        requested += length;
        return source.read(offset, length);
      },
    };
    const provider = provide(await readCheckpoint(counting));
    requested = 0;
    const of: WeightPart = {
      shape: [2 * rows, columns],
      source: { kind: 'interleave_rows', group: 1, parts: [part('a', rows, columns), part('b', rows, columns)] },
    };
    const encoding = type.toLowerCase();
    const fields = new Map<FieldName, Uint8Array>();
    for (const [name, declaration] of declare(encoding, of)) fields.set(name, await readWhole(provider, declaration));
    expect(requested).toBe(2 * tensor.bytes.byteLength);
    const want = Float32Array.from(wanted.tensor(`${type}.expected`).values);
    const twice = new Float32Array(2 * want.length);
    for (let row = 0; row < 2 * rows; row++) {
      const from = Math.floor(row / 2) * columns;
      twice.set(want.subarray(from, from + columns), row * columns);
    }
    expect(decodeRows(parseEncoding(encoding), 2 * rows, columns, fields)).toEqual(twice);
  });

  it('and numbers of them rounded where numbers are declared, or encoded anew', async () => {
    const checkpoint = await readCheckpoint(
      memorySource('nf4', readFileSync(new URL('nf4_block64.safetensors', golden))),
    );
    const provider = provide(checkpoint);
    const want = readSafetensors(new URL('nf4_block64.safetensors', golden)).tensor('expected');
    const inMemory = memoryWeights(new Map([['weight', { dtype: 'f32', shape: [24, 128], data: want.values }]]));
    for (const dtype of ['f32', 'bf16', 'f16'] as const) {
      const type = { dtype, shape: [Dim.of(24), Dim.of(128)] };
      const declaration: WeightDeclaration = { name: 'w', type, source: { kind: 'tensor', tensor: 'weight' } };
      expect(await readWhole(provider, declaration)).toEqual(await readWhole(inMemory, declaration));
    }
    for (const declaration of declare('int8', part('weight', 24, 128)).values()) {
      expect(await readWhole(provider, declaration)).toEqual(await readWhole(inMemory, declaration));
    }
  });
});
