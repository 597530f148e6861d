import { describe, expect, it } from 'vitest';
import { cpuTarget } from '../backends/target.js';
import { bindSizesOf, resolveSizes } from '../cli/inspect/sizes.js';
import { withSubject } from '../cli/inspect/subject.js';
import { NullDevice } from '../runtime/null-device.js';
import { measureFunction } from './measure-function.js';
import { makeInputs } from './measure-stages.js';
import { measure } from './stopwatch.js';

describe('measureFunction', () => {
  it.each(['denoise', 'vae_decoder'] as const)('times every launch of %s once a repetition', async (name) => {
    await withSubject({ targets: [{ target: cpuTarget, architectures: [] }] }, async (subject) => {
      const device = new NullDevice(cpuTarget);
      const sizes = bindSizesOf(name, resolveSizes({ width: 32, height: 32 }, subject.defaults));
      const timing = await measureFunction(subject.compile(name, []), sizes, device, { warmups: 1, repeats: 2 });
      expect(timing.isStep).toBe(name === 'denoise');
      expect(timing.times.wall.count).toBe(2);
      const sum = (
        list: readonly { readonly launches: number; readonly flop: number }[],
        key: 'launches' | 'flop',
      ): number => list.reduce((total, one) => total + one[key], 0);
      for (const list of [timing.kernels, timing.blocks]) {
        expect(sum(list, 'launches')).toBe(timing.work.launches);
        expect(sum(list, 'flop') / timing.work.flop).toBeCloseTo(1);
      }
      for (const { time } of timing.kernels) expect(time.count).toBe(2);
      // Three submissions of everything, and three of each launch: a null device has no clock.
      const launches = device.events.filter(({ kind }) => kind === 'launch').length;
      expect(launches).toBe(timing.work.launches * (3 + 3));
      expect(device.usage.bytes).toBe(0);
    });
  });
});

describe('measure', () => {
  it('leaves the warm-ups out', async () => {
    let runs = 0;
    const { wall, cpu } = await measure(async () => void runs++, { warmups: 3, repeats: 4 });
    expect(runs).toBe(7);
    expect([wall.count, cpu.count]).toEqual([4, 4]);
  });
});

describe('makeInputs', () => {
  it('makes plausible tensors of the sizes asked for', () => {
    const inputs = makeInputs(
      [
        { name: 'noise', dtype: 'f32', shape: ['batch', 'img', '128'] },
        { name: 'timesteps', dtype: 'f32', shape: ['steps'] },
        { name: 'sigma_deltas', dtype: 'f32', shape: ['steps'] },
        { name: 'attention_mask', dtype: 'i32', shape: ['batch', 'txt'] },
        { name: 'ref_ids', dtype: 'i32', shape: ['ref', '4'] },
      ],
      { batch: 1, img: 6, steps: 4, txt: 3, ref: 0 },
    );
    expect(inputs['noise']!.shape).toEqual([1, 6, 128]);
    expect(Math.max(...(inputs['noise']!.values as Float32Array).map(Math.abs))).toBeLessThanOrEqual(1);
    expect([...inputs['timesteps']!.values]).toEqual([1, 0.75, 0.5, 0.25]);
    expect([...inputs['sigma_deltas']!.values]).toEqual([-0.25, -0.25, -0.25, -0.25]);
    expect([...inputs['attention_mask']!.values]).toEqual([1, 1, 1]);
    expect(inputs['ref_ids']!.values).toHaveLength(0);
  });
});
