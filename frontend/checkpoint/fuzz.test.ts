import { describe, expect, it } from 'vitest';
import { Flux2cError } from '../../ir/diagnostics.js';
import { canonicalizeAutoencoder } from './autoencoder-layout.js';
import { memorySource } from './byte-source.js';
import { joinFiles } from './checkpoint.js';
import { detectAutoencoder, detectTextEncoder, detectTransformer } from './detect.js';
import { canonicalizeTransformer } from './flux2-layout.js';
import {
  flipBits,
  judge,
  type Outcomes,
  pick,
  type Random,
  randomNumbers,
  watchedSource,
} from '../../test/mutations.js';
import { readSafetensorsHeader, readTensorF32, type SafetensorsFile } from './safetensors.js';
import { encodeSafetensors, type TensorData } from './safetensors-writer.js';
import { checkShards, parseShardIndex } from './shard-index.js';
import { canonicalizeTextEncoder } from './text-encoder-layout.js';

const lies = ['-1', '0', '1', '3', '255', '1e3', '1e999', '-0', '2147483648', '4294967296', '9007199254740993', 'null'];
const words = ['{', '}', '[', ']', '"', ',', ':', '\\', '\\u', '"__proto__"', '"dtype"', '"F4"', 'true', '\u0000', 'é'];

/** Replaces one of the numbers of a text by a lie. */
function lieAboutNumber(random: Random, text: string): string {
  const numbers = [...text.matchAll(/\d+/g)];
  if (numbers.length === 0) return text;
  const number = pick(random, numbers);
  return text.slice(0, number.index) + pick(random, lies) + text.slice(number.index + number[0].length);
}

/** Puts a piece of the text, or a word of JSON, somewhere into it. */
function splice(random: Random, text: string): string {
  const from = random(text.length);
  const piece = random(2) === 0 ? pick(random, words) : text.slice(from, from + random(60));
  const at = random(text.length);
  return text.slice(0, at) + piece + text.slice(at + random(2) * random(20));
}

function mutateText(random: Random, text: string): string {
  let mutated = text;
  for (let count = 1 + random(3); count > 0; count--) {
    mutated = random(2) === 0 ? lieAboutNumber(random, mutated) : splice(random, mutated);
  }
  return mutated;
}

function mutateFile(random: Random, file: Uint8Array): Uint8Array {
  const headerEnd = 8 + Number(new DataView(file.buffer).getBigUint64(0, true));
  switch (random(5)) {
    case 0:
      return file.slice(0, random(file.length));
    case 1:
      return flipBits(random, file, headerEnd);
    case 2: {
      const lying = file.slice();
      const length = random(2) === 0 ? BigInt(random(file.length * 2)) : BigInt(random(2 ** 32)) << BigInt(random(32));
      new DataView(lying.buffer).setBigUint64(0, length, true);
      return lying;
    }
    default: {
      // The length field follows, so that what is inside the header is reached.
      const text = mutateText(random, new TextDecoder().decode(file.subarray(8, headerEnd)));
      const header = new TextEncoder().encode(text);
      const mutated = new Uint8Array(8 + header.length + file.length - headerEnd);
      new DataView(mutated.buffer).setBigUint64(0, BigInt(header.length), true);
      mutated.set(header, 8);
      mutated.set(file.subarray(headerEnd), 8 + header.length);
      return mutated;
    }
  }
}

function makeFile(names: readonly string[]): Uint8Array<ArrayBuffer> {
  const dtypes = ['f32', 'bf16', 'u8', 'i64'] as const;
  const width = { f32: 4, bf16: 2, u8: 1, i64: 8 };
  const tensors = names.map((name, index): [string, TensorData] => {
    const dtype = dtypes[index % dtypes.length] ?? 'f32';
    return [name, { dtype, shape: [3, 2], data: new Uint8Array(6 * width[dtype]) }];
  });
  return encodeSafetensors(new Map(tensors), new Map([['format', 'pt']]));
}

const files = [
  makeFile(['a', 'b.weight', 'c']),
  makeFile(['img_in.weight', 'double_blocks.0.img_attn.qkv.weight', 'final_layer.adaLN_modulation.1.weight']),
  makeFile(['model.embed_tokens.weight', 'model.layers.0.self_attn.q_proj.weight', 'model.norm.weight']),
  makeFile(['encoder.conv_in.weight', 'decoder.up.0.block.0.conv1.weight', 'decoder.up.3.upsample.conv.bias']),
  makeFile([]),
];

describe('10,000 mutations of a header', () => {
  it('are read or refused with an error that names the file', async () => {
    const outcomes: Outcomes = { read: 0, refused: new Map() };
    for (let seed = 0; seed < 10_000; seed++) {
      const random = randomNumbers(seed);
      const bytes = mutateFile(random, pick(random, files));
      await judge(outcomes, seed, async () => {
        const file = await readSafetensorsHeader(watchedSource(bytes));
        for (const tensor of file.tensors.values()) {
          await readTensorF32(file.source, tensor).catch((error: unknown) => {
            if (!(error instanceof Flux2cError) || error.code !== 'F2C414') throw error;
          });
        }
      });
    }
    expect(outcomes.read).toBeGreaterThan(300);
    for (const code of ['F2C410', 'F2C411', 'F2C412', 'F2C413']) {
      expect(outcomes.refused.get(code), code).toBeGreaterThan(300);
    }
  }, 20_000);
});

describe('5,000 mutations of an index', () => {
  it('are read or refused', async () => {
    const shards = new Map<string, SafetensorsFile>();
    const weightMap: Record<string, string> = {};
    for (const [shard, names] of [
      ['model-1.safetensors', ['a', 'b']],
      ['model-2.safetensors', ['c']],
    ] as const) {
      shards.set(shard, await readSafetensorsHeader(memorySource(shard, makeFile(names))));
      for (const name of names) weightMap[name] = shard;
    }
    const text = JSON.stringify({ metadata: { total_size: 123 }, weight_map: weightMap }, undefined, 1);
    const outcomes: Outcomes = { read: 0, refused: new Map() };
    for (let seed = 0; seed < 5_000; seed++) {
      const random = randomNumbers(seed);
      const mutated = new TextEncoder().encode(
        random(4) > 0 ? mutateText(random, text) : text.slice(0, random(text.length)),
      );
      const bytes = random(4) === 0 ? flipBits(random, mutated, mutated.length) : mutated;
      await judge(outcomes, seed, async () => {
        const index = parseShardIndex(bytes, 'model.safetensors.index.json');
        for (const shard of index.shards) expect(shard).not.toMatch(/[/\\]|^\.\.?$/);
        checkShards(index, shards);
      });
    }
    expect(outcomes.read).toBeGreaterThan(100);
    expect(outcomes.refused.get('F2C420')).toBeGreaterThan(1000);
    expect(outcomes.refused.get('F2C421')).toBeGreaterThan(30);
  }, 10_000);
});

describe('2,000 mutations of names and shapes', () => {
  it('are renamed and measured, or refused', async () => {
    const outcomes: Outcomes = { read: 0, refused: new Map() };
    for (let seed = 0; seed < 2_000; seed++) {
      const random = randomNumbers(seed);
      const file = await readSafetensorsHeader(memorySource('model.safetensors', pick(random, files)));
      const tensors = new Map(
        [...file.tensors.values()].map((tensor) => {
          const name = splice(random, lieAboutNumber(random, tensor.name));
          const shape = Array.from({ length: random(5) }, () => pick(random, [0, 1, 2, 3, 2 ** 31]));
          return [name, { ...tensor, name, shape }];
        }),
      );
      const checkpoint = joinFiles('model.safetensors', [{ ...file, tensors }]);
      await judge(outcomes, seed, async () => void detectTransformer(canonicalizeTransformer(checkpoint)));
      await judge(
        outcomes,
        seed,
        async () => void detectTextEncoder(canonicalizeTextEncoder(checkpoint), { headDim: 1 }),
      );
      await judge(outcomes, seed, async () => void detectAutoencoder(canonicalizeAutoencoder(checkpoint)));
    }
    expect(outcomes.refused.get('F2C432')).toBeGreaterThan(3000);
  }, 10_000);
});
