import { describe, expect, it } from 'vitest';
import { detectGraphics, encodeIterm2, encodeKitty, renderImage, showImage } from './show.js';
import { encodeSixel } from './sixel.js';

/** Escape characters made visible, for patterns. */
const showEscapes = (text: string): string => text.replaceAll('\x1b', '␛');
const bytes = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 31) % 256);

describe('detectGraphics', () => {
  it('knows terminals by their environment', () => {
    expect(detectGraphics({ TERM: 'xterm-kitty' })).toBe('kitty');
    expect(detectGraphics({ TERM: 'xterm-256color', KITTY_WINDOW_ID: '1' })).toBe('kitty');
    expect(detectGraphics({ TERM: 'xterm-ghostty' })).toBe('kitty');
    expect(detectGraphics({ TERM: 'xterm-256color', TERM_PROGRAM: 'iTerm.app' })).toBe('iterm2');
    expect(detectGraphics({ TERM: 'xterm-256color', TERM_PROGRAM: 'WezTerm' })).toBe('iterm2');
    expect(detectGraphics({ TERM: 'foot' })).toBe('sixel');
    expect(detectGraphics({ WT_SESSION: 'x' })).toBe('sixel');
    expect(detectGraphics({ TERM: 'xterm-256color' })).toBeUndefined();
    expect(detectGraphics({})).toBeUndefined();
  });

  it('shows nothing inside tmux, and follows FLUX2C_GRAPHICS first', () => {
    expect(detectGraphics({ TERM: 'tmux-256color', KITTY_WINDOW_ID: '1', TMUX: 'x' })).toBeUndefined();
    expect(detectGraphics({ TMUX: 'x', FLUX2C_GRAPHICS: 'sixel' })).toBe('sixel');
    expect(detectGraphics({ TERM: 'xterm-kitty', FLUX2C_GRAPHICS: 'none' })).toBeUndefined();
  });
});

describe('kitty', () => {
  it('sends a small file in one piece', () => {
    expect(encodeKitty(Uint8Array.of(1, 2, 3))).toBe('\x1b_Ga=T,f=100,q=2,m=0;AQID\x1b\\');
    expect(encodeKitty(Uint8Array.of(1, 2, 3), 80)).toBe('\x1b_Ga=T,f=100,q=2,c=80,m=0;AQID\x1b\\');
  });

  it('cuts a large one into pieces that join to the whole', () => {
    const png = bytes(7000);
    const pieces = [...showEscapes(encodeKitty(png)).matchAll(/␛_G([^;]*);([^␛]*)␛\\/g)];
    expect(pieces.map(([, keys]) => keys)).toEqual(['a=T,f=100,q=2,m=1', 'm=1', 'm=0']);
    expect(pieces.every(([, , data]) => data!.length <= 4096)).toBe(true);
    expect(new Uint8Array(Buffer.from(pieces.map(([, , data]) => data).join(''), 'base64'))).toEqual(png);
  });
});

describe('iTerm2', () => {
  it('sends the file with its size', () => {
    expect(encodeIterm2(Uint8Array.of(1, 2, 3))).toBe('\x1b]1337;File=inline=1;size=3:AQID\x07');
    expect(encodeIterm2(Uint8Array.of(1, 2, 3), 60)).toBe('\x1b]1337;File=inline=1;size=3;width=60:AQID\x07');
  });
});

/** Draws sixel text: the colour in percents of every pixel. */
function decodeSixel(text: string): string[][] {
  const [, size, body] = /^␛Pq"1;1;([\d;]+?)(#.*)␛\\$/s.exec(showEscapes(text))!;
  const [width, height] = size!.split(';').map(Number);
  const pixels = Array.from({ length: height! }, () => new Array<string>(width!).fill('none'));
  const palette = new Map<number, string>();
  let [x, y, color] = [0, 0, ''];
  for (const [token] of body!.matchAll(/#\d+;2;\d+;\d+;\d+|#\d+|!\d+.|./gs)) {
    const definition = /^#(\d+);2;(.*)$/.exec(token);
    if (definition !== null) palette.set(Number(definition[1]), definition[2]!);
    else if (token.startsWith('#')) color = palette.get(Number(token.slice(1)))!;
    else if (token === '$') x = 0;
    else if (token === '-') [x, y] = [0, y + 6];
    else {
      const count = token.startsWith('!') ? Number(token.slice(1, -1)) : 1;
      const bits = token.charCodeAt(token.length - 1) - 63;
      for (let i = 0; i < count; i++, x++) {
        for (let row = 0; row < 6; row++) if (bits & (1 << row)) pixels[y + row]![x] = color;
      }
    }
  }
  return pixels;
}

describe('sixel', () => {
  it('writes one pixel', () => {
    expect(encodeSixel({ width: 1, height: 1, data: Uint8Array.of(255, 0, 51) })).toBe(
      '\x1bPq"1;1;1;1#181;2;100;0;20#181@\x1b\\',
    );
  });

  it('draws colours of the cube exactly, over bands and runs', () => {
    const [width, height] = [9, 14];
    const colorAt = (x: number, y: number): number[] => (x < 5 ? [255, 102, 0] : y < 7 ? [0, 0, 0] : [51, 204, 255]);
    const data = Uint8Array.from({ length: width * height }, (_, i) => i).reduce<number[]>(
      (all, i) => [...all, ...colorAt(i % width, Math.floor(i / width))],
      [],
    );
    const pixels = decodeSixel(encodeSixel({ width, height, data: Uint8Array.from(data) }));
    const want = Array.from({ length: height }, (_, y) =>
      Array.from({ length: width }, (_, x) =>
        colorAt(x, y)
          .map((value) => (value * 100) / 255)
          .join(';'),
      ),
    );
    expect(pixels).toEqual(want);
  });

  it('keeps the mean of other colours', () => {
    const data = new Uint8Array(60 * 60 * 3).fill(77);
    const pixels = decodeSixel(encodeSixel({ width: 60, height: 60, data })).flat();
    const mean = pixels.reduce((sum, color) => sum + Number(color.split(';')[0]), 0) / pixels.length;
    expect(Math.abs(mean - (77 * 100) / 255)).toBeLessThan(0.5);
  });
});

describe('showImage', () => {
  const rgb = new Uint8Array(1000 * 10 * 3).fill(51);

  it('writes to a terminal only, scaled down to its width', () => {
    const written: string[] = [];
    const write = (text: string): number => written.push(text);
    const kitty = { TERM: 'xterm-kitty' };
    expect(showImage(bytes(9), rgb, 1000, 10, { isTTY: true, columns: 100, write }, kitty)).toBe(true);
    expect(written).toEqual([`${encodeKitty(bytes(9), 100)}\n`]);
    expect(showImage(bytes(9), rgb, 1000, 10, { isTTY: true, columns: 200, write }, kitty)).toBe(true);
    expect(written[1]).toBe(`${encodeKitty(bytes(9))}\n`);
    expect(showImage(bytes(9), rgb, 1000, 10, { write }, kitty)).toBe(false);
    expect(showImage(bytes(9), rgb, 1000, 10, { isTTY: true, write }, { TERM: 'xterm' })).toBe(false);
    expect(written.length).toBe(2);
  });

  it('shrinks sixels itself', () => {
    const image = { width: 1000, height: 10, data: rgb };
    expect(renderImage('sixel', bytes(9), image, 50)).toContain('"1;1;400;4#');
    expect(renderImage('iterm2', bytes(9), image, 50)).toBe(encodeIterm2(bytes(9), 50));
  });
});
