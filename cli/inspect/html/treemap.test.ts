import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { placeAreas } from './treemap.js';

describe('placeAreas', () => {
  it('fills the rectangle in proportion to the sizes, without overlap', () => {
    const sizes = fc.array(fc.integer({ min: 0, max: 1000 }), { minLength: 1, maxLength: 25 });
    fc.assert(
      fc.property(sizes, (values) => {
        const total = values.reduce((sum, value) => sum + value, 0);
        fc.pre(total > 0);
        const whole = { x: 10, y: 20, width: 300, height: 120 };
        const placed = placeAreas(
          values.map((size, item) => ({ size, item })),
          whole,
        );
        expect(placed).toHaveLength(values.filter((size) => size > 0).length);
        for (const { area, rectangle } of placed) {
          const { x, y, width, height } = rectangle;
          expect(width * height).toBeCloseTo((area.size / total) * 300 * 120, 3);
          expect(x).toBeGreaterThanOrEqual(10 - 1e-6);
          expect(y).toBeGreaterThanOrEqual(20 - 1e-6);
          expect(x + width).toBeLessThanOrEqual(310 + 1e-6);
          expect(y + height).toBeLessThanOrEqual(140 + 1e-6);
        }
        for (const { rectangle: a } of placed) {
          for (const { rectangle: b } of placed) {
            if (a === b) continue;
            const wide = Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x);
            const high = Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y);
            expect(Math.min(wide, high)).toBeLessThan(1e-6);
          }
        }
      }),
    );
  });

  it('keeps equal areas near to squares', () => {
    const placed = placeAreas(
      Array.from({ length: 16 }, (_, item) => ({ size: 1, item })),
      { x: 0, y: 0, width: 100, height: 100 },
    );
    for (const { rectangle } of placed) expect(rectangle.width / rectangle.height).toBeCloseTo(1);
  });
});
