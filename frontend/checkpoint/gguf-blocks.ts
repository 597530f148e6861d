/**
 * The blocks of GGUF files in the arrays of `ir/encoding.ts`. The layouts are those of `ggml-common.h` and `ggml-quants.c`: a block has its
 * scale in an f16, then the numbers' upper bits, where there are more than 4, and their lower 4, of which a byte has two that are
 * 16, 32 or 64 numbers apart.
 */
import { byteSize } from '../../ir/dtype.js';
import type { EncodedRows } from '../../ir/encoded-rows.js';
import { encodedFields, type Encoding, type FieldName } from '../../ir/encoding.js';

/**
 * @param columns numbers of a row: whole blocks
 * @param blocks of `rows` rows
 */
export function repackBlocks(encoding: Encoding, rows: number, columns: number, blocks: Uint8Array): EncodedRows {
  const fields = new Map<FieldName, Uint8Array>();
  for (const { name, dtype, columns: width } of encodedFields(encoding, columns)) {
    fields.set(name, new Uint8Array(rows * width * byteSize(dtype)));
  }
  const repack = repackers[encoding.text];
  if (repack === undefined) throw new Error(`internal: ${encoding.text} is no type of blocks`);
  repack(blocks, (name) => fields.get(name)!);
  return fields;
}

type Repack = (blocks: Uint8Array, field: (name: FieldName) => Uint8Array) => void;

const repackers: Readonly<Record<string, Repack>> = {
  q4_0: (blocks, field) => repack32(blocks, field, ['scales'], false),
  q4_1: (blocks, field) => repack32(blocks, field, ['scales', 'offsets'], false),
  q5_0: (blocks, field) => repack32(blocks, field, ['scales'], true),
  q5_1: (blocks, field) => repack32(blocks, field, ['scales', 'offsets'], true),
  q8_0: repackQ80,
  q4_k: repackQ4K,
  q6_k: repackQ6K,
};

/** Blocks of 32 numbers: factors in f16, a fifth bit of all numbers in 4 bytes, 16 bytes of which each has numbers j and j + 16. */
function repack32(
  blocks: Uint8Array,
  field: (name: FieldName) => Uint8Array,
  factors: readonly FieldName[],
  hasHigh: boolean,
): void {
  const codes = field('codes');
  const high = hasHigh ? field('high') : undefined;
  const into = factors.map(field);
  for (let at = 0, block = 0; at < blocks.length; block++) {
    for (const factor of into) {
      factor[2 * block] = blocks[at++]!;
      factor[2 * block + 1] = blocks[at++]!;
    }
    if (high !== undefined) for (let byte = 0; byte < 4; byte++) high[4 * block + byte] = blocks[at++]!;
    splitHalves(blocks, at, 16, codes, 16 * block);
    at += 16;
  }
}

/** Bytes whose lower halves are numbers j and whose upper halves are numbers j + count: neighbours come together. */
function splitHalves(from: Uint8Array, start: number, count: number, into: Uint8Array, place: number): void {
  for (let pair = 0; pair < count / 2; pair++) {
    const first = from[start + 2 * pair]!;
    const second = from[start + 2 * pair + 1]!;
    into[place + pair] = (first & 15) | (second << 4);
    into[place + count / 2 + pair] = (first >>> 4) | (second & 0xf0);
  }
}

function repackQ80(blocks: Uint8Array, field: (name: FieldName) => Uint8Array): void {
  const [codes, scales] = [field('codes'), field('scales')];
  for (let at = 0, block = 0; at < blocks.length; at += 34, block++) {
    scales[2 * block] = blocks[at]!;
    scales[2 * block + 1] = blocks[at + 1]!;
    // Two's complement with the sign bit turned is the number and 128.
    for (let inner = 0; inner < 32; inner++) codes[32 * block + inner] = blocks[at + 2 + inner]! ^ 0x80;
  }
}

/** 256 numbers: f16 of scales and of offsets, 8 of each in 6 bits in 12 bytes, and 4 times 32 bytes with numbers j and j + 32. */
function repackQ4K(blocks: Uint8Array, field: (name: FieldName) => Uint8Array): void {
  const [codes, scales, offsets] = [field('codes'), field('scales'), field('offsets')];
  const [supers, superOffsets] = [field('supers'), field('super_offsets')];
  for (let at = 0, block = 0; at < blocks.length; at += 144, block++) {
    for (let byte = 0; byte < 2; byte++) {
      supers[2 * block + byte] = blocks[at + byte]!;
      superOffsets[2 * block + byte] = blocks[at + 2 + byte]!;
    }
    const packed = at + 4;
    for (let group = 0; group < 4; group++) {
      const [scale, offset] = [blocks[packed + group]!, blocks[packed + 4 + group]!];
      const rest = blocks[packed + 8 + group]!;
      scales[8 * block + group] = scale & 63;
      offsets[8 * block + group] = offset & 63;
      // The upper two bits of the later four stand over those of the first four.
      scales[8 * block + 4 + group] = (rest & 15) | ((scale >>> 6) << 4);
      offsets[8 * block + 4 + group] = (rest >>> 4) | ((offset >>> 6) << 4);
    }
    for (let part = 0; part < 4; part++) splitHalves(blocks, at + 16 + 32 * part, 32, codes, 128 * block + 32 * part);
  }
}

/**
 * 256 numbers: 128 bytes of lower bits, 64 of upper two, 16 scales in i8, an f16. In each half of the numbers a byte of lower bits has
 * numbers j and j + 64 of it, and one of upper bits j, j + 32, j + 64 and j + 96.
 */
function repackQ6K(blocks: Uint8Array, field: (name: FieldName) => Uint8Array): void {
  const [codes, high, scales, supers] = [field('codes'), field('high'), field('scales'), field('supers')];
  for (let at = 0, block = 0; at < blocks.length; at += 210, block++) {
    for (let half = 0; half < 2; half++) {
      splitHalves(blocks, at + 64 * half, 64, codes, 128 * block + 64 * half);
      const upper = at + 128 + 32 * half;
      for (let quarter = 0; quarter < 4; quarter++) {
        const shift = 2 * quarter;
        for (let four = 0; four < 8; four++) {
          let byte = 0;
          for (let inner = 0; inner < 4; inner++) {
            byte |= ((blocks[upper + 4 * four + inner]! >>> shift) & 3) << (2 * inner);
          }
          high[64 * block + 32 * half + 8 * quarter + four] = byte;
        }
      }
    }
    for (let group = 0; group < 16; group++) scales[16 * block + group] = blocks[at + 192 + group]! ^ 0x80;
    supers[2 * block] = blocks[at + 208]!;
    supers[2 * block + 1] = blocks[at + 209]!;
  }
}
