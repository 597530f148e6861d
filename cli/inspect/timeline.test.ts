import { portableWebgpu } from '../../backends/target.js';
import { describe, expect, it } from 'vitest';
import { bindSizesOf, resolveSizes } from './sizes.js';
import { withSubject } from './subject.js';
import { reportFunction } from './report.js';
import { traceMemory } from './timeline.js';

describe('traceMemory', () => {
  it.each(['denoise', 'vae_decoder'] as const)('shows the arenas of %s as they were placed', async (name) => {
    await withSubject({ targets: [{ target: portableWebgpu, architectures: [] }] }, async (subject) => {
      const sizes = bindSizesOf(name, resolveSizes({ references: 1 }, subject.defaults));
      const { bound, report } = reportFunction(subject.compile(name, []), sizes, subject.target, {
        schedules: new Map(),
        origin: 'chosen',
      });
      const { spans, liveBytes, arenaStarts, loops, steps } = traceMemory(bound);
      expect(Math.max(...liveBytes)).toBe(report.memory.lowerBoundBytes);
      expect(arenaStarts.at(-1)).toBe(report.memory.arenaBytes);
      expect(loops).toHaveLength(report.steps > 0 ? 1 : 0);
      expect(steps.filter((step) => step !== '').length).toBeGreaterThan(30);
      spans.forEach((one, at) => {
        expect(one.byteOffset + one.byteLength).toBeLessThanOrEqual(report.memory.arenaBytes);
        for (const other of spans.slice(at + 1)) {
          if (one.last < other.first || other.last < one.first) continue;
          const apart =
            one.byteOffset + one.byteLength <= other.byteOffset ||
            other.byteOffset + other.byteLength <= one.byteOffset;
          expect(apart, `${one.label} and ${other.label}`).toBe(true);
        }
      });
    });
  });
});
