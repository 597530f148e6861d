import { describe, expect, it } from 'vitest';
import { codeOf } from '../../test/code-of.js';
import { summarize } from '../statistics.js';
import { type ContestantKind } from './contestants.js';
import { isReached, judgeAll, judgeGoals } from './goals.js';
import { renderPeersPlot } from './plot.js';
import { formatPeers } from './report.js';
import { formatPeersMarkdown } from './report-markdown.js';
import { type ContestantResult, decodePeersResult, encodePeersResult, fastestPeer, type PeersResult, type WorkResult } from './result.js'; // prettier-ignore
import { countFlop, parseWork, type WorkKind } from './works.js';

interface Given extends Partial<ContestantResult> {
  readonly time?: number;
}

function contestant(stack: string, kind: ContestantKind, { time, ...more }: Given = {}): ContestantResult {
  const { threads = 1, fused = false, numbers = 'f32' } = more;
  const id = [stack, kind, threads, numbers, fused].join(':');
  const common = { id, stack, kind, threads, fused, numbers, own: stack === 'flux2c' };
  const times = time !== undefined && { wall: summarize([time]), cpu: summarize([time / 2]), compileTime: 5 };
  return { ...common, error: 1e-7, ...times, ...more };
}

function workResult(
  kind: WorkKind,
  shape: string,
  place: string,
  contestants: readonly ContestantResult[],
  more: Partial<WorkResult> = {},
): WorkResult {
  const work = parseWork(kind, shape);
  const numbers = 'f32';
  return {
    work,
    numbers,
    place,
    hardware: false,
    flop: countFlop(work),
    rounds: 6,
    calmRounds: 5,
    contestants,
    ...more,
  };
}

const attention = workResult('attention', '4x512x64', 'lavapipe', [
  contestant('flux2c', 'webgpu', { time: 10 }),
  contestant('jax-js', 'webgpu', { time: 31 }),
  contestant('tfjs', 'webgpu', { time: 40, cpu: summarize([14]) }),
  contestant('broken', 'webgpu', { time: 1, error: 1e-2 }),
  contestant('onnxruntime-web', 'webgpu', { time: 14, fused: true, error: 3e-3 }),
  contestant('missing', 'webgpu', { failure: 'not installed\nat line 1' }),
]);

const transformer = workResult('transformer', '4x64,2+6,256+64', 'processor', [
  contestant('flux2c', 'wasm', { time: 100 }),
  contestant('flux2c', 'wasm', { time: 50, threads: 2 }),
  contestant('onnxruntime-web', 'wasm', { time: 120 }),
  contestant('onnxruntime-web', 'wasm', { time: 80, threads: 2 }),
  contestant('onnxruntime-node', 'native', { time: 30 }),
]);

describe('fastestPeer', () => {
  it('leaves out who is wrong, failed, flux2c or of another kind', () => {
    expect(fastestPeer(attention, { kind: 'webgpu', threads: 1 }, 'wall')?.stack).toBe('jax-js');
    expect(fastestPeer(attention, { kind: 'webgpu', threads: 1 }, 'cpu')?.stack).toBe('tfjs');
    expect(fastestPeer(transformer, { kind: 'wasm', threads: 1 }, 'wall')?.stack).toBe('onnxruntime-web');
    expect(fastestPeer(transformer, { kind: 'wasm', threads: 3 }, 'wall')).toBeUndefined();
  });
});

describe('judgeGoals', () => {
  it('holds attention against plain forms and against the fused operator', () => {
    const [plain, fused] = judgeGoals(attention);
    expect(plain).toMatchObject({ goal: 3, wall: 3.1, rival: 'jax-js' });
    expect(plain?.cpu).toBeCloseTo(14 / 5);
    expect(isReached(plain!, 'wall')).toBe(true);
    expect(isReached(plain!, 'cpu')).toBe(false);
    expect(fused).toMatchObject({ goal: 1.5, wall: 1.4, rival: 'onnxruntime-web, fused attention (off by 3.0e-3)' });
  });

  it('compares WebAssembly with equally many threads, and two threads with one by wall time', () => {
    const goals = judgeGoals(transformer);
    expect(goals.map(({ goal, wall }) => [goal, wall])).toEqual([
      [1.3, 1.2],
      [1.3, 1.6],
      [1.7, 2],
    ]);
    expect(goals[2]?.cpu).toBeUndefined();
  });

  it.each([
    ['lavapipe', 'product', '8x8x8', 4],
    ['llvmpipe', 'convolution', '8x8@8', 4],
    ['lavapipe', 'transformer', '1x8,1+1,4+4', 3],
    ['swiftshader', 'transformer', '1x8,1+1,4+4', 2],
    ['swiftshader', 'product', '8x8x8', undefined],
    ['processor', 'product', '8x8x8', undefined],
  ] as const)('%s has for a %s of any shape', (place, kind, shape, goal) => {
    expect(judgeGoals(workResult(kind, shape, place, []))[0]?.goal).toBe(goal);
  });

  const onGpu = { numbers: 'f16', hardware: true } as const;
  const rated = (kind: WorkKind, shape: string, time: number): WorkResult =>
    workResult(
      kind,
      shape,
      'a GPU',
      [
        contestant('flux2c', 'webgpu', { time: 0.1, error: 2e-3 }),
        contestant('flux2c', 'webgpu', { time, numbers: 'f16', error: 2e-3 }),
        contestant('flux2c', 'cuda', { time: time / 4, numbers: 'f16', error: 2e-3 }),
        contestant('jax-js', 'webgpu', { time: 3.5 * time, numbers: 'f16', error: 5e-3 }),
        contestant('onnxruntime-web', 'webgpu', { time: 2 * time, numbers: 'f16', error: 2e-2 }),
        contestant('onnxruntime-web', 'webgpu', { time: 3.2 * time }),
      ],
      onGpu,
    );

  it('wants three times the fastest right form on a GPU, by wall time', () => {
    const [goal, ...more] = judgeGoals(rated('attention', '2x64x64', 1));
    expect(goal).toMatchObject({ goal: 3, cpu: undefined, rival: 'onnxruntime-web' });
    expect(goal?.wall).toBeCloseTo(3.2);
    expect(more).toEqual([]);
  });

  it('wants a share of the rate of products of transformers in f16 there', () => {
    const slow = rated('product', '64x64x64', 10);
    const fast = rated('product', '128x128x128', 1);
    const work = rated('transformer', '2x32,1+1,16+16', 1);
    const share = judgeAll([slow, fast, work]).find(({ what }) => what.includes('share'));
    expect(share?.goal).toBe(0.4);
    expect(share?.wall).toBeCloseTo(work.flop / fast.flop);
    expect(share?.rival).toContain('product 128x128x128 in f16 on a GPU');
    const alone = judgeAll([work]).find(({ what }) => what.includes('share'));
    expect(alone).toMatchObject({ wall: undefined, rival: 'nothing to compare with' });
    expect(judgeAll([{ ...work, numbers: 'f32' }]).some(({ what }) => what.includes('share'))).toBe(false);
  });

  it('does not judge without times', () => {
    const [goal] = judgeGoals(workResult('product', '8x8x8', 'lavapipe', [contestant('flux2c', 'webgpu')]));
    expect(isReached(goal!, 'wall')).toBeUndefined();
  });
});

describe('a report', () => {
  const result: PeersResult = {
    version: 1,
    date: '2026-11-26T12:00:00.000Z',
    compiler: '0.1.0',
    processor: 'a processor, 2 threads',
    packages: { tfjs: '4.22.0' },
    works: [attention, transformer],
  };

  it('says who is how much slower, who is wrong and who failed', () => {
    const text = formatPeers(result);
    expect(text).toMatch(/jax-js +31\.0 ms +15\.5 ms +8\.66 +3\.10, 3\.10/);
    expect(text).toContain('broken (wrong)');
    expect(text).toContain('broken is off by 1.0e-2 and not ranked.');
    expect(text).toContain('missing failed: not installed\n');
    expect(text).toMatch(/fastest plain form +3 +3\.10 +2\.80 +by wall time only +jax-js/);
    // Native code is held against WebAssembly with as many threads.
    expect(text).toMatch(/onnxruntime-node, 1 thread +30\.0 ms +15\.0 ms +\d+ +0\.30, 0\.30/);
  });

  it('has a column for each work in Markdown', () => {
    const text = formatPeersMarkdown(result);
    expect(text).toContain('| stack | attention 4x512x64 |');
    expect(text).toContain('| jax-js | 15.5 ms (31.0) |');
    expect(text).toContain('| onnxruntime-web, fused attention | wrong: 7.00 ms (14.0) |');
    expect(text).toContain('| missing | failed |');
    expect(text).toContain('| flux2c, 2 threads | 25.0 ms (50.0) |');
    // Nothing was started anew.
    expect(text).not.toContain('cold start');
    const started = { ...transformer.contestants[0]!, coldStart: { empty: 2000, warm: 1500 } };
    const again = formatPeersMarkdown({ ...result, works: [{ ...transformer, contestants: [started] }] });
    expect(again).toContain('| flux2c, 1 thread, on the processor | 5.00 ms | 2.00 s | 1.50 s |');
  });

  it('is drawn with a bar for everyone that has times', () => {
    const plot = renderPeersPlot(result);
    // And the paper that they are on.
    expect(plot.match(/<rect/g)).toHaveLength(5 + 5 + 1);
    expect(plot).not.toContain('var(--');
    expect(plot.startsWith('<svg xmlns=')).toBe(true);
  });

  it('has wall times and rates of GPUs, and CUDA beside them', () => {
    const contestants = [
      contestant('flux2c', 'webgpu', { time: 2, numbers: 'f16' }),
      contestant('flux2c', 'cuda', { time: 1, numbers: 'f16' }),
      contestant('jax-js', 'webgpu', { time: 9, numbers: 'f16' }),
    ];
    const work = workResult('product', '512x512x512', 'a GPU', contestants, { numbers: 'f16', hardware: true });
    const text = formatPeers({ ...result, works: [work] });
    expect(text).toContain('product 512x512x512 in f16 on a GPU');
    expect(text).toMatch(/flux2c, CUDA, f16 +1\.00 ms +268 +0\.50 /);
    expect(text).toMatch(/jax-js, f16 +9\.00 ms +29\.8 +4\.50 /);
    const markdown = formatPeersMarkdown({ ...result, works: [work] });
    expect(markdown).toContain('weights and inputs in f16: wall time, in brackets TFLOP/s');
    expect(markdown).toContain('| jax-js, f16 | 9.00 ms (0.0298) |');
  });

  it('comes back from its file', () => {
    expect(decodePeersResult(new TextDecoder().decode(encodePeersResult(result)), 'result.json')).toEqual(result);
    const { numbers: _numbers, hardware: _hardware, ...older } = transformer;
    const text = JSON.stringify({ ...result, works: [older] });
    expect(decodePeersResult(text, 'result.json').works).toEqual([transformer]);
    expect(codeOf(() => decodePeersResult('{"version":2,"works":[]}', 'result.json'))).toBe('F2C711');
    expect(codeOf(() => decodePeersResult('no', 'result.json'))).toBe('F2C711');
  });
});
