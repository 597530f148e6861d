/** Picture files in Node: decoding references, writing results. */
import { randomBytes } from 'node:crypto';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { extname } from 'node:path';
import sharp from 'sharp';
import { Flux2cError } from '../../../ir/diagnostics.js';
import { metadataTexts, type PictureMetadata } from '../picture-metadata.js';
import type { RgbImage } from '../picture.js';
import { addPngText } from '../png-text.js';

/** Pillow, which the reference reads pictures with, refuses larger ones as decompression bombs. */
export const LARGEST_PICTURE_PIXELS = 178956970;

export type PictureFormat = 'png' | 'jpeg' | 'webp';

/** Reads and decodes the picture file `path`; F2C634 when it cannot be read, otherwise errors as `decodeImage`. */
export async function readImage(path: string): Promise<RgbImage> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (cause) {
    throw new Flux2cError('F2C634', 'the picture cannot be read', { where: [path], found: messageOf(cause), cause });
  }
  return decodeImage(bytes, path);
}

/**
 * Decodes PNG, JPEG or WebP `bytes`; `name` stands in errors. As the reference does: turned upright by its EXIF
 * orientation, alpha dropped (not blended with a background), embedded colour profiles ignored, 8 bits a channel.
 * F2C635 when damaged or of another kind, F2C636 when larger than `LARGEST_PICTURE_PIXELS`.
 */
export async function decodeImage(bytes: Uint8Array, name: string): Promise<RgbImage> {
  try {
    const source = sharp(bytes, { failOn: 'error', limitInputPixels: false, ignoreIcc: true });
    const { width, height, format } = await source.metadata();
    if (width * height > LARGEST_PICTURE_PIXELS) throw tooLarge(name, width, height);
    if (format !== 'png' && format !== 'jpeg' && format !== 'webp') throw otherFormat(name, format);
    const { data, info } = await source
      .autoOrient()
      .removeAlpha()
      .toColourspace('srgb')
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true });
    if (info.channels !== 3) throw new Error(`internal: decoded into ${info.channels} channels`);
    return { width: info.width, height: info.height, data: new Uint8Array(data) };
  } catch (cause) {
    if (cause instanceof Flux2cError) throw cause;
    throw new Flux2cError('F2C635', 'the picture cannot be decoded', {
      where: [name],
      expected: 'a PNG, JPEG or WebP file',
      found: messageOf(cause),
      hint: 'The file may be cut off or damaged.',
      cause,
    });
  }
}

/** The format that the extension of `path` names; F2C637 for any other. */
export function pictureFormatOf(path: string): PictureFormat {
  const extension = extname(path).toLowerCase();
  switch (extension) {
    case '.png':
      return 'png';
    case '.jpg':
    case '.jpeg':
      return 'jpeg';
    case '.webp':
      return 'webp';
    default:
      throw new Flux2cError('F2C637', 'unknown picture format', {
        where: [path],
        expected: '.png, .jpg, .jpeg or .webp',
        found: extension === '' ? 'no extension' : extension,
      });
  }
}

/**
 * `image` as a file's bytes. PNG is lossless and carries `metadata` (see `readPictureMetadata`); JPEG (quality 95, full
 * colour resolution) and lossless WebP carry none.
 */
export async function encodeImage(
  image: RgbImage,
  format: PictureFormat,
  metadata?: PictureMetadata,
): Promise<Uint8Array> {
  const raw = sharp(image.data, { raw: { width: image.width, height: image.height, channels: 3 } });
  switch (format) {
    case 'png': {
      const png = await raw.png().toBuffer();
      return metadata === undefined ? png : addPngText(png, metadataTexts(metadata));
    }
    case 'jpeg':
      return raw.jpeg({ quality: 95, chromaSubsampling: '4:4:4' }).toBuffer();
    case 'webp':
      return raw.webp({ lossless: true }).toBuffer();
  }
}

/**
 * Writes `image` to `path` in the format of its extension (F2C637), whole or not at all: into a file beside it that is
 * then renamed. F2C638 when it cannot be written.
 */
export async function writeImage(path: string, image: RgbImage, metadata?: PictureMetadata): Promise<void> {
  const bytes = await encodeImage(image, pictureFormatOf(path), metadata);
  const temporary = `${path}.${randomBytes(4).toString('hex')}.part`;
  try {
    await writeFile(temporary, bytes, { flag: 'wx' });
    await rename(temporary, path);
  } catch (cause) {
    await rm(temporary, { force: true });
    throw new Flux2cError('F2C638', 'the picture cannot be written', { where: [path], found: messageOf(cause), cause });
  }
}

function tooLarge(name: string, width: number, height: number): Flux2cError {
  return new Flux2cError('F2C636', 'the picture is too large', {
    where: [name],
    expected: `at most ${LARGEST_PICTURE_PIXELS} pixels`,
    found: `${width}x${height}`,
    hint: 'References are used at one megapixel at most; scale it down first.',
  });
}

function otherFormat(name: string, format: string): Flux2cError {
  return new Flux2cError('F2C635', 'the picture cannot be decoded', {
    where: [name],
    expected: 'a PNG, JPEG or WebP file',
    found: format,
    hint: 'Convert it first.',
  });
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
