import { describe, expect, it } from 'vitest';
import { parseStrictJson } from '../../frontend/checkpoint/strict-json.js';
import { decodeNumbers, decodeWeights } from './weight-entries.js';

const headerSha256 = '0'.repeat(64);
const files = [{ path: 'w.safetensors', byteLength: 1024, modified: 0, headerSha256 }];
const numbers = { dtype: 'BF16', shape: [4, 64], parts: [[0, 512, 512]] };
// 4 rows of 64: 32 bytes of codes and a scale of 4 bytes each.
const encoded = {
  encoding: 'nf4:64',
  dtype: 'BF16',
  shape: [4, 64],
  arrays: { codes: [0, 64, 128], scales: [0, 192, 16] },
};

function decode(entry: object, with_ = decodeWeights): unknown {
  const text = JSON.stringify({ files, components: { transformer: { w: entry } } });
  const json = parseStrictJson(new TextEncoder().encode(text), 'made', 'F2C530', { depth: 16, values: 1000 });
  return with_(json, ['made']);
}

describe('weights of a manifest', () => {
  it('are numbers or arrays of an encoding', () => {
    expect(decode(numbers)).toMatchObject({ components: new Map([['transformer', new Map([['w', numbers]])]]) });
    const arrays = new Map(Object.entries(encoded.arrays));
    const expected = new Map([['transformer', new Map([['w', { ...encoded, arrays }]])]]);
    expect(decode(encoded)).toMatchObject({ components: expected });
  });

  it('are numbers alone up to version 4', () => {
    expect(() => decode(numbers, decodeNumbers)).not.toThrow();
    expect(() => decode(encoded, decodeNumbers)).toThrow(expect.objectContaining({ code: 'F2C530' }));
  });

  const { codes, scales } = encoded.arrays;
  it.each<readonly [string, object, RegExp]>([
    ['of an unknown encoding', { encoding: 'int3' }, /q4_k/],
    ['of another group', { encoding: 'nf4:32' }, /32 bytes/],
    ['of another encoding', { encoding: 'int4z:64' }, /8 bytes/],
    ['of an unknown type of numbers', { dtype: 'BF17' }, /a type of weights/],
    ['of fewer rows', { shape: [3, 64] }, /96 bytes/],
    ['of no rows', { shape: [0, 64] }, /rows and columns/],
    ['of rows that are no whole groups', { shape: [4, 96] }, /rows and columns/],
    ['of no matrix', { shape: [4, 1, 64] }, /rows and columns/],
    ['without scales', { arrays: { codes } }, /codes, scales/],
    [
      'with an array that is not of the encoding',
      { arrays: { codes, scales, zeros: [0, 0, 4] } },
      /only codes, scales/,
    ],
    ['with codes that are too short', { arrays: { codes: [0, 64, 127], scales } }, /128 bytes/],
    ['in a file that there is not', { arrays: { codes, scales: [1, 192, 16] } }, /a file below 1/],
    ['beyond the end of the file', { arrays: { codes, scales: [0, 1010, 16] } }, /the 1024 bytes/],
    ['that say where numbers are, too', { parts: [[0, 0, 512]] }, /only encoding/],
  ])('are refused: %s', (_, changed, expected) => {
    expect(() => decode({ ...encoded, ...changed })).toThrow(
      expect.objectContaining({
        code: 'F2C530',
        detail: expect.objectContaining({ expected: expect.stringMatching(expected) as unknown }) as unknown,
      }),
    );
  });

  it('are refused when numbers are not inside of their file', () => {
    const beyond = { ...numbers, parts: [[0, 1000, 512]] };
    expect(() => decode(beyond)).toThrow(expect.objectContaining({ code: 'F2C530' }));
    expect(() => decode(beyond, decodeNumbers)).toThrow(expect.objectContaining({ code: 'F2C530' }));
  });
});
