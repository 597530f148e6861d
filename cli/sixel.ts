/** Sixel graphics: bands of six rows, one pass of each band per colour. */
import type { RgbImage } from '../models/flux2/picture.js';

/** Levels of each channel: 6^3 = 216 colours fit the 256 registers of common terminals, in whole percents. */
const LEVELS = 6;
const BAND = 6;
const LEVEL_STEP = 255 / (LEVELS - 1);

/** The sixel text of `image`, reduced to a cube of 216 colours with error diffusion. */
export function encodeSixel(image: RgbImage): string {
  const { width, height } = image;
  const colors = ditherToCube(image);
  const used = [...new Set(colors)].sort((a, b) => a - b);
  const palette = used.map((color) => `#${color};2;${cubeLevels(color).map(toPercent).join(';')}`);
  const bands = Array.from({ length: Math.ceil(height / BAND) }, (_, band) =>
    encodeBand(colors, width, band * BAND, Math.min(height, (band + 1) * BAND)),
  );
  // 1;1 are square pixels; bands end with "-", a new line.
  return `\x1bPq"1;1;${width};${height}${palette.join('')}${bands.join('-')}\x1b\\`;
}

function encodeBand(colors: Uint8Array, width: number, top: number, bottom: number): string {
  const inBand = [...new Set(colors.subarray(top * width, bottom * width))].sort((a, b) => a - b);
  const passes = inBand.map((color) => {
    const bits = Array.from({ length: width }, (_, x) => {
      let column = 0;
      for (let y = top; y < bottom; y++) if (colors[y * width + x] === color) column |= 1 << (y - top);
      return column;
    });
    return `#${color}${encodeRuns(bits)}`;
  });
  // "$" goes back to the start of the band.
  return passes.join('$');
}

/** Columns as characters from "?" on, repeats as "!count". */
function encodeRuns(columns: readonly number[]): string {
  let text = '';
  for (let start = 0; start < columns.length;) {
    let end = start + 1;
    while (end < columns.length && columns[end] === columns[start]) end++;
    const character = String.fromCharCode(63 + columns[start]!);
    const length = end - start;
    // A run of blank columns at the end draws nothing.
    if (end < columns.length || columns[start] !== 0) {
      text += length > 3 ? `!${length}${character}` : character.repeat(length);
    }
    start = end;
  }
  return text;
}

/** Floyd-Steinberg error diffusion to the colour cube; one index per pixel. */
function ditherToCube(image: RgbImage): Uint8Array {
  const { width, height, data } = image;
  const values = Float32Array.from(data);
  const colors = new Uint8Array(width * height);
  const spread = (x: number, y: number, channel: number, error: number): void => {
    if (x >= 0 && x < width && y < height) values[(y * width + x) * 3 + channel]! += error;
  };
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const pixel = y * width + x;
      for (let channel = 0; channel < 3; channel++) {
        const value = values[pixel * 3 + channel]!;
        const level = Math.min(LEVELS - 1, Math.max(0, Math.round(value / LEVEL_STEP)));
        const error = value - level * LEVEL_STEP;
        colors[pixel] = colors[pixel]! * LEVELS + level;
        spread(x + 1, y, channel, (error * 7) / 16);
        spread(x - 1, y + 1, channel, (error * 3) / 16);
        spread(x, y + 1, channel, (error * 5) / 16);
        spread(x + 1, y + 1, channel, error / 16);
      }
    }
  }
  return colors;
}

function cubeLevels(color: number): readonly number[] {
  return [Math.floor(color / LEVELS ** 2), Math.floor(color / LEVELS) % LEVELS, color % LEVELS];
}

function toPercent(level: number): number {
  return (level * 100) / (LEVELS - 1);
}
