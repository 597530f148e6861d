import { describe, expect, it } from 'vitest';
import { readSafetensors } from '../../test/read-safetensors.js';
import { packLatents, patchifyLatents, unpackLatents, unpatchifyLatents, type LatentShape } from './latents.js';

const floats = (values: Float64Array): Float32Array => Float32Array.from(values);
const shapeOf = ([batch, channels, height, width]: readonly number[]): LatentShape => ({
  batch: batch!,
  channels: channels!,
  height: height!,
  width: width!,
});

describe('patches', () => {
  it('hold channel, row and column in the order of the encoder', () => {
    const golden = readSafetensors('test/golden/vae-tiny/cases/encode_b2_48x80.safetensors');
    const mode = golden.tensor('out.mode');
    const patchified = golden.tensor('out.patchified');
    expect(patchifyLatents(floats(mode.values), shapeOf(mode.shape))).toEqual(floats(patchified.values));
  });

  it('are undone as before the decoder', () => {
    const golden = readSafetensors('test/golden/vae-tiny/cases/decode_b2_48x80.safetensors');
    const patches = golden.tensor('out.denormalized');
    const plain = golden.tensor('out.unpatchified');
    expect(unpatchifyLatents(floats(patches.values), shapeOf(patches.shape))).toEqual(floats(plain.values));
  });

  it('need even sides and a multiple of four channels', () => {
    expect(() => patchifyLatents(new Float32Array(6), { batch: 1, channels: 1, height: 2, width: 3 })).toThrowError(
      /patches/,
    );
    expect(() => unpatchifyLatents(new Float32Array(6), { batch: 1, channels: 6, height: 1, width: 1 })).toThrowError(
      /patches/,
    );
  });
});

describe('tokens', () => {
  const shape = { batch: 2, channels: 3, height: 2, width: 2 };
  const values = Float32Array.from({ length: 24 }, (_, i) => i);

  it('hold the channels of one position side by side', () => {
    const tokens = packLatents(values, shape);
    expect([...tokens.slice(0, 6)]).toEqual([0, 4, 8, 1, 5, 9]);
    expect([...tokens.slice(12, 15)]).toEqual([12, 16, 20]);
    expect(unpackLatents(tokens, shape)).toEqual(values);
  });

  it('of another number are refused', () => {
    expect(() => packLatents(values, { ...shape, width: 3 })).toThrowError(/another shape/);
    expect(() => unpackLatents(values, { ...shape, batch: 1 })).toThrowError(/another shape/);
  });
});
