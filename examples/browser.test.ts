import { expect, it } from 'vitest';
import { chromium, openPage } from '../test/chromium.js';
import { serveSources } from '../test/source-server.js';

const side = 384;

/** The page's network at a pixel, by its definition: bytes of red, green and blue, not rounded. */
function colourAt(column: number, row: number): number[] {
  const wave = (i: number, scale: number): number => Math.fround(scale * Math.sin(i * i));
  const layer = (inputs: readonly number[], outputs: number, scale: number): number[] =>
    Array.from({ length: outputs }, (_, o) =>
      inputs.reduce((sum, value, i) => sum + value * wave(o * inputs.length + i, scale), 0),
    );
  const first = layer([(2 * column) / side - 1, (2 * row) / side - 1, 1], 64, 4).map(Math.sin);
  const second = layer(first, 64, 0.7).map((value) => Math.sin(value / 2));
  return layer(second, 3, 0.6).map((value) => 255 / (1 + Math.exp(-value)));
}

it.runIf(chromium)('draws with WebGPU in a browser, from files as they are built', async () => {
  const server = await serveSources();
  const page = await openPage(`${server.address}/examples/browser/`);
  try {
    await page.waitFor(`/ on |rror/.test(document.querySelector('pre')?.textContent ?? '')`);
    expect(await page.evaluate(`document.querySelector('pre').textContent`)).toMatch(
      /^3 kernels, \d+ ms on .*swiftshader/,
    );
    expect([page.errors, server.missing]).toEqual([[], []]);
    for (const [column, row] of [
      [0, 0],
      [383, 1],
      [100, 200],
      [191, 383],
    ] as const) {
      const pixel = `[...document.querySelector('canvas').getContext('2d').getImageData(${column}, ${row}, 1, 1).data]`;
      const found = (await page.evaluate(pixel)) as number[];
      colourAt(column, row).forEach((value, channel) => expect(Math.abs(found[channel]! - value)).toBeLessThan(1));
    }
  } finally {
    await page.close();
    server.close();
  }
});
