import { describe, expect, it } from 'vitest';
import { architectureFor } from './architecture.js';
import { forEachParallel } from '../for-each-parallel.js';

describe('the architecture for a GPU', () => {
  it.each([
    ['8.0', 'sm_80'],
    ['8.6', 'sm_86'],
    ['8.7', 'sm_86'],
    ['8.9', 'sm_89'],
    ['9.0', 'sm_90a'],
    ['12.0', 'sm_120'],
    ['12.1', 'sm_120'],
    ['7.5', undefined],
    ['10.0', undefined],
  ])('of compute capability %s is %s', (version, expected) => {
    const [major, minor] = version.split('.').map(Number);
    expect(architectureFor({ major: major!, minor: minor! })).toBe(expected);
  });

  it('is one of those that are there', () => {
    expect(architectureFor({ major: 8, minor: 9 }, ['sm_80', 'sm_90a'])).toBe('sm_80');
    expect(architectureFor({ major: 9, minor: 0 }, ['sm_80'])).toBeUndefined();
  });
});

describe('forEachParallel', () => {
  const tick = () => new Promise<void>((resolve) => setTimeout(resolve, 1));

  it('does all, not too much at once', async () => {
    const [done, atWork] = [[] as number[], { now: 0, most: 0 }];
    await forEachParallel([...Array(10).keys()], 3, async (item) => {
      atWork.most = Math.max(atWork.most, ++atWork.now);
      await tick();
      atWork.now--;
      done.push(item);
    });
    expect(done.sort((a, b) => a - b)).toEqual([...Array(10).keys()]);
    expect(atWork.most).toBe(3);
  });

  it('throws the first failure once the others have been told to stop and have stopped', async () => {
    const ended: number[] = [];
    const failing = forEachParallel([0, 1, 2, 3], 2, async (item, signal) => {
      if (item === 1) throw new Error('one');
      while (!signal.aborted) await tick();
      await tick();
      ended.push(item);
      throw new Error('told to stop');
    });
    await expect(failing).rejects.toThrow('one');
    expect(ended).toEqual([0]);
  });

  it('stops when it is told to', async () => {
    const stop = new AbortController();
    const begun: number[] = [];
    const reason = new Error('enough');
    const running = forEachParallel(
      [0, 1, 2],
      1,
      async (item) => {
        begun.push(item);
        await tick();
        stop.abort(reason);
      },
      stop.signal,
    );
    await expect(running).rejects.toBe(reason);
    expect(begun).toEqual([0]);
    await expect(forEachParallel([1], 1, tick, AbortSignal.abort(reason))).rejects.toBe(reason);
  });
});
