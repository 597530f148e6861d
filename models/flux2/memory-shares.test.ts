import { describe, expect, it } from 'vitest';
import { MemoryShares } from './memory-shares.js';

describe('shares of a budget', () => {
  it('are all that is left, or half of it beside others, and come back', () => {
    const shares = new MemoryShares({ deviceBytes: 1001 });
    const decoder = shares.take(true);
    expect(decoder.deviceBytes).toBe(500);
    const denoiser = shares.take(false);
    expect(denoiser.deviceBytes).toBe(501);
    expect(shares.take(false).deviceBytes).toBe(0);
    denoiser.release();
    denoiser.release();
    decoder.release();
    expect(shares.take(false).deviceBytes).toBe(1001);
  });

  it('become less where the device has less, for those that are opened later, too', () => {
    const told: number[] = [];
    const shares = new MemoryShares({ deviceBytes: 1000, isGuess: true, onShrink: (bytes) => void told.push(bytes) });
    const encoder = shares.take(false);
    encoder.shrink(800);
    encoder.shrink(900);
    expect(encoder.deviceBytes).toBe(800);
    expect(told).toEqual([800, 800]);
    encoder.release();
    expect(shares.take(false).deviceBytes).toBe(800);
  });

  it.each([Infinity, 1000])('are the whole for everybody where all is tried first: %d', (deviceBytes) => {
    const shares = new MemoryShares({ deviceBytes, isGuess: true, triesWhole: true });
    expect(shares.isLimited).toBe(false);
    const both = [shares.take(true), shares.take(false)];
    expect(both.map((share) => share.deviceBytes)).toEqual([deviceBytes, deviceBytes]);
    both[0]!.shrink(600);
    for (const share of both) share.release();
    expect(shares.take(false).deviceBytes).toBe(600);
  });
});
