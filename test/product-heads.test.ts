/** Products whose heads are normalised and turned in the kernel that multiplies. */
import { describe, expect, it } from 'vitest';
import { cudaTarget } from '../backends/cuda/cuda-target.js';
import { cpuTarget, portableWebgpu, type Target } from '../backends/target.js';
import { interpretFunction } from '../ir/graph/interpret.js';
import { materializeWeight } from '../ir/graph/weights.js';
import { parseModule } from '../ir/graph/parse.js';
import { compareTensors } from '../ir/host-tensor.js';
import type { Schedule } from '../ir/kernel/tile.js';
import { printTileKernel } from '../ir/kernel/tile-print.js';
import { verifyThreadKernel } from '../ir/kernel/thread-verify.js';
import { verifyTileKernel } from '../ir/kernel/tile-verify.js';
import { compileModule, type Operands } from '../passes/compile.js';
import { tileOf } from '../passes/kernel/from-group/build-kernel.js';
import { createWeightReader } from '../passes/validate.js';
import { patternCases, patternWeights } from './run-pass.js';
import { runPlan } from './run-plan.js';

const cuda = cudaTarget(['sm_80']);

interface Shape {
  readonly depth: number;
  readonly size: number;
  readonly heads: number;
  readonly keyHeads: number;
  readonly batch: number;
  readonly tokens: number;
  /** What the queries' scale is stored as: the keys' is f32. */
  readonly scales?: 'f32' | 'bf16';
}

/** Queries and keys of `heads` and `keyHeads`, values with as many as the keys, transposed for an attention. */
function textOf({ depth, size, heads, keyHeads, scales = 'bf16' }: Omit<Shape, 'batch' | 'tokens'>): string {
  const widths = [heads, keyHeads, keyHeads].map((count) => count * size);
  const rows = widths.reduce((sum, width) => sum + width);
  return `weight @a : bf16[${depth}, 8] = tensor "a"
  weight @w : bf16[${rows}, ${depth}] = tensor "w"
  weight @qn : ${scales}[${size}] = tensor "qn"
  weight @kn : f32[${size}] = tensor "kn"
  func @f(%x: f32[b, t, 8], %c: f32[t, ${size / 2}], %s: f32[t, ${size / 2}]) -> (q: %qt, k: %kt, v: %vt, y: %y) {
    %h = matmul(%x, @a) {transposeB = true}
    %p = matmul(%h, @w) {transposeB = true}
    %q, %k, %v = split(%p) {axis = 2, sizes = [${widths.join(', ')}]}
    %qh = reshape(%q) {shape = [b, t, ${heads}, ${size}]}
    %qr = rms_norm(%qh, @qn) {eps = 0.000001}
    %qe = rope(%qr, %c, %s) {style = interleaved}
    %kh = reshape(%k) {shape = [b, t, ${keyHeads}, ${size}]}
    %kr = rms_norm(%kh, @kn) {eps = 0.01}
    %ke = rope(%kr, %c, %s) {style = interleaved}
    %vh = reshape(%v) {shape = [b, t, ${keyHeads}, ${size}]}
    %qt = transpose(%qe) {permutation = [0, 2, 1, 3]}
    %kt = transpose(%ke) {permutation = [0, 2, 1, 3]}
    %vt = transpose(%vh) {permutation = [0, 2, 1, 3]}
    %y = attention(%qt, %kt, %vt) {scale = 0.25, causal = false}
  }`;
}

const shapes: readonly Shape[] = [
  { depth: 32, size: 16, heads: 3, keyHeads: 3, batch: 2, tokens: 9 },
  { depth: 24, size: 64, heads: 4, keyHeads: 2, batch: 1, tokens: 37 },
  { depth: 40, size: 128, heads: 2, keyHeads: 2, batch: 1, tokens: 70 },
  { depth: 16, size: 48, heads: 2, keyHeads: 2, batch: 3, tokens: 1 },
];

/** Runs all shapes of a target and says how the heads' kernel is scheduled. */
function checkShape(shape: Shape, target: Target, operands: Operands): Schedule | undefined {
  const module = parseModule(textOf(shape));
  const readTensor = patternWeights(module);
  const compiled = compileModule(module, target, { print: () => '', operands });
  const launches = compiled.plans.get('f')?.steps.flatMap((step) => (step.kind === 'launch' ? [step.kernel] : []));
  expect(launches).toHaveLength(3);
  for (const { tile, thread } of compiled.kernels.values()) {
    verifyTileKernel(tile);
    verifyThreadKernel(thread, target);
  }
  const [sample] = patternCases(module, { b: shape.batch, t: shape.tokens });
  const weights = createWeightReader(module, readTensor);
  const inputs = sample?.inputs ?? new Map<string, never>();
  const got = runPlan(compiled, 'f', inputs, (declaration) => materializeWeight(declaration, readTensor)).results;
  const want = interpretFunction(module, 'f', inputs, weights, { precision: 'f32' });
  // Factors of three products are rounded to 8 bits.
  const tolerance = operands === 'f32' ? 1e-5 : 2e-2;
  for (const [name, tensor] of want)
    expect(compareTensors(got.get(name)!, tensor).relativeL2, name).toBeLessThan(tolerance);
  return [...compiled.kernels.values()].find(({ name }) => name.includes('rms_norm'))?.schedule;
}

describe.each(['f32', 'bf16'] as const)('heads of a product on CUDA, operands in %s', (operands) => {
  it.each(shapes)('$heads and $keyHeads of size $size, $tokens tokens', (shape) => {
    const schedule = checkShape(shape, cuda, operands);
    expect(schedule?.matrix !== undefined).toBe(operands === 'bf16');
  });
});

describe('heads of a product where invocations multiply their own numbers', () => {
  it.each(shapes)('in registers of invocations side by side: size $size, $tokens tokens', (shape) => {
    const schedule = checkShape(shape, { ...portableWebgpu, maxStorageBuffers: 9 }, 'f32');
    expect(tileOf(schedule!, 'd')).toBe(shape.size);
  });

  it.each(shapes)('with one buffer less, scales of both norms in one: size $size, $tokens tokens', (shape) => {
    checkShape({ ...shape, scales: 'f32' }, portableWebgpu, 'f32');
  });

  it.each(shapes)('in pieces: size $size, $tokens tokens', (shape) => {
    const schedule = checkShape(shape, cpuTarget, 'f32');
    expect(tileOf(schedule!, 'd')).toBeLessThan(shape.size);
  });

  it.each(['f16', 'bf16'] as const)(
    'in pieces, operands in %s: what is read back is not rounded before',
    (operands) => {
      checkShape(shapes[1]!, { ...cpuTarget, f16: true }, operands);
    },
  );
});

describe('a product with heads', () => {
  const text = textOf({ depth: 32, size: 16, heads: 2, keyHeads: 2 });

  it('is stored by kinds of heads, partners of a pair from one vector', () => {
    const { kernels } = compileModule(parseModule(text), cuda, { print: () => '', operands: 'bf16' });
    const heads = [...kernels.values()].find(({ name }) => name.includes('rms_norm'));
    const printed = printTileKernel(heads!.tile);
    expect(printed).toMatch(/store r0\[.* if h < 2\].*exchange\(d, 1, acc \* scale0 \* a2\[d\]\)/);
    expect(printed).toMatch(/store r1\[.* if h >= 2, h < 4\].*exchange\(d, 1, acc \* scale1 \* a5\[d\]\)/);
    expect(printed).toMatch(/store r2\[.* if h >= 4, h < 6\] for \[m, d\] = acc\n/);
  });

  it('is stored in pieces, then read back where a norm changes it', () => {
    const { kernels } = compileModule(parseModule(text), cpuTarget, { print: () => '' });
    const heads = [...kernels.values()].find(({ name }) => name.includes('rms_norm'));
    const printed = printTileKernel(heads!.tile);
    expect(printed.match(/for d /g)).toHaveLength(3);
    expect(printed).toMatch(/for d if h < 2 \{/);
    expect(printed).toMatch(/for d if h >= 2, h < 4 \{/);
    // The squares of queries' and keys' columns add up in one sum.
    expect(printed.match(/reduce add/g)).toHaveLength(1);
    expect(printed).toMatch(/store r0\[.* if h < 2\] for \[m, d\] = acc\n/);
    expect(printed).toMatch(/store r0\[.* if h < 2\].*exchange\(d, 1, r0\[.*\] \* scale0 \* a2\[d\]\)/);
    expect(printed.match(/store r2/g)).toHaveLength(1);
    expect(heads?.thread.buffers.map(({ access }) => access).slice(-3)).toEqual(['read_write', 'read_write', 'write']);
  });
});
