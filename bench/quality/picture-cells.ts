/** Pictures as they stand in a page. */
import sharp from 'sharp';
import type { RgbImage } from '../../models/flux2/picture.js';
import type { PicturePair } from './measure.js';

/** Larger pictures are shrunk to this many pixels across: a page of many is to stay a file that opens. */
const MOST_WIDTH = 512;
const MOST_AMPLIFICATION = 64;

/** `data:` addresses. */
export interface PictureCells {
  readonly original: string;
  readonly other: string;
  readonly difference: string;
}

/** Differences of all pictures are amplified alike, by a power of two that brings the largest just below white. */
export function chooseAmplification(pairs: readonly PicturePair[]): number {
  let largest = 0;
  for (const { original, other } of pairs) {
    for (const [at, value] of original.data.entries()) largest = Math.max(largest, Math.abs(value - other.data[at]!));
  }
  let amplification = 1;
  while (amplification < MOST_AMPLIFICATION && 2 * amplification * largest <= 255) amplification *= 2;
  return amplification;
}

export async function makeCells({ original, other }: PicturePair, amplification: number): Promise<PictureCells> {
  const data = original.data.map((value, at) => Math.min(255, amplification * Math.abs(value - other.data[at]!)));
  return {
    original: await toDataAddress(original),
    other: await toDataAddress(other),
    difference: await toDataAddress({ ...original, data }),
  };
}

async function toDataAddress({ data, width, height }: RgbImage): Promise<string> {
  const png = await sharp(data, { raw: { width, height, channels: 3 } })
    .resize({ width: MOST_WIDTH, withoutEnlargement: true })
    .png()
    .toBuffer();
  return `data:image/png;base64,${png.toString('base64')}`;
}
