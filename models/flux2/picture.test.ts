import { describe, expect, it } from 'vitest';
import { readSafetensors } from '../../test/read-safetensors.js';
import { pictureFromDecoded } from './picture.js';

describe('pictureFromDecoded', () => {
  it.each(['t2i_64x64_4steps', 'i2i_64x64_2refs_4steps', 'klein_t2i_64x48_4steps', 'klein_cfg_48x64_3steps'])(
    'gives every byte of %s',
    (name) => {
      const golden = readSafetensors(`test/golden/pipeline-tiny/${name}.safetensors`);
      const [, , height, width] = golden.tensor('out.decoded').shape;
      const picture = pictureFromDecoded(Float32Array.from(golden.tensor('out.decoded').values), height!, width!);
      expect(picture).toMatchObject({ height, width });
      expect([...picture.data]).toEqual([...golden.tensor('out.image_u8').values]);
    },
  );

  it('rounds ties to even and clamps', () => {
    const tie = (byte: number): number => ((byte + 0.5) / 255) * 2 - 1;
    const values = Float32Array.of(-7, 7, 0, tie(180), tie(181), -1);
    expect([...pictureFromDecoded(values, 2, 1, 'nhwc').data]).toEqual([0, 255, 128, 180, 182, 0]);
    expect([...pictureFromDecoded(values, 2, 1, 'nchw').data]).toEqual([0, 128, 182, 255, 180, 0]);
  });

  it('refuses values that are not finite instead of drawing black', () => {
    const values = new Float32Array(12);
    values[5] = NaN;
    expect(() => pictureFromDecoded(values, 2, 2)).toThrowError(/not finite/);
    expect(() => pictureFromDecoded(values, 2, 3)).toThrowError(/another size/);
  });
});
