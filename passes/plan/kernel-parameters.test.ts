import { describe, expect, it } from 'vitest';
import { Dim } from '../../ir/dim.js';
import { parseTileKernel } from '../../ir/kernel/tile-parse.js';
import { printTileKernel } from '../../ir/kernel/tile-print.js';
import { runTileKernel } from '../../ir/kernel/tile-interpret.js';
import { gatherParameters, inParameters } from './kernel-parameters.js';

/** Rows of pictures one after another, of which a border is left out; `rows` and `row` are made of sizes in one way or another. */
function textOf(parameters: string, rows: string, row: string, offset: string): string {
  return `kernel @k params(${parameters})
  buffer x: read f32 align 4
  buffer y: write f32 align 4
  axis m = grid x, extent ${rows}, tile 4
  axis n = grid y, extent 8, tile 4
  term t0 = modulo(m, ${row})
  term t1 = floor(m, ${row})
{
  store y[8*m+n] for [m, n] = x[8*t0+n+${offset} if t0 >= 1, t0 < ${row}]
}
`;
}

function gather(text: string): ReturnType<typeof gatherParameters> & { readonly text: string } {
  const gathered = gatherParameters(parseTileKernel(text));
  return { ...gathered, text: printTileKernel(gathered.kernel) };
}

describe('parameters of a kernel', () => {
  const plain = gather(textOf('b, w', 'b*w', 'w', '8*w*t1'));
  const sums = gather(textOf('b, img, txt', 'b*img+b*txt', 'img+txt', '8*img*t1+8*txt*t1'));
  const doubled = gather(textOf('b, h', '2*b*h', '2*h', '16*h*t1'));

  it('are the same whatever sizes they are made of', () => {
    expect(sums.text).toBe(plain.text);
    expect(plain.parameters.map(({ name, value }) => [name, value.text])).toEqual([
      ['p0', 'b*w'],
      ['p1', 'w'],
    ]);
    expect(sums.parameters.map(({ value }) => value.text)).toEqual(['b*img+b*txt', 'img+txt']);
  });

  it('take what divides them where nothing is aligned to it, and leave what vectors and copies see', () => {
    expect(doubled.text).toContain('term t0 = modulo(m, p1)');
    expect(doubled.parameters.map(({ value }) => value.text)).toEqual(['b*h', '2*h', 'h']);
    // A grid axis keeps 4 of it, an address 16.
    expect(doubled.text).toContain('extent 2*p0');
    expect(doubled.text).toContain('16*p2*t1');
    const { text, parameters } = gather(textOf('b, h', '64*b*h', '64*h', '512*h*t1'));
    expect(text).toContain('extent 4*p0');
    expect(text).toContain('16*p2*t1');
    expect(parameters.map(({ value }) => value.text)).toEqual(['16*b*h', '64*h', '32*h']);
  });

  it('have the sign of their first part', () => {
    const { text, parameters } = gather(textOf('w, h', 'w', 'w', '8*t1+4*h-4*w'));
    const { text: opposite } = gather(textOf('w, h', 'w', 'w', '8*t1+4*w-4*h'));
    expect(parameters.map(({ value }) => value.text)).toEqual(['w', Dim.symbol('h').sub(Dim.symbol('w')).text]);
    expect([text.includes('4*p1'), opposite.includes('-4*p1')]).toEqual([true, true]);
  });

  it('give a kernel that computes the same', () => {
    const sizes = { b: 3, img: 4, txt: 5 };
    const before = parseTileKernel(textOf('b, img, txt', 'b*img+b*txt', 'img+txt', '8*img*t1+8*txt*t1'));
    const x = Float64Array.from({ length: 27 * 8 }, (_, at) => at + 1);
    const run = (kernel: typeof before, parameters: Readonly<Record<string, number>>): Float64Array => {
      const y = new Float64Array(27 * 8);
      runTileKernel(kernel, { x, y }, parameters);
      return y;
    };
    const values = Object.fromEntries(sums.parameters.map(({ name, value }) => [name, value.evaluate(sizes)]));
    const want = run(before, sizes);
    expect(run(sums.kernel, values)).toEqual(want);
    expect(want.filter((value) => value === 0)).toHaveLength(3 * 8);
  });

  it('say what other polynomials of sizes are, where each size is one of them', () => {
    const [b, w] = [Dim.symbol('b'), Dim.symbol('w')];
    const cost = [w.mul(6).add(2), w.mul(w)];
    expect(inParameters(cost, plain.parameters)?.map(({ text }) => text)).toEqual(['6*p1+2', 'p1*p1']);
    expect(inParameters([b.mul(w)], plain.parameters)).toBeUndefined();
  });
});
