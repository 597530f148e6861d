/**
 * Pictures in the terminal: the kitty protocol, iTerm2's inline files and sixels. The functions return text; only
 * `showImage` writes.
 */
import { resizeLanczos } from '../models/flux2/lanczos.js';
import type { RgbImage } from '../models/flux2/picture.js';
import { encodeSixel } from './sixel.js';

export type TerminalGraphics = 'kitty' | 'iterm2' | 'sixel';

type Environment = Readonly<Record<string, string | undefined>>;

/** The part of `process.stdout` that is used. */
export interface TerminalStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** Width of a character cell that fits most fonts; terminals do not say theirs. */
const CELL_PIXELS = 8;
/** The kitty protocol's largest piece of base64 in one escape sequence. */
const KITTY_CHUNK = 4096;
const ESCAPE = '\x1b';

/**
 * Writes a picture to `stream` if it is a terminal that can show one, scaled down to its width. `png` holds the same
 * picture as the `rgb` bytes (`[height, width, 3]`). Returns whether it was shown.
 */
export function showImage(
  png: Uint8Array,
  rgb: Uint8Array,
  width: number,
  height: number,
  stream: TerminalStream,
  env: Environment,
): boolean {
  const graphics = stream.isTTY === true ? detectGraphics(env) : undefined;
  if (graphics === undefined) return false;
  stream.write(`${renderImage(graphics, png, { width, height, data: rgb }, stream.columns ?? 80)}\n`);
  return true;
}

/**
 * The protocol that the environment's terminal is known to understand. `FLUX2C_GRAPHICS` (kitty, iterm2, sixel, none)
 * goes before everything; inside tmux and screen, which pass no pictures on, there is none.
 */
export function detectGraphics(env: Environment): TerminalGraphics | undefined {
  const wish = env['FLUX2C_GRAPHICS'];
  if (wish === 'kitty' || wish === 'iterm2' || wish === 'sixel') return wish;
  const term = env['TERM'] ?? '';
  const program = env['TERM_PROGRAM'] ?? '';
  if (wish === 'none' || env['TMUX'] !== undefined || /^(tmux|screen|dumb)/.test(term)) return undefined;
  const kitty = env['KITTY_WINDOW_ID'] !== undefined || env['KONSOLE_VERSION'] !== undefined;
  if (kitty || /kitty|ghostty/.test(term) || program === 'ghostty') return 'kitty';
  if (['iTerm.app', 'WezTerm', 'mintty'].includes(program) || env['LC_TERMINAL'] === 'iTerm2') return 'iterm2';
  if (/sixel|^(foot|mlterm|contour|yaft)/.test(term) || env['WT_SESSION'] !== undefined) return 'sixel';
  return undefined;
}

/** The escape text that shows a picture in a terminal of `columns` columns, without a line break after it. */
export function renderImage(graphics: TerminalGraphics, png: Uint8Array, image: RgbImage, columns: number): string {
  const widest = columns * CELL_PIXELS;
  const fitColumns = image.width > widest ? columns : undefined;
  switch (graphics) {
    case 'kitty':
      return encodeKitty(png, fitColumns);
    case 'iterm2':
      return encodeIterm2(png, fitColumns);
    case 'sixel':
      return encodeSixel(fitColumns === undefined ? image : shrinkTo(image, widest));
  }
}

/** Kitty graphics protocol: PNG data, shown at once (`a=T`), no answers (`q=2`), in pieces; `c` scales to columns. */
export function encodeKitty(png: Uint8Array, columns?: number): string {
  const data = toBase64(png);
  const first = `a=T,f=100,q=2${columns === undefined ? '' : `,c=${columns}`},`;
  const pieces = Array.from({ length: Math.ceil(data.length / KITTY_CHUNK) }, (_, i) =>
    data.slice(i * KITTY_CHUNK, (i + 1) * KITTY_CHUNK),
  );
  return pieces
    .map((piece, i) => {
      const more = i + 1 < pieces.length ? 1 : 0;
      return `${ESCAPE}_G${i === 0 ? first : ''}m=${more};${piece}${ESCAPE}\\`;
    })
    .join('');
}

/** iTerm2's inline file; `width` in character cells keeps the aspect ratio. */
export function encodeIterm2(png: Uint8Array, columns?: number): string {
  const width = columns === undefined ? '' : `;width=${columns}`;
  return `${ESCAPE}]1337;File=inline=1;size=${png.length}${width}:${toBase64(png)}\x07`;
}

function shrinkTo(image: RgbImage, width: number): RgbImage {
  return resizeLanczos(image, width, Math.max(1, Math.round((image.height * width) / image.width)));
}

function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}
