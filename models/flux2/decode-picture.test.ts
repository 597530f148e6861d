import { describe, expect, it } from 'vitest';
import { Flux2cError } from '../../ir/diagnostics.js';
import { PictureDecoder, type RunDecoder } from './decode-picture.js';

const shape = { channels: 1, height: 40, width: 24, imageChannels: 1, scale: 2 };

/** Every pixel is its token's number: tiles that are cut, placed and blended right give the picture of the whole. */
function upscale(latents: Float32Array, rows: number, columns: number): Float32Array {
  return Float32Array.from({ length: rows * columns * 4 }, (_, at) => {
    const [y, x] = [Math.floor(at / (columns * 2)), at % (columns * 2)];
    return latents[Math.floor(y / 2) * columns + Math.floor(x / 2)] as number;
  });
}

/** A device that holds pictures of at most so many tokens a side. */
function deviceOf(
  most: number,
  code: `F2C${number}` = 'F2C312',
): { readonly run: RunDecoder; readonly sides: number[] } {
  const sides: number[] = [];
  const run: RunDecoder = (latents, rows, columns) => {
    sides.push(Math.max(rows, columns));
    if (Math.max(rows, columns) > most) return Promise.reject(new Flux2cError(code, 'too large'));
    return Promise.resolve(upscale(latents, rows, columns));
  };
  return { run, sides };
}

const latents = Float32Array.from({ length: 40 * 24 }, (_, at) => at % 251);
const whole = upscale(latents, 40, 24);

function expectWhole(picture: Float32Array): void {
  expect(picture.length).toBe(whole.length);
  const largest = picture.reduce((worst, value, at) => Math.max(worst, Math.abs(value - (whole[at] as number))), 0);
  expect(largest).toBeLessThan(1e-3);
}

describe('decoding pictures', () => {
  it('decodes whole what fits', async () => {
    const { run, sides } = deviceOf(40);
    expectWhole(await new PictureDecoder().decode(run, latents, shape, undefined));
    expect(sides).toEqual([40]);
  });

  it('takes the tiles it is asked for', async () => {
    const { run, sides } = deviceOf(40);
    expectWhole(await new PictureDecoder().decode(run, latents, shape, { size: 24, overlap: 4 }));
    expect(new Set(sides)).toEqual(new Set([24]));
  });

  it.each(['F2C311', 'F2C312', 'F2C317', 'F2C502'] as const)(
    'goes on with smaller tiles after %s, and starts with them next time',
    async (code) => {
      const { run, sides } = deviceOf(20, code);
      const told: number[] = [];
      const decoder = new PictureDecoder((size) => void told.push(size));
      expectWhole(await decoder.decode(run, latents, shape, undefined));
      expect(sides.slice(0, 2)).toEqual([40, 20]);
      sides.length = 0;
      expectWhole(await decoder.decode(run, latents, shape, undefined));
      expect(new Set(sides)).toEqual(new Set([20]));
      expect(told).toEqual([20]);
    },
  );

  it('gives the error of the smallest tile', async () => {
    const { run, sides } = deviceOf(8);
    await expect(new PictureDecoder().decode(run, latents, shape, undefined)).rejects.toMatchObject({ code: 'F2C312' });
    expect(sides).toEqual([40, 20, 16]);
  });

  it('does not hide other errors', async () => {
    const { run, sides } = deviceOf(8, 'F2C513');
    await expect(new PictureDecoder().decode(run, latents, shape, undefined)).rejects.toMatchObject({ code: 'F2C513' });
    expect(sides).toEqual([40]);
  });
});
