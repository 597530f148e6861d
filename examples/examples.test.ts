import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it, vi } from 'vitest';
import { bf16ToF32, f32ToBf16 } from '../ir/dtype.js';
import { readImage } from '../models/flux2/node/image-files.js';

afterEach(() => vi.restoreAllMocks());

/** What an example prints. Its file is the program, so loading it runs it. */
async function run(load: () => Promise<unknown>): Promise<string> {
  const lines: string[] = [];
  vi.spyOn(console, 'log').mockImplementation((line: string) => void lines.push(line));
  vi.spyOn(console, 'error').mockImplementation(() => undefined);
  await load();
  return lines.join('\n');
}

const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((sum, value, i) => sum + value * b[i]!, 0);

it('mlp.ts computes its network', async () => {
  const printed = await run(() => import('./mlp.js'));
  const wave = (count: number, start = 0): number[] =>
    Array.from({ length: count }, (_, i) => Math.fround(Math.sin((start + i) ** 2) / 16));
  const row = (length: number, index: number): number[] =>
    wave(length, index * length).map((value) => bf16ToF32(f32ToBf16(value)));
  const gelu = (x: number): number => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
  const bias = wave(1024);
  const hidden = bias.map((value, i) => gelu(dot(wave(256), row(256, i)) + value));
  const wanted = [0, 1, 2, 3].map((index) => dot(hidden, row(1024, index)));
  const lines = printed.split('\n').map((line) => /^y is f32\[(\d+), 256\]: (.*), \.\.\.$/.exec(line)!);
  expect(lines.map(([, tokens]) => tokens)).toEqual(['3', '77']);
  for (const [, , numbers] of lines) {
    numbers!.split(', ').forEach((number, i) => expect(Number(number)).toBeCloseTo(wanted[i]!, 4));
  }
});

it('attention.ts agrees with its reference and multiplies query, key and value at once', async () => {
  const printed = await run(() => import('./attention.js'));
  const [, error] = /\ny is f32\[2, 10, 128\], off by at most (\S+)$/.exec(printed)!;
  expect(Number(error)).toBeLessThan(1e-6);
  expect(printed.split('\n')).toHaveLength(5);
});

it('flux2-block.ts shows the five kernels of a block and their work', async () => {
  const printed = await run(() => import('./flux2-block.js'));
  const table = [...printed.matchAll(/^ *(\d+\.\d) +\d+ {2}\w+: /gm)].map(([, work]) => Number(work));
  expect(table).toHaveLength(5);
  const [tokens, hidden, mlp] = [4608, 6144, 18432];
  const products = 2 * tokens * hidden * (3 * hidden + 2 * mlp) + 2 * tokens * hidden * (hidden + mlp);
  const attention = 4 * tokens * tokens * hidden;
  const least = (products + attention) / 1e9;
  const total = table.reduce((sum, work) => sum + work);
  // Norms, rotations and activations are a thousandth of it.
  expect(total / least).toBeGreaterThan(1);
  expect(total / least).toBeLessThan(1.002);
  expect(printed).toContain('@compute @workgroup_size');
});

it('generate.ts draws a red circle on white', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'flux2c-example-'));
  const before = process.cwd();
  process.chdir(folder);
  try {
    const printed = await run(() => import('./generate.js'));
    expect(printed).toContain('circle.png is 128x128');
    const { width, height, data } = await readImage('circle.png');
    const at = (x: number, y: number): number[] => [...data.subarray(3 * (y * width + x), 3 * (y * width + x) + 3)];
    expect(Math.min(...at(1, 1), ...at(width - 2, height - 2))).toBeGreaterThan(230);
    const pixels = Array.from({ length: width * height }, (_, i) => at(i % width, Math.floor(i / width)));
    const red = pixels.filter(([r, g, b]) => r! > 150 && g! < 90 && b! < 90).length;
    expect(red / pixels.length).toBeGreaterThan(0.02);
  } finally {
    process.chdir(before);
    await rm(folder, { recursive: true });
  }
});
