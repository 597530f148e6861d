/** Operands in fp8: what is compiled for GPUs that have it computes what the quantised graph does, in as many launches. */
import { describe, expect, it } from 'vitest';
import { cudaTarget } from '../backends/cuda/cuda-target.js';
import { cpuTarget, portableWebgpu } from '../backends/target.js';
import { interpretFunction } from '../ir/graph/interpret.js';
import { parseModule } from '../ir/graph/parse.js';
import { compareTensors, type HostTensor } from '../ir/host-tensor.js';
import { verifyThreadKernel } from '../ir/kernel/thread-verify.js';
import { verifyTileKernel } from '../ir/kernel/tile-verify.js';
import type { Plan, PlanStep } from '../ir/plan.js';
import { compileModule } from '../passes/compile.js';
import { quantizeProducts } from '../passes/graph/quantize-products.js';
import { createWeightReader } from '../passes/validate.js';
import { patternCases, patternWeights } from './run-pass.js';
import { runPlan } from './run-plan.js';

const target = cudaTarget(['sm_89']);

/** Kernels without their digests. */
function launchesOf(steps: readonly PlanStep[]): readonly string[] {
  return steps.flatMap((step) => (step.kind === 'launch' ? [step.kernel.replace(/_[0-9a-f]{8}$/, '')] : []));
}

function check(text: string, sizes: Readonly<Record<string, number>>): Plan {
  const module = parseModule(text);
  const readTensor = patternWeights(module);
  const compiled = compileModule(module, target, { print: () => '', operands: 'fp8' });
  for (const { tile, thread } of compiled.kernels.values()) {
    verifyTileKernel(tile);
    verifyThreadKernel(thread, target);
  }
  const plan = compiled.plans.get('f') as Plan;
  const packed = createWeightReader({ functions: new Map(), weights: new Map(plan.weights.map((weight) => [weight.name, weight])) }, readTensor); // prettier-ignore
  const inputs = patternCases(module, sizes)[0]?.inputs ?? new Map<string, HostTensor>();
  const got = runPlan(compiled, 'f', inputs, ({ name }) => packed(name)).results;
  const quantised = quantizeProducts(() => true, 'f8e4m3').run(module, target);
  const [exact, want] = [module, quantised].map((one) =>
    interpretFunction(one, 'f', inputs, createWeightReader(one, readTensor), { precision: 'f32' }),
  ) as [ReadonlyMap<string, HostTensor>, ReadonlyMap<string, HostTensor>];
  for (const [name, tensor] of want) {
    // Sums in another order may round a value between two the other way, by 2^-3 of it.
    expect(compareTensors(got.get(name) as HostTensor, tensor).relativeL2, name).toBeLessThan(5e-3);
    expect(compareTensors(got.get(name) as HostTensor, exact.get(name) as HostTensor).relativeL2, name).toBeLessThan(
      0.1,
    );
  }
  return plan;
}

describe('operands in fp8', () => {
  it('keep what a product’s kernel does: a gate and a residual', () => {
    const plan = check(
      `weight @w : bf16[16, 24] = tensor "w"
      func @f(%x: f32[1, n, 24], %r: f32[1, n, 16], %g: f32[1, 1, 16]) -> (y: %y) {
        %p = matmul(%x, @w) {transposeB = true}
        %a = mul(%g, %p)
        %y = add(%r, %a)
      }`,
      { n: 37 },
    );
    expect(launchesOf(plan.steps)).toHaveLength(2);
  });

  it('keep SwiGLU in one kernel, behind a norm that quantises', () => {
    const plan = check(
      `weight @w : bf16[64, 24] = tensor "w"
      weight @d : f32[24, 32] = tensor "d"
      func @f(%x: f32[n, 24], %m: f32[1, 24]) -> (y: %y) {
        %l = layer_norm(%x) {eps = 1e-6}
        %h = mul(%l, %m)
        %p = matmul(%h, @w) {transposeB = true}
        %gate, %up = split(%p) {axis = 1, sizes = [32, 32]}
        %s = silu(%gate)
        %u = mul(%s, %up)
        %y = matmul(%u, @d) {transposeB = true}
      }`,
      { n: 19 },
    );
    expect(launchesOf(plan.steps)).toEqual([
      'layer_norm_mul_quantize_rows',
      'matmul_mul_mul_5more',
      'quantize_rows',
      'matmul_mul_mul',
    ]);
    // Rows of 8 bits between the kernels, of 16 before they are quantised, and a scale each.
    const temporaries = plan.storages.filter(({ kind }) => kind === 'temporary').map(({ storage }) => storage);
    expect(temporaries.sort()).toEqual(['bf16', 'f32', 'f32', 'f8e4m3', 'f8e4m3']);
    const weights = plan.weights.map(({ name, type }) => `${name} ${type.dtype}`).sort();
    expect(weights).toEqual(['d.f8 f8e4m3', 'd.scales f32', 'w.f8 f8e4m3', 'w.scales f32']);
  });

  it('keep norms and rotations of heads in the product’s kernel', () => {
    const plan = check(
      `weight @w : bf16[144, 24] = tensor "w"
      weight @qn : bf16[16] = tensor "qn"
      weight @kn : bf16[16] = tensor "kn"
      func @f(%x: f32[b, t, 24], %c: f32[t, 8], %s: f32[t, 8]) -> (q: %qe, k: %ke, v: %vh) {
        %p = matmul(%x, @w) {transposeB = true}
        %q, %k, %v = split(%p) {axis = 2, sizes = [48, 48, 48]}
        %qh = reshape(%q) {shape = [b, t, 3, 16]}
        %qr = rms_norm(%qh, @qn) {eps = 0.000001}
        %qe = rope(%qr, %c, %s) {style = interleaved}
        %kh = reshape(%k) {shape = [b, t, 3, 16]}
        %kr = rms_norm(%kh, @kn) {eps = 0.01}
        %ke = rope(%kr, %c, %s) {style = interleaved}
        %vh = reshape(%v) {shape = [b, t, 3, 16]}
      }`,
      { b: 2, t: 9 },
    );
    expect(launchesOf(plan.steps)).toHaveLength(2);
  });

  it('leave the factors of other products in bf16', () => {
    const text = `func @f(%a: f32[n, 8], %b: f32[6, 8]) -> (y: %y) {
      %y = matmul(%a, %b) {transposeB = true}
    }`;
    const kernels = (operands: 'fp8' | 'bf16') =>
      [...compileModule(parseModule(text), target, { print: () => '', operands }).kernels.keys()]; // prettier-ignore
    expect(kernels('fp8')).toEqual(kernels('bf16'));
  });

  it('take any widths and few rows', () => {
    const text = (depth: number, columns: number): string => `weight @w : f32[${columns}, ${depth}] = tensor "w"
      func @f(%x: f32[n, ${depth}]) -> (y: %y) {
        %y = matmul(%x, @w) {transposeB = true}
      }`;
    check(text(7, 5), { n: 3 });
    check(text(130, 66), { n: 1 });
  });

  it.each([
    ['the processor', cpuTarget],
    ['WebGPU', portableWebgpu],
    ['older GPUs', cudaTarget(['sm_86', 'sm_89'])],
  ])('are refused on %s, with what has them', (_, without) => {
    const module = parseModule('func @f(%x: f32[n]) -> (y: %y) {\n %y = silu(%x)\n}');
    expect(() => compileModule(module, without, { print: () => '', operands: 'fp8' })).toThrow(
      expect.objectContaining({
        code: 'F2C307',
        detail: expect.objectContaining({ hint: expect.stringContaining('8.9') }),
      }),
    );
  });

  it('are what all of sm_89, sm_90a and sm_120 have', () => {
    expect(cudaTarget(['sm_89', 'sm_90a', 'sm_120']).fp8).toBe(true);
    for (const name of ['sm_80', 'sm_86'] as const) expect(cudaTarget([name, 'sm_90a']).fp8).toBeUndefined();
  });
});

it('a scale of a whole tensor is a factor of extent 1', () => {
  const module = parseModule(`weight @w : f8e4m3[8, 4] = tensor "w"
    weight @s : f32[1] = tensor "s"
    func @f(%x: f32[n, 4]) -> (y: %y) {
      %q, %r = quantize_rows(%x) {dtype = f8e4m3}
      %p = matmul(%q, @w) {transposeB = true}
      %a = mul(%p, %r)
      %y = mul(%a, @s)
    }`);
  const compiled = compileModule(module, target, { print: () => '' });
  const readTensor = patternWeights(module);
  const weights = createWeightReader(module, readTensor);
  const inputs = patternCases(module, { n: 9 })[0]!.inputs;
  const got = runPlan(compiled, 'f', inputs, ({ name }) => weights(name)).results.get('y') as HostTensor;
  const want = interpretFunction(module, 'f', inputs, weights, { precision: 'f32' }).get('y') as HostTensor;
  expect(compareTensors(got, want).relativeL2).toBeLessThan(1e-5);
  expect(launchesOf(compiled.plans.get('f')!.steps)).toHaveLength(2);
});

describe('what is quantised between kernels', () => {
  const text = `weight @v : f32[24, 16] = tensor "v"
    weight @w : f8e4m3[8, 24] = tensor "w"
    func @f(%x: f32[n, 16]) -> (y: %y) {
      %c = constant() {dtype = f32, shape = [1], values = [200000]}
      %l = matmul(%x, @v) {transposeB = true}
      %m = mul(%l, %c)
      %q, %s = quantize_rows(%m) {dtype = f8e4m3}
      %p = matmul(%q, @w) {transposeB = true}
      %y = mul(%p, %s)
    }`;

  it.each([
    ['f16', 'f32'],
    ['bf16', 'bf16'],
  ] as const)('may be beyond the largest f16: with operands in %s it is kept in %s', (operands, kept) => {
    const module = parseModule(text);
    const compiled = compileModule(module, target, { print: () => '', operands });
    const plan = compiled.plans.get('f') as Plan;
    const temporaries = plan.storages.filter(({ kind }) => kind === 'temporary').map(({ storage }) => storage);
    expect(temporaries.sort()).toEqual([kept, 'f32', 'f8e4m3'].sort());
    const readTensor = patternWeights(module);
    const weights = createWeightReader(module, readTensor);
    const inputs = patternCases(module, { n: 9 })[0]!.inputs;
    const got = runPlan(compiled, 'f', inputs, ({ name }) => weights(name)).results.get('y') as HostTensor;
    const want = interpretFunction(module, 'f', inputs, weights, { precision: 'f32' }).get('y') as HostTensor;
    expect(want.data.some((value) => Math.abs(value) > 65504)).toBe(true);
    expect(compareTensors(got, want).relativeL2).toBeLessThan(0.03);
  });
});
