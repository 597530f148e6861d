import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readSafetensors } from '../../../test/read-safetensors.js';
import { readPictureMetadata, type PictureMetadata } from '../picture-metadata.js';
import { addPngText, readPngText } from '../png-text.js';
import { decodeImage, encodeImage, pictureFormatOf, readImage, writeImage } from './image-files.js';

const image = { width: 3, height: 2, data: Uint8Array.from({ length: 18 }, (_, i) => i * 14) };
const metadata: PictureMetadata = {
  prompt: 'ein roter Kreis, größer\n„neu“ 🎨',
  negativePrompt: 'blau',
  seed: '18446744073709551615',
  settings: { steps: 20, guidanceScale: 4, width: 3, height: 2 },
};

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'flux2c-images-'));
});
afterAll(() => rm(folder, { recursive: true }));

describe('decodeImage', () => {
  it('gives the bytes of the pipeline pictures', async () => {
    const golden = readSafetensors('test/golden/pipeline-tiny/t2i_64x64_4steps.safetensors');
    const decoded = await readImage('test/golden/pipeline-tiny/t2i_64x64_4steps.png');
    expect(decoded).toMatchObject({ width: 64, height: 64 });
    expect([...decoded.data]).toEqual([...golden.tensor('out.image_u8').values]);
  });

  it('drops alpha and keeps the colour under it', async () => {
    const rgba = await sharp(Uint8Array.of(10, 20, 30, 0, 40, 50, 60, 128), {
      raw: { width: 2, height: 1, channels: 4 },
    })
      .png()
      .toBuffer();
    expect([...(await decodeImage(rgba, 'x.png')).data]).toEqual([10, 20, 30, 40, 50, 60]);
  });

  it('turns pictures upright by their EXIF orientation', async () => {
    const pixels = Uint8Array.from({ length: 32 * 16 * 3 }, (_, i) => (i % 96 < 48 ? 255 : 0));
    const turned = await sharp(pixels, { raw: { width: 32, height: 16, channels: 3 } })
      .withMetadata({ orientation: 6 })
      .jpeg({ quality: 100 })
      .toBuffer();
    const upright = await decodeImage(turned, 'x.jpg');
    expect([upright.width, upright.height]).toEqual([16, 32]);
    // Turned clockwise, the white left half is on top.
    expect(upright.data[0]).toBeGreaterThan(250);
    expect(upright.data.at(-1)).toBeLessThan(5);
  });

  it('makes grey, 16-bit and palette pictures three bytes a pixel', async () => {
    const grey = await sharp(Uint8Array.of(7, 200), { raw: { width: 2, height: 1, channels: 1 } })
      .toColourspace('b-w')
      .png()
      .toBuffer();
    expect([...(await decodeImage(grey, 'x.png')).data]).toEqual([7, 7, 7, 200, 200, 200]);
    const deep = await sharp(Uint8Array.of(7, 8, 9), { raw: { width: 1, height: 1, channels: 3 } })
      .toColourspace('rgb16')
      .png()
      .toBuffer();
    expect([...(await decodeImage(deep, 'x.png')).data]).toEqual([7, 8, 9]);
    const palette = await sharp(image.data, { raw: { width: 3, height: 2, channels: 3 } })
      .png({ palette: true })
      .toBuffer();
    expect((await decodeImage(palette, 'x.png')).data.length).toBe(18);
  });

  it('says what is wrong with files that are no pictures', async () => {
    const png = await encodeImage({ width: 64, height: 64, data: new Uint8Array(64 * 64 * 3).fill(77) }, 'png');
    const noise = Uint8Array.from({ length: 64 * 64 * 3 }, (_, i) => (i * i * 31) % 251);
    const jpeg = await encodeImage({ width: 64, height: 64, data: noise }, 'jpeg');
    await expect(decodeImage(jpeg.subarray(0, jpeg.length / 2), 'cut.jpg')).rejects.toThrowError(/cannot be decoded/);
    await expect(decodeImage(png.subarray(0, 40), 'cut.png')).rejects.toThrowError(/cannot be decoded/);
    await expect(decodeImage(new Uint8Array(0), 'empty')).rejects.toThrowError(/cannot be decoded/);
    const svg = new TextEncoder().encode('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>');
    await expect(decodeImage(svg, 'x.svg')).rejects.toMatchObject({ code: 'F2C635', detail: { found: 'svg' } });
    await expect(readImage(join(folder, 'none.png'))).rejects.toMatchObject({ code: 'F2C634' });
  });

  it('refuses a picture that would not fit in memory by its header', async () => {
    const png = await encodeImage(image, 'png');
    const huge = new Uint8Array(png);
    const view = new DataView(huge.buffer);
    view.setUint32(16, 60000);
    view.setUint32(20, 60000);
    view.setUint32(29, crcOf(huge.subarray(12, 29)));
    await expect(decodeImage(huge, 'huge.png')).rejects.toMatchObject({ code: 'F2C636' });
  });
});

/** The checksum of a PNG chunk by its definition, bit by bit. */
function crcOf(bytes: Uint8Array): number {
  let value = 0xffffffff;
  for (const byte of bytes) {
    value ^= byte;
    for (let bit = 0; bit < 8; bit++) value = (value >>> 1) ^ (value & 1 ? 0xedb88320 : 0);
  }
  return ~value >>> 0;
}

describe('writeImage', () => {
  it('keeps every byte in PNG and WebP, and JPEG close', async () => {
    for (const name of ['a.png', 'a.webp', 'a.JPG']) {
      const path = join(folder, name);
      await writeImage(path, image);
      const back = await readImage(path);
      expect([back.width, back.height]).toEqual([3, 2]);
      const worst = back.data.reduce((most, byte, i) => Math.max(most, Math.abs(byte - image.data[i]!)), 0);
      expect(worst).toBeLessThanOrEqual(name === 'a.JPG' ? 8 : 0);
    }
    expect((await readdir(folder)).filter((name) => name.endsWith('.part'))).toEqual([]);
  });

  it('replaces a file, and leaves it alone when writing fails', async () => {
    const path = join(folder, 'b.png');
    await writeFile(path, 'old');
    await writeImage(path, image);
    expect((await readImage(path)).width).toBe(3);
    await expect(writeImage(join(folder, 'missing', 'b.png'), image)).rejects.toMatchObject({ code: 'F2C638' });
  });

  it('knows formats by extension', () => {
    expect(pictureFormatOf('x/y.jpeg')).toBe('jpeg');
    expect(() => pictureFormatOf('x.gif')).toThrowError(/unknown picture format/);
  });

  it('puts metadata into PNG files and reads it back', async () => {
    const path = join(folder, 'c.png');
    await writeImage(path, image, metadata);
    const bytes = await readFile(path);
    expect(readPictureMetadata(bytes)).toEqual(metadata);
    expect(readPngText(bytes).get('parameters')).toBe(
      `${metadata.prompt}\nNegative prompt: blau\nSeed: ${metadata.seed}, Steps: 20, Guidance scale: 4, Width: 3, Height: 2`,
    );
    expect([...(await readImage(path)).data]).toEqual([...image.data]);
    // Another reader of the format finds the same texts.
    const { comments } = await sharp(bytes).metadata();
    expect(comments?.map(({ keyword }) => keyword)).toContain('flux2c');
  });
});

describe('PNG texts', () => {
  it('of other programs are read or passed over', async () => {
    const png = await encodeImage(image, 'png');
    expect(readPictureMetadata(png)).toBeUndefined();
    expect(readPictureMetadata(addPngText(png, { flux2c: 'not JSON' }))).toBeUndefined();
    expect(readPictureMetadata(addPngText(png, { flux2c: '{"prompt":1}' }))).toBeUndefined();
    const classic = addPngText(png, { Comment: 'x' });
    const at = Buffer.from(classic).indexOf('iTXtComment');
    const text = Buffer.from(classic);
    text.write('tEXt', at, 'latin1');
    expect(readPngText(text).get('Comment')).toBe('\0\0\0\0x');
  });

  it('need a whole PNG file', async () => {
    const png = await encodeImage(image, 'png');
    expect(() => readPngText(png.subarray(0, png.length - 3))).toThrowError(/whole PNG/);
    expect(() => addPngText(new Uint8Array(30), {})).toThrowError(/whole PNG/);
  });
});
