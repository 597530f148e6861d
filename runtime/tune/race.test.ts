import { describe, expect, it } from 'vitest';
import { median, race } from './race.js';

/** Runners that take the given times, one after the other and again from the start, and how often each has run. */
function fake(...times: readonly (readonly number[])[]): { runners: (() => Promise<number>)[]; runs: number[] } {
  const runs = times.map(() => 0);
  const runners = times.map((list, place) => async () => list[runs[place]!++ % list.length]!);
  return { runners, runs };
}

const options = { rounds: 7, margin: 0.05 };

describe('a race', () => {
  it('is won by who is faster by more than the margin', async () => {
    const { runners } = fake([10, 11, 10.5], [9, 9.2, 9.4], [8, 8.5, 8.2], [9.8, 9.9, 10]);
    expect(await race(runners, options)).toMatchObject({ best: 2, medians: [10.5, 9.2, 8.2, 9.9] });
  });

  it('is won by the first where others are no faster than timings scatter', async () => {
    const { runners } = fake([10, 12, 11], [9.8, 11.2, 10.6], [10, 9.7, 12]);
    expect((await race(runners, options)).best).toBe(0);
  });

  it('is not won by one lucky run', async () => {
    const { runners } = fake([10], [2, 10, 10, 10, 10, 10, 10]);
    expect((await race(runners, options)).best).toBe(0);
  });

  it('soon leaves those behind that are far off, and never the first', async () => {
    const { runners, runs } = fake([40], [10], [16], [11.8], [200]);
    expect(await race(runners, options)).toMatchObject({ best: 1 });
    expect(runs).toEqual([7, 7, 1, 3, 1]);
  });

  it('ends when it is told to, with what is known', async () => {
    const { runners, runs } = fake([10], [5]);
    const early = await race(runners, { ...options, isOver: (rounds) => rounds === 1 });
    expect(early).toEqual({ best: 0, medians: [10, 5] });
    expect(runs).toEqual([1, 1]);
    expect(await race(fake([10], [5]).runners, { ...options, isOver: (rounds) => rounds === 3 })).toMatchObject({
      best: 1,
    });
    expect(await race(fake([10]).runners, { ...options, isOver: () => true })).toEqual({
      best: 0,
      medians: [undefined],
    });
  });
});

it.each([
  [[3], 3],
  [[5, 1], 3],
  [[5, 1, 2], 2],
  [[4, 1, 3, 2], 2.5],
])('the median of %j is %f', (samples, middle) => {
  expect(median(samples)).toBe(middle);
});
