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

/**
 * Differences of all pictures are amplified alike, by the power of two that brings 16 times their root mean square just below white: edges
 * that moved are brighter than that, the rest is darker.
 */
export function chooseAmplification(meanSquaredErrors: readonly number[]): number {
  const mean = meanSquaredErrors.reduce((sum, mse) => sum + mse, 0) / meanSquaredErrors.length;
  let amplification = 1;
  while (amplification < MOST_AMPLIFICATION && 2 * amplification * 16 * Math.sqrt(mean) <= 255) amplification *= 2;
  return amplification;
}

/** PNGs of a pair [height, width, 3] and of the size of its differences, times the amplification. */
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
