/** Random graphs, compiled for CUDA and run on the emulator, compute what the graph interpreter does. */
import { afterAll, describe, expect, it } from 'vitest';
import { kernelPrinter } from '../backends/print-kernel.js';
import { Flux2cError } from '../ir/diagnostics.js';
import { isFloat } from '../ir/dtype.js';
import { opKinds } from '../ir/graph/attribute-forms.js';
import { interpretFunction } from '../ir/graph/interpret.js';
import { compareTensors, type HostTensor } from '../ir/host-tensor.js';
import { compileModule } from '../passes/compile.js';
import type { CompiledModule } from '../passes/compiled.js';
import { createWeightReader } from '../passes/validate.js';
import { fromHostTensor, toHostTensor } from '../runtime/host-array.js';
import { Session } from '../runtime/session.js';
import { memoryWeights } from '../runtime/weight-provider.js';
import { openEmulator } from './cuda-tools.js';
import { randomGraph, type RandomGraph } from './random-graph.js';

/** What a graph may need that kernels do not have: a clear error, not a wrong number. */
const refusals: ReadonlySet<string> = new Set(['F2C303', 'F2C305', 'F2C306']);

/** Sums in another order; a unit in the last place of bf16 where a value of 16 bits may go either way. */
const tolerances = { f32: 1e-5, narrow: 2 ** -8 };

interface CompiledGraph {
  readonly seed: number;
  readonly graph: RandomGraph;
  readonly compiled: CompiledModule;
  readonly tolerance: number;
}

const device = await openEmulator('random graphs on the CUDA emulator');
if (device !== undefined) {
  const compile = (seed: number, isNarrow: boolean): readonly CompiledGraph[] => {
    const graph = randomGraph(
      seed,
      isNarrow ? { size: 8, dtypes: ['f32', 'bf16', 'f16'] } : { size: 14, ops: opKinds },
    );
    try {
      const compiled = compileModule(graph.module, device.target, { print: kernelPrinter(device.target) });
      return [{ seed, graph, compiled, tolerance: isNarrow ? tolerances.narrow : tolerances.f32 }];
    } catch (error) {
      if (error instanceof Flux2cError && refusals.has(error.code)) return [];
      throw error;
    }
  };

  const compare = async ({ seed, graph, compiled, tolerance }: CompiledGraph): Promise<void> => {
    const { module, inputs, weights } = graph;
    const plan = compiled.plans.get('random')!;
    const session = await Session.create({ plan, kernels: compiled.kernels, device, weights: memoryWeights(weights) });
    const results = await session.run(new Map([...inputs].map(([name, input]) => [name, fromHostTensor(input)])));
    await session.destroy();
    const reader = createWeightReader(module, (name) => weights.get(name) as HostTensor);
    for (const [name, want] of interpretFunction(module, 'random', inputs, reader, { precision: 'f32' })) {
      const { maxAbs, relativeL2 } = compareTensors(toHostTensor(results.get(name)!), want);
      expect(Math.min(maxAbs, relativeL2), `${name} of seed ${seed}`).toBeLessThanOrEqual(
        isFloat(want.dtype) ? tolerance : 0,
      );
    }
  };

  describe('random graphs on the CUDA emulator', () => {
    afterAll(() => device.destroy());

    it.each([
      ['f32', 300, 350, false],
      ['16-bit', 400, 424, true],
    ] as const)('of %s numbers, seeds %i to %i', { timeout: 180_000 }, async (_, first, end, isNarrow) => {
      const graphs = Array.from({ length: end - first }, (_, at) => compile(first + at, isNarrow)).flat();
      expect(graphs.length).toBeGreaterThan((end - first) * 0.7);
      // All at once: g++ starts for eight kernels, not for each graph.
      await device.loadKernels(
        graphs.flatMap(({ compiled }) =>
          [...compiled.kernels.values()].map(({ name, thread, source }) => ({ name, kernel: thread, source })),
        ),
      );
      for (const graph of graphs) await compare(graph);
    });
  });
}
