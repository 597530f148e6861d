import { describe, expect, it } from 'vitest';
import { Flux2cError } from '../diagnostics.js';
import { runTileKernel } from './tile-interpret.js';
import { parseTileKernel } from './tile-parse.js';
import { printTileKernel } from './tile-print.js';
import { verifyTileKernel } from './tile-verify.js';

const linear = `kernel @block.0.linear params(tokens)
  buffer x: read f32 align 4
  buffer w: read bf16 align 4
  buffer out: write f32 align 1
  axis m = grid y, extent tokens, tile 2
  axis n = grid x, extent 3, tile 2
  axis k = loop, extent 5, tile 4
{
  tile acc[m, n] = 0
  contract acc over k: x[5*m+k] * w[k+5*n]
  store out[3*m+n] for [m, n] = silu(acc)
}
`;

const attention = `kernel @attention params(keys, queries)
  buffer q: read f32 align 4
  buffer k: read f32 align 4
  buffer v: read f32 align 4
  buffer out: write f32 align 4
  axis m = grid x, extent queries, tile 2
  axis z = grid y, extent 2, tile 1
  axis d = whole, extent 4, tile 4
  axis j = loop, extent keys, tile 3
{
  tile query[m, d] = q[d+4*m+4*queries*z] * 0.5
  tile sum[m, d] = 0
  tile largest[m] = -1e+30
  tile total[m] = 0
  for j {
    tile s[m, j] = 0
    contract s over d: query * k[d+4*j+4*keys*z]
    s = when(j < keys, j < 1+m: s, -1e+30)
    tile next[m] = largest
    reduce max next over j padded: s
    tile shrink[m] = exp(largest - next)
    largest = next
    s = when(j < 1+m: exp(s - next), 0)
    total = total * shrink
    reduce add total over j: s
    sum = sum * shrink
    contract sum over j: s * v[d+4*j+4*keys*z]
  }
  store out[d+4*m+4*queries*z if m < queries] for [m, d] = select(0 < total, sum / total, 0)
}
`;

const encoded = `kernel @encoded params(tokens)
  buffer x: read f32 align 4
  buffer codes: read u32 align 1
  buffer scales: read bf16 align 1
  buffer out: write f32 align 1
  axis m = grid y, extent tokens, tile 2
  axis n = grid x, extent 3, tile 2
  axis k = loop, extent 32, tile 8
  term t0 = floor(k, 8)
  term t1 = floor(k, 16)
{
  tile acc[m, n] = 0
  contract acc over k: x[k+32*m] * decode_int4_16(k: codes[4*n+t0], scales[2*n+t1])
  store out[3*m+n] for [m, n] = acc
}
`;

const convolution = `kernel @convolution
  buffer x: read f32 align 1
  buffer rows: read i32 align 1
  buffer out: read_write f32 align 1
  axis m = grid x, extent 12, tile 8
  axis r = loop, extent 9, tile 2
  term t0 = floor(m, 4)
  term t1 = modulo(m, 4)
  term t2 = floor(r, 3)
  term t3 = modulo(r, 3)
  term t4 = exclusive_or(m, 1)
  term t5 = loaded(rows[m], 3)
{
  tile sum[m] = -(out[t4] + 1)
  reduce add sum over r: x[4*t0+t1+4*t2+t3-5 if t0+t2-1 >= 0, t0+t2-1 < 3, t1+t3-1 >= 0, t1+t3-1 < 4]
  tile picked[m] = x[4*t5] + index(2*m-1) + to_f32(!(sum < -2.5) & 1)
  store out[m if m >= 2] for [m] = max(sum, picked)
}
`;

const turned = `kernel @turned params(rows)
  buffer x: read f32 align 1
  buffer out: write f32 align 1
  axis m = grid x, extent rows, tile 2
  axis d = whole, extent 8, tile 8
{
  tile sum[m] = 0
  reduce add sum over d: exchange(d, 2, x[d+8*m]) * x[d+8*m]
  store out[d+8*m] for [m, d] = sum - exchange(d, 1, x[d+8*m] + exchange(d, 4, x[d+8*m]))
}
`;

describe('text form', () => {
  it.each([linear, attention, convolution, turned, encoded])('reads back what it prints', (text) => {
    const kernel = parseTileKernel(text);
    const printed = printTileKernel(kernel);
    expect(printTileKernel(parseTileKernel(printed))).toBe(printed);
    expect(parseTileKernel(printed)).toEqual(kernel);
    verifyTileKernel(kernel);
  });

  it('prints polynomials canonically and keeps the rest as written', () => {
    expect(printTileKernel(parseTileKernel(linear.replace('x[5*m+k]', 'x[k+m*5]')))).toBe(
      linear.replace('x[5*m+k]', 'x[k+5*m]'),
    );
  });

  it('names line and column of a syntax error', () => {
    expect(() => parseTileKernel(linear.replace('over k:', 'over k'))).toThrow(
      expect.objectContaining({
        code: 'F2C211',
        detail: { where: ['line 10, column 23'], expected: "':'", found: "'x'" },
      }) as Error,
    );
  });
});

describe('runTileKernel', () => {
  const numbers = (length: number, seed: number): Float64Array =>
    Float64Array.from({ length }, (_, at) => (((at + seed) * 37) % 17) / 8 - 1);

  it('contracts over all of an axis', () => {
    const [x, w, out] = [numbers(15, 1), numbers(15, 5), new Float64Array(9)];
    runTileKernel(parseTileKernel(linear), { x, w, out }, { tokens: 3 });
    for (let m = 0; m < 3; m++) {
      for (let n = 0; n < 3; n++) {
        let sum = 0;
        for (let k = 0; k < 5; k++) sum += (x[5 * m + k] as number) * (w[5 * n + k] as number);
        expect(out[3 * m + n]).toBeCloseTo(sum / (1 + Math.exp(-sum)), 12);
      }
    }
  });

  it('exchanges partners along an axis', () => {
    const [x, out] = [numbers(24, 1), new Float64Array(24)];
    runTileKernel(parseTileKernel(turned), { x, out }, { rows: 3 });
    for (let m = 0; m < 3; m++) {
      const at = (d: number): number => x[8 * m + d] as number;
      let sum = 0;
      for (let d = 0; d < 8; d++) sum += at(d ^ 2) * at(d);
      for (let d = 0; d < 8; d++) expect(out[8 * m + d]).toBeCloseTo(sum - at(d ^ 1) - at(d ^ 5), 12);
    }
  });

  it('walks an axis in chunks: causal attention in one pass', () => {
    const [queries, keys] = [5, 7];
    const [q, k, v] = [numbers(2 * queries * 4, 0), numbers(2 * keys * 4, 3), numbers(2 * keys * 4, 9)];
    const out = new Float64Array(2 * queries * 4);
    runTileKernel(parseTileKernel(attention), { q, k, v, out }, { queries, keys });
    for (let z = 0; z < 2; z++) {
      for (let m = 0; m < queries; m++) {
        const weights = Array.from({ length: Math.min(keys, m + 1) }, (_, j) => {
          let score = 0;
          for (let d = 0; d < 4; d++)
            score += (q[(z * queries + m) * 4 + d] as number) * (k[(z * keys + j) * 4 + d] as number);
          return Math.exp(score * 0.5);
        });
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        for (let d = 0; d < 4; d++) {
          const want =
            weights.reduce((sum, weight, j) => sum + weight * (v[(z * keys + j) * 4 + d] as number), 0) / total;
          expect(out[(z * queries + m) * 4 + d]).toBeCloseTo(want, 12);
        }
      }
    }
  });

  it('computes terms, conditions and gathers', () => {
    const x = numbers(12, 2);
    const rows = Int32Array.from({ length: 12 }, (_, at) => at - 4);
    const before = numbers(12, 7);
    const out = before.slice();
    runTileKernel(parseTileKernel(convolution), { x, rows, out }, {});
    const clamp = (value: number): number => Math.max(0, Math.min(2, value));
    for (let m = 0; m < 12; m++) {
      // Workgroups of eight run one after the other, so every sum starts from values not yet stored.
      const start = -((before[m ^ 1] as number) + 1);
      let sum = start;
      for (let r = 0; r < 9; r++) {
        const row = Math.floor(m / 4) + Math.floor(r / 3) - 1;
        const column = (m % 4) + (r % 3) - 1;
        if (row >= 0 && row < 3 && column >= 0 && column < 4) sum += x[4 * row + column] as number;
      }
      const picked = (x[4 * clamp(m - 4)] as number) + 2 * m - 1 + (sum < -2.5 ? 0 : 1);
      expect(out[m]).toBeCloseTo(m >= 2 ? Math.max(sum, picked) : (before[m] as number), 12);
    }
  });

  it('starts views at their base and reports elements outside of buffers', () => {
    const kernel = parseTileKernel(linear);
    const [x, w] = [numbers(25, 1), numbers(15, 5)];
    const [shifted, plain] = [new Float64Array(12), new Float64Array(9)];
    runTileKernel(kernel, { x, w, out: shifted }, { tokens: 3, x_base: 10, out_base: 3 });
    runTileKernel(kernel, { x: x.slice(10), w, out: plain }, { tokens: 3 });
    expect([...shifted]).toEqual([0, 0, 0, ...plain]);
    const outside = { x: numbers(14, 1), w, out: plain };
    expect(() => runTileKernel(kernel, outside, { tokens: 3 })).toThrow(
      expect.objectContaining({
        code: 'F2C271',
        detail: {
          where: ['kernel @block.0.linear', 'buffer x'],
          expected: 'an index below 14',
          found: '14 at m = 2, n = 0, k = 4',
        },
      }) as Error,
    );
    expect(() => runTileKernel(kernel, { x, w }, { tokens: 3 })).toThrow(/not bound/);
    expect(() => runTileKernel(kernel, { x, w, out: plain }, {})).toThrow(/'tokens' is not known/);
  });
});

describe('verifyTileKernel', () => {
  it.each([
    ['F2C250', 'x[5*m+k]', 'y[5*m+k]'],
    ['F2C250', 'x[5*m+k]', 'x[5*m+q]'],
    ['F2C250', 'silu(acc)', 'silu(sum)'],
    ['F2C250', 'over k', 'over q'],
    ['F2C250', 'store out', 'store res'],
    ['F2C250', 'extent 3', 'extent rows'],
    ['F2C251', 'tile acc', 'tile x'],
    ['F2C251', '[m, n] = 0', '[m, m] = 0'],
    ['F2C252', 'x[5*m+k]', 'out[5*m+k]'],
    ['F2C252', 'store out', 'store x'],
    ['F2C253', 'silu(acc)', 'silu(acc) + x[k]'],
    ['F2C253', 'acc[m, n] = 0', 'acc[m, k] = 0'],
    ['F2C257', 'for [m, n] = silu(acc)', 'for [m] = silu(acc)'],
    ['F2C254', 'over k: x[5*m+k] * w[k+5*n]', 'over n: x[5*m+n] * w[5*n]'],
    ['F2C255', 'extent 3, tile 2', 'extent 3, tile 0'],
    ['F2C255', 'k = loop', 'k = whole'],
    ['F2C255', 'align 1', 'align 0'],
    ['F2C256', 'grid y', 'grid x'],
    ['F2C257', 'acc[m, n] = 0', 'acc[m, n] = 0 tile first[m] = x[n]'],
  ])('%s: %s becomes %s', (code, from, to) => {
    const kernel = parseTileKernel(linear.replace(from, to));
    let found = 'accepted';
    try {
      verifyTileKernel(kernel);
    } catch (error) {
      if (!(error instanceof Flux2cError)) throw error;
      found = error.code;
    }
    expect(found).toBe(code);
  });

  it.each([
    ['exchange(d, 1', 'exchange(m, 1', /exchange|pairs/],
    ['exchange(d, 1', 'exchange(d, 8', /no pairs/],
    ['exchange(d, 1', 'exchange(d, 0', /mask/],
    ['for [m, d] = sum - exchange(d, 1', 'for [m] = sum - exchange(d, 1', /not walked/],
  ])('partners are inside the axis: %s becomes %s', (from, to, message) => {
    expect(() => verifyTileKernel(parseTileKernel(turned.replace(from, to)))).toThrow(message);
  });

  it('knows which axes loops walk and which tiles they declare', () => {
    const broken = (from: string, to: string): (() => void) => {
      const kernel = parseTileKernel(attention.replace(from, to));
      return () => verifyTileKernel(kernel);
    };
    expect(broken('for j {', 'for m {')).toThrow(/'for' cannot walk axis 'm'/);
    expect(broken('sum / total', 'shrink / total')).toThrow(/no tile 'shrink'/);
    expect(broken('reduce max next over j padded: s', 'reduce max next over d padded: s')).toThrow(
      /axis 'j' is not walked/,
    );
    expect(broken('over d: query', 'over j: query')).toThrow(/reduced over axis 'j'/);
  });
});
