import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { memorySource, readCheckpoint } from '../frontend/checkpoint/index.js';
import { readSafetensors } from '../test/read-safetensors.js';
import { canEncode, encodeRows } from './encode-rows.js';
import { decodeRows } from './encoded-rows.js';
import { encodingForms, findEncoding, parseEncoding } from './encoding.js';

const made = ['int8', 'int4:16', 'int4:64', 'int4z:32', 'nf4:64', 'nf4:16', 'fp4:32', 'f8e4m3', 'f8e5m2'];

/** Between -1 and 1, most of them small. */
function numbers(count: number): Float32Array {
  let state = 1;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return (state / 2 ** 31) ** 3;
  });
}

/** The numbers that all codes of an encoding stand for with a scale of 1. */
function codeValues(text: string): readonly number[] {
  const { code, bits } = parseEncoding(text);
  if (code.kind === 'table') return code.values;
  return Array.from({ length: 2 ** bits }, (_, bitsOfCode) => {
    if (code.kind === 'integer') return bitsOfCode - code.zero;
    const row = new Map([['codes', Uint8Array.of(bitsOfCode, 0, 0, 0)], ['scales', new Uint8Array(Float32Array.of(1).buffer)]] as const); // prettier-ignore
    return decodeRows(parseEncoding(text), 1, 4, row)[0]!;
  }).filter(Number.isFinite);
}

describe.each(made)('%s', (text) => {
  const encoding = parseEncoding(text);
  const [rows, columns] = [7, 192];

  it('takes the nearest code of the group', () => {
    const values = numbers(rows * columns);
    const fields = encodeRows(encoding, rows, columns, values);
    const back = decodeRows(encoding, rows, columns, fields);
    const { group = columns, scale, hasZeros } = encoding;
    const stored = fields.get('scales')!;
    const scales = scale.kind === 'plain' && scale.dtype === 'f32' ? new Float32Array(stored.slice().buffer) : Float32Array.from(new Uint16Array(stored.slice().buffer), (bits) => new Float32Array(Uint32Array.of(bits << 16).buffer)[0]!); // prettier-ignore
    const own = codeValues(text);
    values.forEach((value, at) => {
      const place = Math.floor(at / group);
      const zero = hasZeros ? fields.get('zeros')![place]! : 0;
      const nearest = Math.min(...own.map((code) => Math.abs(scales[place]! * (code - zero) - value)));
      // Quotients and products are rounded to f32.
      expect(Math.abs(back[at]! - value)).toBeLessThanOrEqual(nearest + Math.abs(value) * 2 ** -22);
    });
  });

  it('makes zeros of zeros and of numbers next to nothing', () => {
    const values = new Float32Array(2 * columns).fill(1e-38, columns);
    const back = decodeRows(encoding, 2, columns, encodeRows(encoding, 2, columns, values));
    expect(back.every((value) => Math.abs(value) <= 1e-38)).toBe(true);
  });

  it.each([NaN, Infinity, -Infinity])('makes the whole group of %d NaN, and no other', (bad) => {
    const values = numbers(2 * columns);
    values[5] = bad;
    const back = decodeRows(encoding, 2, columns, encodeRows(encoding, 2, columns, values));
    const { group = columns } = encoding;
    expect(back.subarray(0, group).every(Number.isNaN)).toBe(true);
    expect(back.subarray(group).every(Number.isFinite)).toBe(true);
  });
});

it('makes the codes of bitsandbytes', async () => {
  const url = (file: string): URL => new URL(`../test/golden/quant/${file}.safetensors`, import.meta.url);
  const original = Float32Array.from(readSafetensors(url('original')).tensor('weight').values);
  for (const [file, text] of [['nf4_block64', 'nf4:64'], ['fp4_block64', 'fp4:64']] as const) {
    const checkpoint = await readCheckpoint(memorySource(file, readFileSync(url(file))));
    const fields = await checkpoint.tensors.get('weight')!.packed!.readEncodedRows(0, 24);
    expect(encodeRows(parseEncoding(text), 24, 128, original)).toEqual(fields);
  }
}); // prettier-ignore

it('chooses a better scale of integers than the largest number alone would give', () => {
  const values = numbers(64 * 64);
  const errorOf = (text: string): number => {
    const back = decodeRows(parseEncoding(text), 64, 64, encodeRows(parseEncoding(text), 64, 64, values));
    return back.reduce((sum, value, at) => sum + (value - values[at]!) ** 2, 0);
  };
  let plain = 0;
  for (let start = 0; start < values.length; start += 64) {
    const group = values.subarray(start, start + 64);
    const scale = Math.max(...group.map(Math.abs)) / 7;
    for (const value of group) plain += (scale * Math.round(value / scale) - value) ** 2;
  }
  expect(errorOf('int4:64')).toBeLessThan(0.85 * plain);
  expect(errorOf('int4z:64')).toBeLessThan(0.95 * plain);
});

it('makes what is no format of GGUF', () => {
  for (const form of encodingForms) {
    const encoding = findEncoding(form.replace('GROUP', '64'))!;
    expect(canEncode(encoding), form).toBe(!/^q\d/.test(form));
    if (!canEncode(encoding)) {
      expect(() => encodeRows(encoding, 1, 256, new Float32Array(256))).toThrow(expect.objectContaining({ code: 'F2C172' })); // prettier-ignore
    }
  }
});
