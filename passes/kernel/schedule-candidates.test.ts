import { describe, expect, it } from 'vitest';
import { hopperWebgpu } from '../../test/webgpu-targets.js';
import { cpuTarget, portableWebgpu, type Target } from '../../backends/target.js';
import { Flux2cError } from '../../ir/diagnostics.js';
import type { Module } from '../../ir/graph/graph.js';
import { interpretFunction } from '../../ir/graph/interpret.js';
import { parseModule } from '../../ir/graph/parse.js';
import { compareTensors, type HostTensor } from '../../ir/host-tensor.js';
import type { AxisSpread, Schedule } from '../../ir/kernel/tile.js';
import { verifyThreadKernel } from '../../ir/kernel/thread-verify.js';
import { Random } from '../../test/random.js';
import { patternCases, patternWeights } from '../../test/run-pass.js';
import { runPlan } from '../../test/run-plan.js';
import { prepareModule } from '../compile.js';
import type { CompiledKernel } from '../compiled.js';
import { createWeightReader } from '../validate.js';
import { listCandidates } from './schedule-candidates.js';

const kernels = {
  product: `
    weight @w : bf16[20, 12] = tensor "w"
    func @f(%x: f32[n, 12], %r: f32[n, 20]) -> (y: %y) {
      %h = matmul(%x, @w) {transposeB = true}
      %y = add(%h, %r)
    }`,
  'two products': `
    weight @w : f32[48, 8] = tensor "w"
    func @f(%x: f32[n, 8]) -> (y: %y) {
      %h = matmul(%x, @w) {transposeB = true}
      %a, %b = split(%h) {axis = 1, sizes = [24, 24]}
      %s = silu(%a)
      %y = mul(%s, %b)
    }`,
  'product along columns': `
    func @f(%a: f32[2, n, 8], %b: f32[2, 8, 16]) -> (y: %y) {
      %y = matmul(%a, %b) {transposeB = false}
    }`,
  'an odd product': `
    weight @w : f32[9, 10] = tensor "w"
    func @f(%x: f32[n, 10]) -> (y: %y) {
      %y = matmul(%x, @w) {transposeB = true}
    }`,
  'an encoded product': `
    func @f(%x: f32[n, 64], %c: u32[18, 16], %s: f32[18, 1]) -> (y: %y) {
      %w = dequantize(%c, %s) {encoding = "int8"}
      %y = matmul(%x, %w) {transposeB = true}
    }`,
  'two encoded products': `
    func @f(%x: f32[n, 32], %a: u32[24, 4], %b: u32[24, 4], %s: f32[24, 2]) -> (y: %y) {
      %wa = dequantize(%a, %s) {encoding = "nf4:16"}
      %wb = dequantize(%b, %s) {encoding = "nf4:16"}
      %p = matmul(%x, %wa) {transposeB = true}
      %q = matmul(%x, %wb) {transposeB = true}
      %g = silu(%p)
      %y = mul(%g, %q)
    }`,
  'a product of bytes': `
    weight @w : i8[20, 192] = tensor "w"
    func @f(%x: f32[n, 192], %r: f32[n, 20]) -> (y: %y) {
      %q, %s = quantize_rows(%x) {dtype = i8}
      %p = matmul(%q, @w) {transposeB = true}
      %h = mul(%p, %s)
      %y = add(%h, %r)
    }`,
  'two products of bytes': `
    weight @w : i8[48, 64] = tensor "w"
    func @f(%x: f32[n, 64]) -> (y: %y) {
      %q, %s = quantize_rows(%x) {dtype = i8}
      %h = matmul(%q, @w) {transposeB = true}
      %t = mul(%h, %s)
      %a, %b = split(%t) {axis = 1, sizes = [24, 24]}
      %g = silu(%a)
      %y = mul(%g, %b)
    }`,
  convolution: `
    weight @w : f32[12, 3, 3, 8] = tensor "w"
    func @f(%x: f32[1, n, 6, 8]) -> (y: %y) {
      %y = conv2d(%x, @w) {stride = 1, padding = [1, 1, 1, 1]}
    }`,
  'heads of bytes': `
    weight @w : i8[96, 32] = tensor "w"
    weight @n : f32[16] = tensor "n"
    func @f(%x: f32[1, n, 32]) -> (q: %qr, k: %kh) {
      %v, %s = quantize_rows(%x) {dtype = i8}
      %i = matmul(%v, @w) {transposeB = true}
      %p = mul(%i, %s)
      %q, %k = split(%p) {axis = 2, sizes = [64, 32]}
      %qh = reshape(%q) {shape = [1, n, 4, 16]}
      %qr = rms_norm(%qh, @n) {eps = 0.01}
      %kh = reshape(%k) {shape = [1, n, 2, 16]}
    }`,
  heads: `
    weight @w : bf16[96, 8] = tensor "w"
    weight @n : f32[16] = tensor "n"
    func @f(%x: f32[1, n, 8], %c: f32[n, 8], %s: f32[n, 8]) -> (q: %qt, k: %kt) {
      %p = matmul(%x, @w) {transposeB = true}
      %q, %k = split(%p) {axis = 2, sizes = [64, 32]}
      %qh = reshape(%q) {shape = [1, n, 4, 16]}
      %qr = rms_norm(%qh, @n) {eps = 0.01}
      %qe = rope(%qr, %c, %s) {style = interleaved}
      %kt = reshape(%k) {shape = [1, n, 2, 16]}
      %qt = transpose(%qe) {permutation = [0, 2, 1, 3]}
    }`,
  attention: `
    func @f(%q: f32[1, 2, n, 16], %k: f32[1, 2, n, 16], %v: f32[1, 2, n, 16], %m: bool[1, n]) -> (y: %y) {
      %y = attention(%q, %k, %v, %m) {scale = 0.3, causal = true}
    }`,
  rows: `
    func @f(%x: f32[n, 24]) -> (y: %y) {
      %y = layer_norm(%x) {eps = 0.01}
    }`,
  map: `
    func @f(%x: f32[n, 20], %z: f32[n, 20]) -> (y: %y) {
      %s = silu(%x)
      %y = mul(%s, %z)
    }`,
  moments: `
    weight @g : f32[32] = tensor "g"
    func @f(%x: f32[2, n, 6, 32]) -> (y: %y) {
      %y = group_norm(%x, @g, @g) {groups = 8, eps = 0.01}
    }`,
} as const;

const targets: Readonly<Record<string, Target>> = {
  graphics: portableWebgpu,
  'a GPU with matrices of subgroups': hopperWebgpu,
  lanes: { ...portableWebgpu, stagingPays: false, subgroups: { min: 4, max: 4 } },
  processor: cpuTarget,
};

interface Case {
  readonly module: Module;
  readonly make: ReturnType<typeof prepareModule>;
  readonly target: Target;
}

function caseOf(text: string, target: Target): Case {
  const module = parseModule(text);
  return { module, target, make: prepareModule(module, target, { print: () => '' }) };
}

/** Whether a schedule is refused; where it is not, the results are those of the graph. */
function isRefused({ module, make, target }: Case, { key }: CompiledKernel, schedule: Schedule): boolean {
  const [sample] = patternCases(module, { n: 5 });
  const readTensor = patternWeights(module);
  let compiled: ReturnType<typeof make>;
  try {
    compiled = make(new Map([[key(), schedule]]));
  } catch (error) {
    if (error instanceof Flux2cError && error.code === 'F2C304') return true;
    throw new Error(`${key()} under ${JSON.stringify(schedule)}`, { cause: error });
  }
  for (const { thread } of compiled.kernels.values()) verifyThreadKernel(thread, target);
  const weights = compiled.plans.get('f')?.weights ?? [];
  const packed = createWeightReader({ ...module, weights: new Map(weights.map((one) => [one.name, one])) }, readTensor);
  const inputs = sample?.inputs ?? new Map<string, HostTensor>();
  const { results } = runPlan(compiled, 'f', inputs, ({ name }) => packed(name));
  const want = interpretFunction(module, 'f', inputs, createWeightReader(module, readTensor), { precision: 'f32' });
  for (const [name, tensor] of want) {
    const { relativeL2 } = compareTensors(results.get(name) as HostTensor, tensor);
    if (!(relativeL2 < 1e-5)) throw new Error(`${key()} is off by ${relativeL2} under ${JSON.stringify(schedule)}`);
  }
  return false;
}

describe.each(Object.keys(targets))('schedules for %s', (name) => {
  const target = targets[name] as Target;

  it.each(Object.keys(kernels))('worth a try for %s compute the same', (kernel) => {
    const one = caseOf(kernels[kernel as keyof typeof kernels], target);
    for (const made of one.make().kernels.values()) {
      const candidates = listCandidates(made.facts, target, made.schedule);
      expect(candidates).toContainEqual(made.schedule);
      const fitting = candidates.filter((schedule) => !isRefused(one, made, schedule));
      expect(fitting.length).toBeGreaterThan(2);
      expect(fitting.length).toBeLessThan(70);
    }
  });

  it.each(Object.keys(kernels))('made at random for %s are refused or compute the same', (kernel) => {
    const one = caseOf(kernels[kernel as keyof typeof kernels], target);
    const random = new Random(kernel.length);
    let accepted = 0;
    for (const made of one.make().kernels.values()) {
      for (let round = 0; round < 120; round++) {
        if (!isRefused(one, made, mutate(made.schedule, target, random))) accepted++;
      }
    }
    expect(accepted).toBeGreaterThan(0);
  });
});

/** Changes some fields of a schedule, without a thought for what goes together. */
function mutate(schedule: Schedule, target: Target, random: Random): Schedule {
  const axes = Object.keys(schedule.spread);
  const pick = <T>(list: readonly T[]): T => random.pick(list);
  let { spread, ...rest } = schedule;
  for (let change = random.integer(1, 3); change > 0; change--) {
    const axis = pick(axes);
    const own = spread[axis] as AxisSpread;
    const changed: AxisSpread = {
      ...own,
      ...pick<Partial<AxisSpread>>([
        { threads: pick([1, 2, 4, 8]) },
        { registers: pick([1, 2, 3, 4, 5]) },
        { vector: pick([1, 2, 4]) },
        { rolled: true },
        { dealtTo: pick(axes) },
        { section: pick([4, 8, 12, 24]) },
        { walked: true },
      ]),
    };
    spread = { ...spread, [axis]: changed };
    const order = pick([rest.threadOrder, [...axes], [...axes].reverse(), [axis]]);
    rest = pick<typeof rest>([
      { ...rest, threadOrder: order },
      { ...rest, unroll: pick([1, 2, 3]) },
      { ...rest, dots: true },
      { ...rest, columnsApart: true },
      { ...rest, lanesTogether: pick([1, 2]) },
      { ...rest, staged: true },
      { ...rest, subgroupSize: 32, bySubgroups: true },
      { ...rest, subgroupSize: target.subgroups?.min ?? 4 },
      rest,
    ]);
  }
  return { ...rest, spread };
}
