import { describe, expect, it } from 'vitest';
import { cudaTarget } from '../../backends/cuda/cuda-target.js';
import { cpuTarget, portableWebgpu, type Target } from '../../backends/target.js';
import { graph, linear, silu } from '../../frontend/index.js';
import { interpretFunction } from '../../ir/graph/interpret.js';
import { parseModule } from '../../ir/graph/parse.js';
import { compareTensors, type HostTensor } from '../../ir/host-tensor.js';
import type { AxisSpread, Schedule } from '../../ir/kernel/tile.js';
import { patternCases } from '../../test/run-pass.js';
import { runPlan } from '../../test/run-plan.js';
import { compileModule } from '../compile.js';
import type { CompiledModule } from '../compiled.js';

const module = parseModule(`func @f(%a: f32[n, 12], %b: f32[20, 12], %x: f32[n, 24]) -> (p: %s, n: %l) {
  %p = matmul(%a, %b) {transposeB = true}
  %s = silu(%p)
  %l = layer_norm(%x) {eps = 0.01}
}`);

function compile(schedules: ReadonlyMap<string, Schedule>, target: Target): CompiledModule {
  return compileModule(module, target, { print: () => '', schedules });
}

const spread = (threads: number, registers: number, vector: 1 | 2 | 4): AxisSpread => ({ threads, registers, vector });

/** Compiles with schedules in place of the chosen ones, by the first operation of a kernel. */
function override(work: string, change: (chosen: Schedule) => Schedule, target = portableWebgpu): CompiledModule {
  const chosen = [...compile(new Map(), target).kernels.values()].find(({ name }) => name.startsWith(work));
  if (chosen === undefined) throw new Error(`no kernel for ${work}`);
  return compile(new Map([[chosen.key(), change(chosen.schedule)]]), target);
}

describe('schedules in place of the chosen ones', () => {
  it.each<[string, string, (chosen: Schedule) => Schedule]>([
    ['other tiles and lanes', 'matmul', (chosen) => ({ ...chosen, spread: { m: spread(2, 3, 1), n: spread(1, 2, 2), k: spread(1, 1, 4) } })],
    ['lanes along the output', 'matmul', (chosen) => ({ ...chosen, unroll: 1, spread: { m: spread(4, 1, 1), n: spread(2, 1, 4), k: spread(1, 1, 1) } })],
    ['rows in the order of the invocations', 'matmul', (chosen) => ({ ...chosen, threadOrder: ['m', 'n'] })],
    ['an invocation a row', 'layer_norm', (chosen) => ({ ...chosen, spread: { m: spread(4, 1, 1), c: spread(1, 1, 4) } })],
    ['more invocations than vectors in a row', 'layer_norm', (chosen) => ({ ...chosen, spread: { m: spread(2, 1, 1), c: spread(16, 1, 2) } })],
  ])('compute the same: %s', (_, work, change) => {
    const compiled = override(work, change);
    const inputs = patternCases(module, { n: 7 })[0]?.inputs ?? new Map<string, HostTensor>();
    const none = (): never => {
      throw new Error('no weights');
    };
    const want = interpretFunction(module, 'f', inputs, none, { precision: 'f32' });
    const { results } = runPlan(compiled, 'f', inputs, none);
    for (const [name, tensor] of want) {
      expect(compareTensors(results.get(name) as HostTensor, tensor).relativeL2).toBeLessThan(1e-5);
    }
  }); // prettier-ignore

  it.each<[string, string, (chosen: Schedule) => Schedule, Target]>([
    ['lacks an axis', 'matmul', (chosen) => ({ ...chosen, spread: { m: spread(1, 1, 1), n: spread(1, 1, 4) } }), portableWebgpu],
    ['do not divide', 'matmul', ({ spread: axes, ...chosen }) => ({ ...chosen, spread: { ...axes, m: spread(1, 1, 4) } }), portableWebgpu],
    ['thread order', 'matmul', (chosen) => ({ ...chosen, threadOrder: ['n'] }), portableWebgpu],
    ['lacks the groups', 'matmul', ({ spread: axes, ...chosen }) => ({ ...chosen, spread: { ...axes, m: { ...spread(2, 1, 1), groups: 2 } } }), portableWebgpu],
    ['too many', 'matmul', ({ spread: axes, ...chosen }) => ({ ...chosen, spread: { ...axes, m: spread(512, 1, 1) } }), portableWebgpu],
    ['add up', 'layer_norm', (chosen) => ({ ...chosen, threadOrder: ['m', 'c'], spread: { m: spread(2, 1, 1), c: spread(2, 1, 4) } }), portableWebgpu],
    ['add up', 'layer_norm', (chosen) => ({ ...chosen, spread: { m: spread(1, 1, 1), c: spread(3, 1, 4) } }), portableWebgpu],
    ['multiplies no matrices so', 'matmul', (chosen) => ({ ...chosen, matrix: { unit: 'mma', stages: 2 }, subgroupSize: 32 }), portableWebgpu],
    ['multiplies no matrices so', 'matmul', (chosen) => ({ ...chosen, matrix: { unit: 'wgmma', stages: 2 }, subgroupSize: 32 }), cudaTarget(['sm_80'])],
    ['copies no boxes', 'matmul', (chosen) => ({ ...chosen, matrix: { unit: 'mma', stages: 2, walk: {} }, subgroupSize: 32 }), cudaTarget(['sm_80'])],
    ['lack stages', 'matmul', (chosen) => ({ ...chosen, matrix: { unit: 'mma', stages: 1 }, subgroupSize: 32 }), cudaTarget(['sm_80'])],
    ['no matrices that this schedule', 'matmul', (chosen) => ({ ...chosen, matrix: { unit: 'mma', stages: 2 }, subgroupSize: 32 }), cudaTarget(['sm_80'])],
    ['no matrices that this schedule', 'layer_norm', (chosen) => ({ ...chosen, matrix: { unit: 'mma', stages: 2 }, subgroupSize: 32 }), cudaTarget(['sm_80'])],
    ['no workgroup memory', 'layer_norm', (chosen) => ({ ...chosen, threadOrder: ['c', 'm'], spread: { m: spread(1, 1, 1), c: spread(2, 1, 4) } }), cpuTarget],
  ])('are refused when something %s', (message, work, change, target) => {
    expect(() => override(work, change, target)).toThrow(
      expect.objectContaining({ code: 'F2C304', message: expect.stringContaining(message) as string }),
    );
  }); // prettier-ignore
});

describe('schedules of matrix products', () => {
  const target = cudaTarget(['sm_90a']);
  const fn = graph('f');
  fn.output({ y: linear(silu(fn.input('x', 'f32', ['n', 128])), fn.weight('w', 'bf16', [256, 128])) });
  const products = fn.build();
  const compileWith = (schedules: ReadonlyMap<string, Schedule>): CompiledModule =>
    compileModule(products, target, { print: () => '', operands: 'bf16', schedules });
  const chosen = [...compileWith(new Map()).kernels.values()].find(
    ({ schedule }) => schedule.matrix?.walk !== undefined,
  )!;
  const { matrix, spread: axes } = chosen.schedule;

  it.each<[string, Partial<Schedule>]>([
    ['no such block', { matrix: { ...matrix!, walk: { block: 0 } } }],
    ['no such block', { matrix: { ...matrix!, walk: { block: 1.5 } } }],
    ['lack stages', { matrix: { ...matrix!, stages: 2.5 } }],
    ['do not fit the workgroup memory', { matrix: { ...matrix!, stages: 20 } }],
    ['too many', { spread: { ...axes, m: { ...axes['m']!, groups: 32 } } }],
    ['no matrices that this schedule', { spread: { ...axes, k: { ...axes['k']!, registers: 32 } } }],
  ])('are refused when something %s', (message, change) => {
    expect(() => compileWith(new Map([[chosen.key(), { ...chosen.schedule, ...change }]]))).toThrow(
      expect.objectContaining({ code: 'F2C304', message: expect.stringContaining(message) as string }),
    );
  });

  it('may have other blocks of tiles and fewer stages', () => {
    const change = { ...chosen.schedule, matrix: { ...matrix!, stages: 3, walk: { block: 5 } } };
    const compiled = compileWith(new Map([[chosen.key(), change]]));
    const made = [...compiled.kernels.values()].find(({ key }) => key() === chosen.key());
    expect(made?.thread.barriers?.map(({ length }) => length)).toEqual([3, 3]);
  });
});
