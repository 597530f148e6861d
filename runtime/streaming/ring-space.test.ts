import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type RingRange, RingSpace } from './ring-space.js';

describe('RingSpace', () => {
  it('gives ranges that do not meet, in whatever order they are freed, and all of itself when nothing is taken', () => {
    const steps = fc.array(fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constant('free' as const)), { maxLength: 60 });
    fc.assert(
      fc.property(fc.integer({ min: 40, max: 100 }), steps, fc.infiniteStream(fc.nat()), (size, list, picks) => {
        const ring = new RingSpace(size);
        const taken: RingRange[] = [];
        for (const step of list) {
          if (step === 'free') {
            const at = (picks.next().value ?? 0) % Math.max(1, Math.min(2, taken.length));
            const [range] = taken.splice(at, 1);
            if (range !== undefined) ring.free(range);
            continue;
          }
          const range = ring.take(step);
          if (range === undefined) continue;
          expect([range.end - range.start, range.start >= 0, range.end <= size]).toEqual([step, true, true]);
          for (const other of taken) expect(range.end <= other.start || other.end <= range.start).toBe(true);
          taken.push(range);
        }
        for (const range of taken) ring.free(range);
        expect(ring.take(size)).toMatchObject({ start: 0, end: size });
      }),
    );
  });

  it('goes round', () => {
    const ring = new RingSpace(10);
    const ranges = [4, 4].map((bytes) => ring.take(bytes)!);
    expect(ring.take(4)).toBeUndefined();
    ring.free(ranges[0]!);
    expect(ring.take(4)).toMatchObject({ start: 0 });
    expect(ring.take(2)).toBeUndefined();
    ring.free(ranges[1]!);
    expect(ring.take(6)).toMatchObject({ start: 4, end: 10 });
  });
});
