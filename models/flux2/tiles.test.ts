import { describe, expect, it } from 'vitest';
import { cutTile, planSpans, planTiles, TileBlender } from './tiles.js';

describe('tiles', () => {
  it('cover every length with at least the overlap asked for', () => {
    for (let length = 1; length < 200; length++) {
      const spans = planSpans(length, { size: 32, overlap: 8 });
      expect(spans[0]).toBe(0);
      expect(Math.max(length, 32)).toBe((spans.at(-1) ?? 0) + 32);
      for (const [i, start] of spans.slice(1).entries()) expect(spans[i]! + 32 - start).toBeGreaterThanOrEqual(8);
    }
  });

  it('fade linearly from one to the next', () => {
    const blender = new TileBlender(1, 1, 12);
    blender.add({ top: 0, left: 0, height: 1, width: 8 }, new Float32Array(8).fill(0), 4);
    blender.add({ top: 0, left: 4, height: 1, width: 8 }, new Float32Array(8).fill(1), 4);
    expect([...blender.finish()]).toEqual([0, 0, 0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1, 1, 1]);
  });

  it('are cut from every channel', () => {
    const values = Float32Array.from({ length: 2 * 3 * 4 }, (_, i) => i);
    const [, second] = planTiles(3, 4, { size: 3, overlap: 1 });
    expect(second).toEqual({ top: 0, left: 1, height: 3, width: 3 });
    expect([...cutTile(values, 2, 3, 4, second!)]).toEqual([
      ...[1, 2, 3, 5, 6, 7, 9, 10, 11],
      ...[13, 14, 15, 17, 18, 19, 21, 22, 23],
    ]);
  });
});
