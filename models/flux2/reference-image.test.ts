import { describe, expect, it } from 'vitest';
import { readSafetensors } from '../../test/read-safetensors.js';
import { resizeLanczos } from './lanczos.js';
import { readImage } from './node/image-files.js';
import type { RgbImage } from './picture.js';
import { prepareReference, referenceGeometry } from './reference-image.js';

/** The picture that Pillow 12.3 was given to make the values below. */
function formulaImage(width: number, height: number): RgbImage {
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) data.set([x * 37 + y * 101, x * x * 3 + y * 7, (x ^ y) * 29], (y * width + x) * 3);
  }
  return { width, height, data };
}

describe('resizeLanczos', () => {
  it('gives the bytes of Pillow, both ways and one way', () => {
    expect([...resizeLanczos(formulaImage(11, 7), 4, 3).data]).toEqual([
      101, 8, 20, 153, 39, 108, 115, 141, 174, 120, 156, 99, 136, 24, 75, 112, 56, 107, 134, 155, 112, 123, 90, 81, 130,
      40, 176, 130, 72, 93, 134, 171, 42, 130, 106, 136,
    ]);
    expect([...resizeLanczos(formulaImage(5, 4), 3, 4).data]).toEqual([
      12, 0, 9, 74, 12, 58, 136, 41, 107, 113, 7, 15, 175, 19, 55, 237, 48, 113, 228, 14, 76, 73, 26, 16, 68, 55, 111,
      59, 21, 82, 121, 33, 13, 183, 62, 117,
    ]);
    expect([...resizeLanczos(formulaImage(9, 16), 9, 5).data.slice(0, 18)]).toEqual([
      89, 8, 30, 136, 11, 33, 103, 20, 40, 132, 35, 43, 167, 56, 159, 129, 83, 162,
    ]);
  });

  it('gives the bytes of Pillow for a photograph-sized picture', () => {
    const { data } = resizeLanczos(formulaImage(2000, 1500), 1182, 887);
    const sums = [0, 0, 0];
    let weighted = 0;
    data.forEach((byte, i) => {
      sums[i % 3]! += byte;
      weighted += byte * (i % 997);
    });
    expect(sums).toEqual([133674866, 133630767, 133669426]);
    expect(weighted).toBe(199672562950);
  });
});

describe('referenceGeometry', () => {
  it('keeps small pictures and crops them in the middle', () => {
    expect(referenceGeometry(90, 70, 16)).toEqual({
      scaled: { width: 90, height: 70 },
      crop: { left: 5, top: 3, width: 80, height: 64 },
    });
    expect(referenceGeometry(1024, 1024, 16).scaled).toEqual({ width: 1024, height: 1024 });
  });

  it('scales large ones down to a megapixel without stretching', () => {
    const { scaled, crop } = referenceGeometry(4000, 3000, 16);
    expect(scaled).toEqual({ width: 1182, height: 886 });
    expect(crop).toEqual({ left: 7, top: 3, width: 1168, height: 880 });
    expect(scaled.width * scaled.height).toBeLessThanOrEqual(1024 * 1024);
  });

  it('refuses what the model was not made for', () => {
    expect(() => referenceGeometry(63, 500, 16)).toThrowError(/too small/);
    expect(() => referenceGeometry(100, 801, 16)).toThrowError(/too long/);
  });
});

describe('prepareReference', () => {
  const golden = readSafetensors('test/golden/pipeline-tiny/i2i_64x64_2refs_4steps.safetensors');

  it.each([0, 1])('gives reference %i of the pipeline to the last bit', async (k) => {
    const want = golden.tensor(`mid.ref.${k}.image`);
    const image = await readImage(`test/golden/pipeline-tiny/i2i_64x64_2refs_4steps.ref${k}.png`);
    const got = prepareReference(image, 16);
    expect([1, 3, got.height, got.width]).toEqual(want.shape);
    expect(got.data).toEqual(Float32Array.from(want.values));
  });

  it('orders values by pixel on request', () => {
    const image = formulaImage(64, 64);
    const last = prepareReference(image, 16, 'nhwc').data;
    const first = prepareReference(image, 16, 'nchw').data;
    expect([first[70], first[4096 + 70], first[8192 + 70]]).toEqual([...last.slice(210, 213)]);
  });
});
