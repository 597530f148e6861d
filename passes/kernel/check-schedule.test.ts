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
    ['whole axis of one thread', 'layer_norm', (chosen) => ({ ...chosen, spread: { ...chosen.spread, c: { ...spread(1, 1, 4), walked: true } } }), cpuTarget],
    ['sections do not divide', 'matmul', ({ spread: axes, ...chosen }) => ({ ...chosen, spread: { ...axes, k: { ...spread(1, 1, 4), section: 6 } } }), cpuTarget],
    ['sections do not divide', 'matmul', ({ spread: axes, ...chosen }) => ({ ...chosen, spread: { ...axes, k: { ...spread(1, 1, 4), section: 8 } } }), cpuTarget],
    ['sections do not divide', 'matmul', ({ spread: axes, ...chosen }) => ({ ...chosen, spread: { ...axes, m: { ...spread(1, 1, 1), section: 1 } } }), cpuTarget],
  ])('are refused when something %s', (message, work, change, target) => {
    expect(() => override(work, change, target)).toThrow(
      expect.objectContaining({ code: 'F2C304', message: expect.stringContaining(message) as string }),
    );
  }); // prettier-ignore
});

describe('fields of schedules', () => {
  const lanes: Target = { ...portableWebgpu, stagingPays: false, subgroups: { min: 4, max: 4 } };
  const parsed = parseModule(`
    weight @w : f32[12, 3, 3, 8] = tensor "w"
    func @f(%x: f32[1, n, 6, 8], %b: f32[24, 16], %q: f32[1, 2, n, 16], %r: f32[n, 16]) -> (p: %p, y: %y, a: %a, l: %l) {
      %p = matmul(%r, %b) {transposeB = true}
      %y = conv2d(%x, @w) {stride = 1, padding = [1, 1, 1, 1]}
      %a = attention(%q, %q, %q) {scale = 0.3, causal = false}
      %l = layer_norm(%r) {eps = 0.01}
    }`);
  const compileWith = (target: Target, schedules?: ReadonlyMap<string, Schedule>): CompiledModule =>
    compileModule(parsed, target, { print: () => '', ...(schedules && { schedules }) });
  const change =
    (axis: string, more: object) =>
    ({ spread: axes, ...rest }: Schedule): Schedule => ({
      ...rest,
      spread: { ...axes, [axis]: { ...axes[axis]!, ...more } },
    });
  const set =
    (more: object) =>
    (chosen: Schedule): Schedule => ({ ...chosen, ...more });

  it.each<[string, string, (chosen: Schedule) => Schedule, Target]>([
    ['has no such axis', 'matmul', change('q', { threads: 1, registers: 1, vector: 1 }), cpuTarget],
    ['no such number of registers', 'matmul', change('m', { registers: 1.5 }), cpuTarget],
    ['no such number of threads', 'matmul', change('m', { threads: 0 }), cpuTarget],
    ['no such vectors', 'matmul', change('k', { vector: 3 }), cpuTarget],
    ['unrolled so often', 'matmul', set({ unroll: 0 }), cpuTarget],
    ['unrolled so often', 'matmul', set({ unroll: 1000 }), cpuTarget],
    ['repeats itself', 'matmul', set({ threadOrder: ['m', 'n', 'm'] }), cpuTarget],
    ['what is no axis', 'matmul', set({ threadOrder: ['m', 'n', 'q'] }), cpuTarget],
    ['groups and shared threads', 'matmul', change('m', { threadsOf: 'n' }), cpuTarget],
    ['so many registers', 'matmul', change('m', { registers: 2048 }), cpuTarget],
    ['too many products', 'matmul', (chosen) => change('m', { registers: 128 })(set({ unroll: 32 })(chosen)), cpuTarget],
    ['vectors lie along another axis', 'conv2d', change('m', { vector: 2 }), cpuTarget],
    ['must be all of it', 'attention', change('d', { registers: 2 }), cpuTarget],
    ['no tile is over', 'attention', change('h', { registers: 2 }), cpuTarget],
    ['lanes lie along the result', 'matmul', (chosen) => change('k', { threads: 4, vector: 1 })(set({ threadOrder: ['k', 'm', 'n'] })(chosen)), portableWebgpu],
    ['cannot add up in a loop', 'attention', (chosen) => change('j', { threads: 4 })(set({ threadOrder: ['j', 'm'] })(chosen)), portableWebgpu],
    ['without a subgroup', 'matmul', change('m', { dealtTo: 'n' }), lanesOff()],
    ['no subgroups of one such size', 'matmul', set({ subgroupSize: 8 }), lanes],
    ['which invocation is which lane', 'layer_norm', set({ subgroupSize: 4 }), lanes],
    ['dealt to what is no subgroup', 'matmul', change('n', { threads: 2 }), lanes],
    ['a loop deals no registers out', 'matmul', change('k', { dealtTo: 'n' }), lanes],
    ['of one thread', 'matmul', change('n', { dealtTo: 'n' }), lanes],
    ['no memory of an invocation', 'attention', change('d', { walked: true }), portableWebgpu],
    ['only a whole axis', 'matmul', change('n', { walked: true, threads: 1 }), cpuTarget],
    ['in memory of one invocation', 'attention', (chosen) => change('m', { threads: 2 })(chosen), cpuTarget],
    ['sections do not divide', 'conv2d', change('k', { section: 6 }), cpuTarget],
    ['sections do not divide', 'conv2d', change('k', { section: 144 }), cpuTarget],
    ['do not go with registers', 'conv2d', change('k', { section: 8 }), lanes],
    ['has sections', 'layer_norm', change('c', { section: 8 }), cpuTarget],
  ])('are refused when what they say %s: %s', (message, work, edit, target) => {
    const chosen = [...compileWith(target).kernels.values()].find(({ name }) => name.startsWith(work))!;
    expect(() => compileWith(target, new Map([[chosen.key(), edit(chosen.schedule)]]))).toThrow(
      expect.objectContaining({ code: 'F2C304', message: expect.stringContaining(message) as string }),
    );
  }); // prettier-ignore

  it('are known by a key that no target and no schedule changes', () => {
    const keysFor = (target: Target): readonly string[] =>
      [...compileWith(target).kernels.values()].map(({ key }) => key());
    const keys = keysFor(portableWebgpu);
    expect(new Set(keys).size).toBe(4);
    for (const target of [lanes, cpuTarget, cudaTarget(['sm_80'])]) expect(keysFor(target)).toEqual(keys);
    const chosen = [...compileWith(cpuTarget).kernels.values()][0]!;
    const other = compileWith(cpuTarget, new Map([[chosen.key(), change('m', { registers: 3 })(chosen.schedule)]]));
    const again = [...other.kernels.values()].find(({ key }) => key() === chosen.key())!;
    expect(again.name).not.toBe(chosen.name);
  });
});

/** Without subgroups. */
function lanesOff(): Target {
  return { ...portableWebgpu, stagingPays: false };
}

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
