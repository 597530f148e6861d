import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readSafetensors } from '../../test/read-safetensors.js';
import { buildSchedule, computeMu } from './schedule.js';

interface Row {
  readonly image_seq_len: number;
  readonly num_steps: number;
  readonly mu: number;
  readonly bfl_timesteps: readonly number[];
  readonly diffusers_sigmas: readonly number[];
  readonly diffusers_timesteps: readonly number[];
}
interface Euler {
  readonly image_seq_len: number;
  readonly num_steps: number;
  readonly sigmas: readonly number[];
}
const golden = JSON.parse(readFileSync('test/golden/scheduler.json', 'utf8')) as { table: Row[]; euler: Euler };

function largestDifference(got: ArrayLike<number>, want: readonly number[]): number {
  expect(got.length).toBe(want.length);
  return want.reduce((worst, value, i) => Math.max(worst, Math.abs(got[i]! - value)), 0);
}

describe('buildSchedule', () => {
  it.each(golden.table)('$image_seq_len tokens, $num_steps steps', (row) => {
    const schedule = buildSchedule(row.image_seq_len, row.num_steps);
    expect(Math.abs(schedule.mu - row.mu)).toBeLessThan(1e-12);
    expect(largestDifference(schedule.sigmas, row.diffusers_sigmas)).toBeLessThan(1e-6);
    expect(largestDifference(schedule.sigmas, row.bfl_timesteps)).toBeLessThan(1e-6);
    // In thousandths: one unit in the last place of 1000 is 6e-5.
    expect(largestDifference(schedule.timesteps, row.diffusers_timesteps)).toBeLessThan(1.3e-4);
    expect(largestDifference(schedule.modelTimesteps, row.diffusers_sigmas.slice(0, -1))).toBeLessThan(1e-6);
  });

  it('gives the levels of the Euler case and of the embedded checkpoint', () => {
    const { image_seq_len, num_steps, sigmas } = golden.euler;
    expect(largestDifference(buildSchedule(image_seq_len, num_steps).sigmas, sigmas)).toBeLessThan(1e-6);
    const sample = readSafetensors('test/golden/flux2-shapes-samples/case_0.safetensors');
    expect(largestDifference(buildSchedule(64, 20).sigmas, [...sample.tensor('timesteps').values])).toBeLessThan(1e-6);
  });

  it('starts at 1, ends at 0 and falls all the way', () => {
    const { sigmas } = buildSchedule(4096, 28);
    expect(sigmas[0]).toBe(1);
    expect(sigmas[28]).toBe(0);
    expect(sigmas.every((value, i) => i === 0 || value < sigmas[i - 1]!)).toBe(true);
  });

  it('refuses counts that are not positive integers', () => {
    expect(() => buildSchedule(64, 0)).toThrowError(/number of steps/);
    expect(() => computeMu(2.5, 4)).toThrowError(/image tokens/);
  });
});
