import { describe, expect, it } from 'vitest';
import { createCpuDevice } from '../../../runtime/cpu/node/cpu-device.js';
import { computeReference, relativeError } from '../reference.js';
import { makeWorkData } from '../work-data.js';
import { buildWorkGraph } from '../work-graph.js';
import { parseWork, type WorkKind } from '../works.js';
import { stackOn } from './flux2c.js';

describe('flux2c as a stack', () => {
  it.each<[WorkKind, string]>([
    ['product', '9x20x13'],
    ['attention', '2x17x16'],
    ['convolution', '5x7@6'],
    ['transformer', '2x16,1+1,6+5'],
  ])('computes the reference of a %s of %s, before and after repeated runs', async (kind, shape) => {
    const work = parseWork(kind, shape);
    const graph = buildWorkGraph(work);
    const reference = computeReference(work);
    const stack = stackOn(createCpuDevice({ threads: 2 }));
    try {
      const task = await stack.prepare({ work, graph, data: makeWorkData(work, graph), fused: false });
      await task.run();
      expect(relativeError(await task.read(), reference)).toBeLessThan(1e-6);
      await task.run();
      await task.run();
      expect(relativeError(await task.read(), reference)).toBeLessThan(1e-6);
      await task.release();
    } finally {
      await stack.close();
    }
  });
});

describe('relativeError', () => {
  it('is that of the whole, and infinite for what is no result', () => {
    const reference = Float64Array.of(3, 4);
    expect(relativeError(Float32Array.of(3, 4), reference)).toBe(0);
    expect(relativeError(Float32Array.of(3, 4.5), reference)).toBeCloseTo(0.1);
    expect(relativeError(Float32Array.of(3), reference)).toBe(Infinity);
    expect(relativeError(Float32Array.of(3, NaN), reference)).toBe(Infinity);
  });
});
