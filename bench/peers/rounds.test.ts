import { describe, expect, it } from 'vitest';
import { calmRounds, medianOf, orderOfRound, repeatsWithin, type Round, summarizeRounds } from './rounds.js';

const round = (speed: number, wall: number): Round => ({ speed, samples: new Map([['a', { wall, cpu: 2 * wall }]]) });

describe('orderOfRound', () => {
  it('puts everyone everywhere equally often', () => {
    const orders = [0, 1, 2, 3, 4, 5].map((at) => orderOfRound(['a', 'b', 'c'], at).join(''));
    expect(orders).toEqual(['abc', 'bca', 'cab', 'abc', 'bca', 'cab']);
    expect(orderOfRound([], 3)).toEqual([]);
  });
});

describe('summarizeRounds', () => {
  it('leaves out rounds in which other work ran', () => {
    const rounds = [round(100, 10), round(60, 90), round(97, 12), round(84, 80), round(86, 11)];
    expect(calmRounds(rounds, 100)).toHaveLength(3);
    const times = summarizeRounds(rounds, 100, 'a');
    expect(times?.wall.median).toBe(11);
    expect(times?.wall.count).toBe(3);
    expect(times?.cpu.median).toBe(22);
  });

  it('takes all rounds when too few are calm', () => {
    const times = summarizeRounds([round(100, 10), round(60, 30), round(60, 20)], 100, 'a');
    expect(times?.wall.count).toBe(3);
    expect(times?.wall.median).toBe(20);
  });

  it('knows nothing of who took no part', () => {
    expect(summarizeRounds([round(1, 1)], 1, 'b')).toBeUndefined();
  });
});

describe('repeatsWithin', () => {
  it('fills the time, once at least', () => {
    expect(repeatsWithin(150, 30)).toBe(5);
    expect(repeatsWithin(150, 4000)).toBe(1);
    expect(repeatsWithin(150, 0)).toBe(20);
  });
});

describe('medianOf', () => {
  it('needs no order', () => {
    expect(medianOf([9, 1, 5])).toBe(5);
    expect(medianOf([4, 1, 3, 2])).toBe(2.5);
  });
});
