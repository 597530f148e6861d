import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LinearAllocator } from './allocator.js';

describe('LinearAllocator', () => {
  it('reuses the smallest free block that fits and joins neighbours', () => {
    const allocator = new LinearAllocator(1000);
    const [a, b, c, d] = [640, 64, 128, 64].map((size) => allocator.allocate(size, 1e6) ?? NaN);
    expect([a, b, c, d]).toEqual([1024, 1664, 1728, 1856]);
    allocator.release(a ?? NaN, 640);
    allocator.release(c ?? NaN, 128);
    expect(allocator.allocate(100, 1e6)).toBe(c);
    allocator.release(c ?? NaN, 128);
    allocator.release(b ?? NaN, 64);
    expect(allocator.allocate(832, 1e6)).toBe(a);
  });

  it('gives up free space at the end and refuses what does not fit', () => {
    const allocator = new LinearAllocator(0);
    const first = allocator.allocate(100, 1024) ?? NaN;
    const second = allocator.allocate(800, 1024) ?? NaN;
    expect(allocator.allocate(200, 1024)).toBeUndefined();
    allocator.release(first, 100);
    allocator.release(second, 800);
    expect(allocator.endAddress).toBe(0);
    expect(allocator.allocate(1024, 1024)).toBe(0);
  });

  it('never gives out overlapping blocks', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 500 }), fc.boolean())), (steps) => {
        const allocator = new LinearAllocator(64);
        const live: { address: number; size: number }[] = [];
        for (const [size, release] of steps) {
          const old = live[size % Math.max(1, live.length)];
          if (release && old !== undefined) {
            allocator.release(old.address, old.size);
            live.splice(live.indexOf(old), 1);
            continue;
          }
          const address = allocator.allocate(size, 1e9) ?? NaN;
          for (const other of live)
            expect(address + Math.max(1, size) <= other.address || address >= other.address + other.size).toBe(true);
          live.push({ address, size });
        }
        for (const { address, size } of live) allocator.release(address, size);
        expect(allocator.endAddress).toBe(64);
      }),
    );
  });
});
