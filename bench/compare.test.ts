import { describe, expect, it } from 'vitest';
import { compareResults, compareTimes } from './compare.js';
import { renderBenchPage } from './report-html.js';
import { formatComparison, formatResult, ratesOf } from './report-text.js';
import { type BenchResult, decodeResult, encodeResult } from './result.js';
import { summarize, type Summary } from './statistics.js';

const around = (median: number, half: number): Summary =>
  summarize([median - 2 * half, median - half, median, median + half, median + 2 * half]);

function result(scale: number, kernel: string): BenchResult {
  const work = { launches: 2, flop: 4e9, bytes: 1e8 };
  const times = { wall: around(100 * scale, 1), cpu: around(180 * scale, 1) };
  return {
    version: 1,
    date: '2026-11-23T12:00:00.000Z',
    compiler: '0.0.0',
    model: 'shapes <1>',
    device: 'a device',
    processor: 'a processor',
    sizes: '128x128',
    ceilings: { gigaflops: 100, gigabytes: 10 },
    functions: [
      {
        name: 'denoise',
        isStep: true,
        work,
        times,
        blocks: [{ family: 'single', count: 6, ...work, time: around(90 * scale, 1) }],
        kernels: [
          { kernel, label: 'single.0.attn', ...work, time: around(60, 1) },
          { kernel: `norm_${kernel}`, label: 'single.0.norm', launches: 6, flop: 1e6, bytes: 1e6, time: around(2, 3) },
        ],
      },
    ],
    stages: [{ name: 'decode', times }],
  };
}

describe('compareTimes', () => {
  it('flags what moved by more than either spread', () => {
    expect(compareTimes('x', around(100, 1), around(110, 1))).toMatchObject({ ratio: 1.1, moved: true });
    expect(compareTimes('x', around(100, 1), around(101.5, 1)).moved).toBe(false);
    expect(compareTimes('x', around(100, 1), around(110, 8)).moved).toBe(false);
    expect(compareTimes('x', around(100, 8), around(80, 1)).moved).toBe(true);
  });
});

describe('compareResults', () => {
  const compared = compareResults(result(1, 'matmul_1'), { ...result(0.5, 'matmul_2'), stages: [] });

  it('knows kernels again that were compiled in another way', () => {
    const ratios = Object.fromEntries(compared.rows.map(({ name, ratio }) => [name, ratio]));
    expect(ratios).toEqual({
      'denoise step': 0.5,
      'denoise blocks single': 0.5,
      'denoise single.0.attn': 1,
      'denoise single.0.norm': 1,
    });
    expect(compared.onlyBefore).toEqual(['stage decode']);
    expect(compared.onlyAfter).toEqual([]);
  });

  it('prints what moved, and all when asked', () => {
    const text = formatComparison(compared, false);
    expect(text).toContain('2 of 4 times moved by more than their spread');
    expect(text).toMatch(/denoise step +100 ms +50\.0 ms +0\.50 {2}faster/);
    expect(text).not.toContain('single.0.attn');
    expect(formatComparison(compared, true)).toMatch(/single\.0\.attn +60\.0 ms +60\.0 ms +1\.00\n/);
  });
});

describe('results', () => {
  it('survive being written', () => {
    const one = result(1, 'matmul');
    expect(decodeResult(encodeResult(one), 'a.json')).toMatchObject({ ...one });
    for (const text of ['', '{}', 'null', '[]', '{"format":"flux2c-bench","version":9}']) {
      expect(() => decodeResult(text, 'a.json')).toThrow(expect.objectContaining({ code: 'F2C711' }) as Error);
    }
  });

  it('are held against the ceilings', () => {
    // 4 GFLOP and 0.1 GB in 0.1 s.
    expect(ratesOf({ launches: 1, flop: 4e9, bytes: 1e8 }, 100, result(1, 'matmul'))).toEqual({
      gigaflops: 40,
      gigabytes: 1,
      flopShare: 0.4,
      byteShare: 0.1,
    });
    const text = formatResult(result(1, 'matmul'), 1);
    expect(text).toContain('2 launches, 4.00 GFLOP at 40.0 GFLOP/s (40 % of the ceiling), 95.4 MiB at 1.00 GB/s');
    expect(text).toMatch(/6 × single +2 +90\.0 ms +±1 % +44\.4 +44 %/);
    expect(text).toContain('and 1 more, in --json and --html');
  });

  it('are drawn on a page of its own', () => {
    const page = renderBenchPage(result(1, 'matmul'));
    expect(page).toContain('shapes &#60;1&#62;');
    expect(page).not.toMatch(/\b(src|href)="|@import|url\(/);
    expect(page.match(/<circle class="span/g)).toHaveLength(2);
    expect(page.slice(0, page.lastIndexOf('<script>')).match(/NaN|undefined|Infinity|\[object/)).toBeNull();
  });
});
