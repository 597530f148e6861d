import { describe, expect, it } from 'vitest';
import { Flux2cError } from '../../ir/diagnostics.js';
import { decodeRows } from '../../ir/encoded-rows.js';
import { writeGguf, type GgufProperty, type RawTensor } from '../../test/raw-files.js';
import { memorySource } from './byte-source.js';
import type { Checkpoint } from './checkpoint.js';
import { readCheckpoint } from './read-checkpoint.js';
import { canonicalizeTextEncoder } from './text-encoder-layout.js';

const open = (bytes: Uint8Array): Promise<Checkpoint> => readCheckpoint(memorySource('made.gguf', bytes));

async function errorOf(bytes: Uint8Array): Promise<Flux2cError> {
  const error = await open(bytes).catch((reason: unknown) => reason);
  if (error instanceof Flux2cError) return error;
  throw new Error(`no Flux2cError but ${String(error)}`);
}

function floats(...shape: readonly number[]): RawTensor {
  const count = shape.reduce((product, size) => product * size, 1);
  return { type: 'F32', shape, bytes: new Uint8Array(Float32Array.from({ length: count }, (_, at) => at).buffer) };
}

/** A matrix of Q8_0 with the scale 1: its numbers are those of `values`. */
function q80(values: Int8Array, rows: number, columns: number): RawTensor {
  const bytes = new Uint8Array((values.length / 32) * 34);
  for (let block = 0; block < values.length / 32; block++) {
    bytes.set([0, 0x3c], block * 34);
    bytes.set(new Uint8Array(values.buffer, block * 32, 32), block * 34 + 2);
  }
  return { type: 'Q8_0', shape: [rows, columns], bytes };
}

const sample = writeGguf(
  new Map([
    ['a.weight', floats(3, 2)],
    ['b', floats(5)],
    ['c.weight', q80(Int8Array.from({ length: 64 }, (_, at) => at - 32), 2, 32)],
  ]),
  { 'general.architecture': 'flux', n: 7, words: ['one', 'two'], yes: true, eps: { f32: 0.5 } },
); // prettier-ignore

describe('readGguf', () => {
  it('reads tensors rows first, and properties', async () => {
    const checkpoint = await open(sample);
    expect([...checkpoint.tensors.keys()]).toEqual(['a.weight', 'b', 'c.weight']);
    expect(checkpoint.tensors.get('a.weight')).toMatchObject({ shape: [3, 2], dtype: 'f32', fileDType: 'F32' });
    expect([...(await checkpoint.readF32('a.weight'))]).toEqual([0, 1, 2, 3, 4, 5]);
    expect([...(await checkpoint.readF32('b'))]).toEqual([0, 1, 2, 3, 4]);
    expect((await checkpoint.readF32('c.weight'))[33]).toBe(1);
    expect(Object.fromEntries(checkpoint.properties!)).toEqual({
      'general.architecture': 'flux',
      n: 7,
      yes: true,
      eps: 0.5,
    });
  });

  it.each([1, 8, 32, 4096])('keeps to an alignment of %d', async (alignment) => {
    const tensors = new Map([
      ['a', floats(3, 1)],
      ['b', floats(2, 2)],
    ]);
    const checkpoint = await open(writeGguf(tensors, { 'general.alignment': alignment }, alignment));
    expect([...(await checkpoint.readF32('b'))]).toEqual([0, 1, 2, 3]);
  });

  it('refuses every file that was cut short', async () => {
    // The last tensor's 68 bytes are padded.
    for (let length = 4; length < sample.length - 28; length++) {
      const error = await errorOf(sample.slice(0, length));
      expect(error.code, `${length} bytes`).toMatch(/^F2C(413|418|410)$/);
      expect(error.format()).toContain('made.gguf');
    }
  });

  it('says which types it reads', async () => {
    const tensors = new Map([
      ['a', floats(2, 256)],
      ['blk.0.b', { type: 'Q5_K', shape: [1, 256], bytes: new Uint8Array(176) }],
    ]);
    const error = await errorOf(writeGguf(tensors));
    expect(error).toMatchObject({ code: 'F2C419', detail: { where: ['made.gguf', 'blk.0.b'] } });
    expect(error.format()).toMatch(/Q5_K[^]*Q4_K, Q6_K/);
    expect(await errorOf(writeGguf(new Map([['a', { ...floats(1, 1), type: '99' }]])))).toMatchObject({
      code: 'F2C419',
      message: expect.stringContaining('number 99') as string,
    });
  });

  it.each<readonly [string, ReadonlyMap<string, RawTensor>, Readonly<Record<string, GgufProperty>>, string]>([
    ['blocks across rows', new Map([['a', { type: 'Q8_0', shape: [2, 16], bytes: new Uint8Array(34) }]]), {}, 'F2C413'],
    ['a vector of blocks', new Map([['a', { type: 'Q8_0', shape: [32], bytes: new Uint8Array(34) }]]), {}, 'F2C413'],
    ['a size beyond the file', new Map([['a', { ...floats(2, 2), shape: [2 ** 40, 2 ** 12] }]]), {}, 'F2C413'],
    ['a size beyond 2^53', new Map([['a', { ...floats(2, 2), shape: [2 ** 40, 2 ** 40] }]]), {}, 'F2C413'],
    ['an alignment that is none', new Map([['a', floats(2)]]), { 'general.alignment': 24 }, 'F2C418'],
    ['heads that do not fit', new Map([['blk.0.attn_q.weight', floats(6, 2)]]), { 'general.architecture': 'llama', 'llama.attention.head_count': 2 }, 'F2C418'],
    ['another language model', new Map([['blk.0.attn_q.weight', floats(6, 2)]]), { 'general.architecture': 'gemma' }, 'F2C418'],
  ])('refuses %s', async (_, tensors, properties, code) => {
    expect(await errorOf(writeGguf(tensors, properties))).toMatchObject({ code });
  }); // prettier-ignore

  it('refuses other versions, counts beyond reason, a tensor twice and data over each other', async () => {
    const changed = (change: (view: DataView) => void, file = sample): Promise<Flux2cError> => {
      const copy = file.slice();
      change(new DataView(copy.buffer));
      return errorOf(copy);
    };
    expect(await changed((view) => view.setUint32(4, 1, true))).toMatchObject({
      code: 'F2C418',
      detail: { found: '1' },
    });
    expect(await changed((view) => view.setUint32(4, 3, false))).toMatchObject({ code: 'F2C418' });
    for (const at of [8, 16]) {
      expect(await changed((view) => view.setBigUint64(at, 2n ** 63n, true))).toMatchObject({ code: 'F2C418' });
      expect(await changed((view) => view.setBigUint64(at, 2n ** 40n, true))).toMatchObject({ code: 'F2C418' });
    }
    // Names of one byte: the second becomes the first, its offset 0.
    const two = writeGguf(new Map([['a', floats(1)], ['b', floats(1)]])); // prettier-ignore
    const second = two.indexOf('b'.charCodeAt(0), 24);
    expect(await changed((view) => view.setUint8(second, 'a'.charCodeAt(0)), two)).toMatchObject({ code: 'F2C404' });
    const offset = second + 1 + 4 + 8 + 4;
    expect(await changed((view) => view.setBigUint64(offset, 0n, true), two)).toMatchObject({ code: 'F2C413' });
  });
});

describe('the text encoder', () => {
  /** Rows of queries as `LlamaModel.permute` of llama.cpp's converter orders them: halves of a head in turn. */
  const permuted = (rows: number, head: number): readonly number[] =>
    Array.from({ length: rows }, (_, row) => {
      const inner = row % head;
      return row - inner + (inner % 2) * (head / 2) + Math.floor(inner / 2);
    });
  const properties = { 'llama.attention.head_count': 4, 'llama.attention.head_count_kv': 2 };
  const tensors = new Map([
    ['token_embd.weight', floats(3, 32)],
    ['blk.0.attn_q.weight', q80(Int8Array.from(permuted(24, 6).flatMap((row) => new Array<number>(32).fill(row))), 24, 32)],
    ['blk.0.attn_k.weight', { ...floats(12, 2), bytes: new Uint8Array(Float32Array.from(permuted(12, 6).flatMap((row) => [row, -row])).buffer) }],
    ['blk.0.attn_v.weight', floats(12, 2)],
  ]); // prettier-ignore

  it.each(['llama', 'mistral3'])('has the rows of queries and keys of transformers (%s)', async (architecture) => {
    const heads: Readonly<Record<string, GgufProperty>> = Object.fromEntries(
      Object.entries(properties).map(([key, value]) => [key.replace('llama', architecture), value]),
    );
    const checkpoint = await open(writeGguf(tensors, { 'general.architecture': architecture, ...heads }));
    const table = canonicalizeTextEncoder(checkpoint);
    expect([...table.keys()]).toEqual([
      'model.embed_tokens.weight',
      'model.layers.0.self_attn.q_proj.weight',
      'model.layers.0.self_attn.k_proj.weight',
      'model.layers.0.self_attn.v_proj.weight',
    ]);
    expect(table.get('model.layers.0.self_attn.q_proj.weight')?.encoding?.text).toBe('q8_0');
    const queries = await checkpoint.readF32('blk.0.attn_q.weight');
    expect([...queries].filter((_, at) => at % 32 === 7)).toEqual([...Array(24).keys()]);
    const keys = await checkpoint.readF32('blk.0.attn_k.weight');
    expect([...keys].filter((_, at) => at % 2 === 0)).toEqual([...Array(12).keys()]);
    const { packed } = checkpoint.tensors.get('blk.0.attn_q.weight')!;
    for (const [first, count] of [[0, 24], [5, 1], [4, 9], [23, 1], [6, 6]] as const) {
      const rows = decodeRows(packed!.encoding!, count, 32, await packed!.readEncodedRows(first, count));
      expect([...rows].filter((_, at) => at % 32 === 0)).toEqual(Array.from({ length: count }, (_, row) => first + row));
    } // prettier-ignore
    expect([...(await checkpoint.readF32('blk.0.attn_v.weight'))].slice(0, 3)).toEqual([0, 1, 2]);
  });

  it('leaves those of Qwen3 as they are', async () => {
    const checkpoint = await open(writeGguf(tensors, { 'general.architecture': 'qwen3' }));
    const queries = await checkpoint.readF32('blk.0.attn_q.weight');
    expect([...queries].filter((_, at) => at % 32 === 7)).toEqual(permuted(24, 6));
  });
});
