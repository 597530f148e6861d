import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  flipBits,
  judge,
  type Outcomes,
  pick,
  type Random,
  randomNumbers,
  watchedSource,
} from '../../test/mutations.js';
import { readRawSafetensors, writeGguf, writeRawSafetensors, type RawTensors } from '../../test/raw-files.js';
import { readCheckpoint } from './read-checkpoint.js';
import { canonicalizeTransformer } from './flux2-layout.js';
import { canonicalizeTextEncoder } from './text-encoder-layout.js';

const golden = new URL('../../test/golden/quant/', import.meta.url);
const raw = (file: string): RawTensors => readRawSafetensors(readFileSync(new URL(`${file}.safetensors`, golden)));
const blocks = raw('ggml_blocks');
const ofBlocks = (
  type: string,
  rows: number,
  columns: number,
): { type: string; shape: number[]; bytes: Uint8Array } => {
  const whole = blocks.get(`${type}.bytes`)!.bytes;
  return { type, shape: [rows, columns], bytes: whole.subarray(0, (whole.length * rows * columns) / (24 * 128)) };
};
const zeros = (type: string, ...shape: readonly number[]): { type: string; shape: readonly number[]; bytes: Uint8Array } => ({
  type,
  shape,
  bytes: new Uint8Array(shape.reduce((product, size) => product * size, type === 'F32' ? 4 : 1)),
}); // prettier-ignore

/** Every bit of these headers but those of the data. */
const ggufs = [
  writeGguf(new Map([['double_blocks.0.img_attn.qkv.weight', ofBlocks('Q8_0', 6, 32)], ['img_in.weight', ofBlocks('Q4_K', 2, 256)], ['b', zeros('F32', 3)]]), { 'general.architecture': 'flux', list: ['a', 'bc'] }),
  writeGguf(new Map([['token_embd.weight', ofBlocks('Q6_K', 2, 256)], ['blk.0.attn_q.weight', ofBlocks('Q4_0', 8, 32)], ['blk.0.attn_k.weight', zeros('F32', 4, 2)]]), { 'general.architecture': 'llama', 'llama.attention.head_count': 2, 'general.alignment': 32 }),
]; // prettier-ignore

function mutateGguf(random: Random, file: Uint8Array): Uint8Array {
  if (random(4) === 0) return file.slice(0, 4 + random(file.length - 4));
  if (random(2) === 0) return flipBits(random, file, 400);
  const lying = file.slice();
  const value = pick(random, [0n, 1n, 2n, 32n, 255n, 2n ** 31n, 2n ** 32n, 2n ** 53n, 2n ** 63n]);
  new DataView(lying.buffer).setBigUint64(4 + random(300), value, true);
  return lying;
}

describe('10,000 mutations of a GGUF file', () => {
  it('are read or refused with an error that names the file', async () => {
    const outcomes: Outcomes = { read: 0, refused: new Map() };
    for (let seed = 0; seed < 10_000; seed++) {
      const random = randomNumbers(seed);
      const file = pick(random, ggufs);
      // It is read as a GGUF file by its first bytes.
      const bytes = mutateGguf(random, file);
      bytes.set(file.subarray(0, 4));
      await judge(outcomes, seed, async () => {
        const checkpoint = await readCheckpoint(watchedSource(bytes));
        canonicalizeTransformer(checkpoint);
        canonicalizeTextEncoder(checkpoint);
        for (const name of checkpoint.tensors.keys()) {
          const values = await checkpoint.readF32(name);
          if (values.length > 8 * bytes.length) throw new Error(`${values.length} numbers`);
        }
      });
    }
    expect(outcomes.read).toBeGreaterThan(1000);
    for (const code of ['F2C413', 'F2C418', 'F2C419']) expect(outcomes.refused.get(code), code).toBeGreaterThan(100);
  }, 30_000);
});

describe('3,000 mutations of tensors with scales beside them', () => {
  const scale = { type: 'F32', shape: [], bytes: new Uint8Array(Float32Array.of(0.5).buffer) };
  const files: readonly RawTensors[] = [
    raw('nf4_block64'),
    raw('nf4_block64_double_quant'),
    new Map([['x.weight', zeros('F8_E4M3', 6, 4)], ['x.scale_weight', scale], ['y.weight', zeros('F8_E5M2', 6, 4)], ['y.weight_scale', zeros('F32', 6, 1)], ['scaled_fp8', zeros('F8_E4M3', 0)]]),
    new Map([['x.weight', zeros('I8', 6, 4)], ['x.SCB', zeros('F32', 6)], ['x.input_scale', scale]]),
  ]; // prettier-ignore

  const widths: Readonly<Record<string, number>> = { U8: 1, I8: 1, F8_E4M3: 1, F8_E5M2: 1, F16: 2, F32: 4 };

  it('are read or refused', async () => {
    const outcomes: Outcomes = { read: 0, refused: new Map() };
    for (let seed = 0; seed < 3_000; seed++) {
      const random = randomNumbers(seed);
      const tensors = new Map(pick(random, files));
      const name = pick(
        random,
        [...tensors.keys()].filter((key) => !key.startsWith('expected')),
      );
      const tensor = tensors.get(name)!;
      tensors.delete(name);
      if (random(8) > 0) {
        const type = random(3) === 0 ? pick(random, Object.keys(widths)) : tensor.type;
        const shape = random(2) === 0 ? tensor.shape : Array.from({ length: random(4) }, () => random(7));
        const bytes = new Uint8Array(shape.reduce((product, size) => product * size, widths[type]!));
        bytes.set(tensor.bytes.subarray(0, bytes.length));
        const text = name.includes('quant_state') && random(4) > 0;
        tensors.set(random(6) === 0 ? `${name}2` : name, { type, shape, bytes: text ? flipBits(random, bytes, bytes.length) : bytes }); // prettier-ignore
      }
      const file = writeRawSafetensors(tensors);
      await judge(outcomes, seed, async () => {
        const checkpoint = await readCheckpoint(watchedSource(file));
        for (const [key, { packed }] of checkpoint.tensors) if (packed !== undefined) await checkpoint.readF32(key);
      });
    }
    expect(outcomes.read).toBeGreaterThan(500);
    for (const code of ['F2C415', 'F2C416']) expect(outcomes.refused.get(code), code).toBeGreaterThan(100);
  }, 20_000);
});
