/** Products whose columns are heads and gated pairs: one kernel where invocations compute on a processor, several elsewhere. */
import { describe, expect, it } from 'vitest';
import { cpuTarget, portableWebgpu, type Target } from '../backends/target.js';
import { interpretFunction } from '../ir/graph/interpret.js';
import { parseModule } from '../ir/graph/parse.js';
import { materializeWeight } from '../ir/graph/weights.js';
import { compareTensors } from '../ir/host-tensor.js';
import { verifyThreadKernel } from '../ir/kernel/thread-verify.js';
import { printTileKernel } from '../ir/kernel/tile-print.js';
import { verifyTileKernel } from '../ir/kernel/tile-verify.js';
import { compileModule, type CompileOptions } from '../passes/compile.js';
import type { CompiledModule } from '../passes/compiled.js';
import { createWeightReader } from '../passes/validate.js';
import { patternCases, patternWeights } from './run-pass.js';
import { runPlan } from './run-plan.js';

interface Shape {
  readonly depth: number;
  readonly size: number;
  readonly heads: number;
  /** Of gate and of its partner. */
  readonly width: number;
  readonly batch: number;
  readonly tokens: number;
}

/** As a single-stream block: the gated values beside what attention makes. */
function textOf({ depth, size, heads, width }: Omit<Shape, 'batch' | 'tokens'>): string {
  const hidden = heads * size;
  return `weight @w : bf16[${3 * hidden + 2 * width}, ${depth}] = tensor "w"
  weight @qn : bf16[${size}] = tensor "qn"
  weight @kn : f32[${size}] = tensor "kn"
  func @f(%x: f32[b, t, ${depth}], %c: f32[t, ${size / 2}], %s: f32[t, ${size / 2}]) -> (y: %y, z: %z) {
    %p = matmul(%x, @w) {transposeB = true}
    %q, %k, %v, %gate, %up = split(%p) {axis = 2, sizes = [${hidden}, ${hidden}, ${hidden}, ${width}, ${width}]}
    %qh = reshape(%q) {shape = [b, t, ${heads}, ${size}]}
    %qr = rms_norm(%qh, @qn) {eps = 0.000001}
    %qe = rope(%qr, %c, %s) {style = interleaved}
    %kh = reshape(%k) {shape = [b, t, ${heads}, ${size}]}
    %kr = rms_norm(%kh, @kn) {eps = 0.01}
    %ke = rope(%kr, %c, %s) {style = interleaved}
    %vh = reshape(%v) {shape = [b, t, ${heads}, ${size}]}
    %qt = transpose(%qe) {permutation = [0, 2, 1, 3]}
    %kt = transpose(%ke) {permutation = [0, 2, 1, 3]}
    %vt = transpose(%vh) {permutation = [0, 2, 1, 3]}
    %a = attention(%qt, %kt, %vt) {scale = 0.25, causal = false}
    %at = transpose(%a) {permutation = [0, 2, 1, 3]}
    %ah = reshape(%at) {shape = [b, t, ${hidden}]}
    %i = silu(%gate)
    %m = mul(%i, %up)
    %z = concat(%ah, %m) {axis = 2}
    %y = mul(%m, 2)
  }`;
}

const shapes: readonly Shape[] = [
  { depth: 32, size: 16, heads: 3, width: 24, batch: 2, tokens: 9 },
  { depth: 24, size: 64, heads: 2, width: 96, batch: 1, tokens: 37 },
  { depth: 40, size: 128, heads: 2, width: 64, batch: 1, tokens: 5 },
  { depth: 16, size: 48, heads: 2, width: 120, batch: 3, tokens: 1 },
];

const software = (lanes: number): Target => ({
  ...portableWebgpu,
  stagingPays: false,
  maxStorageBuffers: 16,
  subgroups: { min: lanes, max: lanes },
});

const launchesOf = ({ plans }: CompiledModule): readonly string[] =>
  plans.get('f')?.steps.flatMap((step) => (step.kind === 'launch' ? [step.kernel] : [])) ?? [];

const kernelOf = ({ kernels }: CompiledModule): string =>
  printTileKernel([...kernels.values()].find(({ name }) => name.startsWith('matmul'))!.tile);

/** Compiles and runs a shape, and holds its results against the graph's. */
function check(shape: Shape, target: Target, options: Partial<CompileOptions> = {}, tolerance = 1e-5): CompiledModule {
  const module = parseModule(textOf(shape));
  const readTensor = patternWeights(module);
  const compiled = compileModule(module, target, { print: () => '', ...options });
  for (const { tile, thread } of compiled.kernels.values()) {
    verifyTileKernel(tile);
    verifyThreadKernel(thread, target);
  }
  const [sample] = patternCases(module, { b: shape.batch, t: shape.tokens });
  const inputs = sample?.inputs ?? new Map<string, never>();
  const got = runPlan(compiled, 'f', inputs, (declaration) => materializeWeight(declaration, readTensor)).results;
  const weights = createWeightReader(module, readTensor);
  const want = interpretFunction(module, 'f', inputs, weights, { precision: 'f32' });
  for (const [name, tensor] of want)
    expect(compareTensors(got.get(name)!, tensor).relativeL2, name).toBeLessThan(tolerance);
  return compiled;
}

describe.each([
  ['the processor', cpuTarget],
  ['lanes of 8', software(8)],
  ['lanes of 16', software(16)],
] as const)('heads and gated pairs on %s', (_, target) => {
  it.each(shapes)('are one kernel: $heads heads of $size, $width pairs, $tokens tokens', (shape) => {
    const compiled = check(shape, target);
    // The product, attention, and twice the gated values.
    expect(launchesOf(compiled)).toHaveLength(3);
    expect(kernelOf(compiled).match(/contract acc/g)).toHaveLength(2);
  });

  it.each(['int8', 'nf4:32'])('decode weights in %s', (encoding) => {
    const shape: Shape = { depth: 64, size: 16, heads: 2, width: 32, batch: 1, tokens: 7 };
    const compiled = check(shape, target, { encodingOf: () => encoding }, 0.2);
    expect(launchesOf(compiled)).toHaveLength(3);
    const module = parseModule(textOf(shape));
    const plain = compileModule(module, portableWebgpu, { print: () => '', encodingOf: () => encoding });
    // The same numbers as where the product is divided.
    const [sample] = patternCases(module, { b: 1, t: 7 });
    const inputs = sample?.inputs ?? new Map<string, never>();
    const read = patternWeights(module);
    const [joint, apart] = [compiled, plain].map(
      (one) => runPlan(one, 'f', inputs, (declaration) => materializeWeight(declaration, read)).results,
    );
    for (const [name, tensor] of apart!)
      expect(compareTensors(joint!.get(name)!, tensor).relativeL2, name).toBeLessThan(1e-5);
  });
});

/** Heads beside columns that are pairs as a graph says so itself, in some shape. */
const ownPairs = (inPairs: string, axis: number, columns: string): string => `
  weight @w : f32[64, 8] = tensor "w"
  weight @qn : f32[16] = tensor "qn"
  func @f(%x: f32[b, t, 8]) -> (q: %qr, y: %y) {
    %p = matmul(%x, @w) {transposeB = true}
    %q, %u = split(%p) {axis = 2, sizes = [16, 48]}
    %qh = reshape(%q) {shape = [b, t, 1, 16]}
    %qr = rms_norm(%qh, @qn) {eps = 0.01}
    %g = reshape(%u) {shape = ${inPairs}}
    %g0, %g1 = split(%g) {axis = ${axis}, sizes = [1, 1]}
    %a = reshape(%g0) {shape = ${columns}}
    %c = reshape(%g1) {shape = ${columns}}
    %s = silu(%a)
    %y = mul(%s, %c)
  }`;

describe.each([
  ['the processor', cpuTarget],
  ['lanes of 8', software(8)],
  ['a GPU', { ...portableWebgpu, maxStorageBuffers: 16, workgroupMemory: 49152 }],
] as const)('pairs of a graph of its own on %s', (_, target) => {
  it.each([
    ['[b, t, 3, 8, 2]', 4, '[b, t, 24]'],
    ['[t, b, 3, 8, 2]', 4, '[t, b, 24]'],
    ['[b, t, 3, 8, 2]', 4, '[b, t, 3, 8]'],
    ['[b, t, 3, 8, 2]', 4, '[b*t, 24]'],
    ['[b, t, 3, 2, 8]', 3, '[b, t, 24]'],
    ['[b, t, 24, 2]', 3, '[b, t, 24]'],
  ] as const)('%s split along axis %i into %s', (inPairs, axis, columns) => {
    const module = parseModule(ownPairs(inPairs, axis, columns));
    const readTensor = patternWeights(module);
    const compiled = compileModule(module, target, { print: () => '' });
    const [sample] = patternCases(module, { b: 2, t: 5 });
    const inputs = sample?.inputs ?? new Map<string, never>();
    const got = runPlan(compiled, 'f', inputs, (declaration) => materializeWeight(declaration, readTensor)).results;
    const want = interpretFunction(module, 'f', inputs, createWeightReader(module, readTensor), { precision: 'f32' });
    for (const [name, tensor] of want)
      expect(compareTensors(got.get(name)!, tensor).relativeL2, name).toBeLessThan(1e-5);
  });
});

describe('the kernel of heads and gated pairs', () => {
  const [shape] = shapes as readonly [Shape];

  it('rounds factors and nothing that is read back', () => {
    check(shapes[1]!, { ...cpuTarget, f16: true }, { operands: 'f16' }, 2e-2);
  });

  it('turns pairs and multiplies gates in an invocation, and goes over heads again only where a norm needs it', () => {
    const printed = kernelOf(compileModule(parseModule(textOf(shape)), cpuTarget, { print: () => '' }));
    expect(printed).not.toMatch(/exchange/);
    expect(printed).toMatch(/contract acc0 over k: .*\n *contract acc1 over k: /);
    expect(printed).toMatch(/store r3\[.* if h >= 9, h < 12\] for \[m, d\] = silu\(acc0\) \* acc1\n/);
    const again = [...printed.matchAll(/for d if (.*) \{/g)].map(([, conditions]) => conditions);
    expect(again).toEqual(['h < 3', 'h >= 3, h < 6']);
  });

  it.each([
    ['GPUs, whose tiles differ', { ...portableWebgpu, maxStorageBuffers: 16 }, 4],
    ['few buffers', { ...software(8), maxStorageBuffers: 9 }, 4],
    ['lanes of 4', software(4), 4],
    ['a driver without subgroups', { ...portableWebgpu, stagingPays: false, maxStorageBuffers: 16 }, 4],
    // Norms are kernels of rows, too.
    ['fewer buffers', { ...software(8), maxStorageBuffers: 7 }, 6],
  ] as const)('is several for %s', (_, target, launches) => {
    expect(launchesOf(check(shape, target))).toHaveLength(launches);
  });

  it('stores its weight once, rows of gate and partner in turn', () => {
    const { plans } = compileModule(parseModule(textOf(shape)), cpuTarget, { print: () => '' });
    const stored = plans.get('f')?.weights.filter(({ name }) => name.startsWith('w')) ?? [];
    expect(stored.map(({ name }) => name)).toEqual(['w.in_turn']);
  });
});
