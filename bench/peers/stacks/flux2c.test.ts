import { describe, expect, it } from 'vitest';
import { createCpuDevice } from '../../../runtime/cpu/node/cpu-device.js';
import type { Numbers } from '../numbers.js';
import { computeReference, relativeError } from '../reference.js';
import type { Reference } from '../sampled-reference.js';
import type { PreparedTask } from '../stack.js';
import { makeWorkData } from '../work-data.js';
import { buildWorkGraph } from '../work-graph.js';
import { parseWork, type WorkKind } from '../works.js';
import { stackOn } from './flux2c.js';

describe('flux2c as a stack', () => {
  const works: readonly (readonly [WorkKind, string])[] = [
    ['product', '9x20x13'],
    ['attention', '2x17x16'],
    ['convolution', '5x7@6'],
    ['transformer', '2x16,1+1,6+5'],
  ];

  async function withTask(
    [kind, shape]: readonly [WorkKind, string],
    numbers: Numbers,
    use: (task: PreparedTask, reference: Reference) => Promise<void>,
  ): Promise<void> {
    const work = parseWork(kind, shape);
    const graph = buildWorkGraph(work, numbers);
    const stack = stackOn(createCpuDevice({ threads: 2 }));
    try {
      const data = makeWorkData(work, graph, { numbers, storage: numbers });
      const task = await stack.prepare({ work, graph, data, numbers: 'f32', fused: false });
      await use(task, computeReference(work, numbers));
      await task.release();
    } finally {
      await stack.close();
    }
  }

  it.each(works)('computes the reference of a %s of %s, before and after repeated runs', (kind, shape) =>
    withTask([kind, shape], 'f32', async (task, reference) => {
      await task.run(1);
      expect(relativeError(await task.read(), reference)).toBeLessThan(1e-6);
      await task.run(1);
      await task.run(3);
      expect(relativeError(await task.read(), reference)).toBeLessThan(1e-6);
    }),
  );

  it.each(works)('a %s of %s with weights in f16 is that of the same numbers in f32', (kind, shape) =>
    withTask([kind, shape], 'f16', async (task, reference) => {
      expect(relativeError(await task.read(), reference)).toBeLessThan(1e-6);
    }),
  );
});
