/** Pictures side by side, to look at. */
import sharp from 'sharp';
import type { RgbImage } from '../../models/flux2/picture.js';

export interface SheetCell {
  readonly image: RgbImage;
  /** Framed in magenta unless right. */
  readonly isRight: boolean;
}

const GAP = 4;

/** Writes rows of cells of equal size to `path` (.png). */
export async function writeContactSheet(path: string, rows: readonly (readonly SheetCell[])[]): Promise<void> {
  const first = rows[0]?.[0]?.image;
  if (first === undefined) throw new Error('a contact sheet needs a picture');
  const [width, height] = [first.width + 2 * GAP, first.height + 2 * GAP];
  const cells = await Promise.all(
    rows.flatMap((row, y) =>
      row.map(async ({ image, isRight }, x) => ({
        left: x * width,
        top: y * height,
        input: await sharp(image.data, { raw: { width: image.width, height: image.height, channels: 3 } })
          .extend({ top: GAP, bottom: GAP, left: GAP, right: GAP, background: isRight ? '#888' : '#f0f' })
          .png()
          .toBuffer(),
      })),
    ),
  );
  const columns = Math.max(...rows.map((row) => row.length));
  const canvas = { width: columns * width, height: rows.length * height, channels: 3, background: '#888' } as const;
  await sharp({ create: canvas }).composite(cells).png().toFile(path);
}
