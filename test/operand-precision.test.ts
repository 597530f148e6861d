import { describe, expect, it } from 'vitest';
import { cpuTarget, portableWebgpu } from '../backends/target.js';
import { printWgsl } from '../backends/webgpu/wgsl.js';
import type { DimBinding } from '../ir/dim.js';
import { interpretFunction } from '../ir/graph/interpret.js';
import { parseModule } from '../ir/graph/parse.js';
import { compareTensors, type HostTensor } from '../ir/host-tensor.js';
import { compileModule, type CompileOptions } from '../passes/compile.js';
import { createWeightReader } from '../passes/validate.js';
import { patternCases, patternWeights } from './run-pass.js';
import { runPlan } from './run-plan.js';

const half = { ...portableWebgpu, f16: true };

/** Relative L2 between a plan with operands in f16 and what the interpreter says of a module. */
function differenceOf(text: string, reference: string, sizes: DimBinding): number {
  const module = parseModule(text);
  const inputs = patternCases(module, sizes)[0]?.inputs ?? new Map<string, HostTensor>();
  const weights = createWeightReader(module, patternWeights(module));
  const compiled = compileModule(module, half, { print: () => '', operands: 'f16' });
  const got = runPlan(compiled, 'f', inputs, ({ name }) => weights(name)).results.get('y') as HostTensor;
  const want = interpretFunction(parseModule(reference), 'f', inputs, weights, { precision: 'f32' }).get('y');
  return compareTensors(got, want as HostTensor).relativeL2;
}

/** The text with what stands between `<` and `>` cast to f16 and back by an operation before it. */
function withCasts(text: string): string {
  return text.replace(/^( *)(.*)<([%@][\w.]+)>(.*)<([%@][\w.]+)>(.*)$/gm, (_, indent: string, start: string, a: string, between: string, b: string, end: string) => {
    const casts = [a, b].flatMap((name, at) => [`%narrow${at} = cast(${name}) {dtype = f16}`, `%wide${at} = cast(%narrow${at}) {dtype = f32}`]);
    return [...casts, `${start}%wide0${between}%wide1${end}`].map((line) => indent + line).join('\n');
  }); // prettier-ignore
}

const products: readonly (readonly [string, string])[] = [
  [
    'a product along the contracted axis',
    `weight @w : f32[20, 24] = tensor "w"
    func @f(%x: f32[n, 24]) -> (y: %y) {
      %p = matmul(<%x>, <@w>) {transposeB = true}
      %y = silu(%p)
    }`,
  ],
  [
    'a product along its columns',
    `func @f(%x: f32[2, n, 6], %z: f32[2, 6, 12]) -> (y: %y) {
      %p = matmul(<%x>, <%z>) {transposeB = false}
      %y = silu(%p)
    }`,
  ],
  [
    'odd sizes',
    `func @f(%x: f32[n, 7], %z: f32[5, 7]) -> (y: %y) {
      %y = matmul(<%x>, <%z>) {transposeB = true}
    }`,
  ],
  [
    'a convolution',
    `weight @w : f32[4, 3, 3, 8] = tensor "w"
    func @f(%x: f32[1, n, 5, 8]) -> (y: %y) {
      %y = conv2d(<%x>, <@w>) {stride = 1, padding = [1, 1, 1, 1]}
    }`,
  ],
];

describe('operands in f16', () => {
  it.each(products)('are rounded before they are multiplied, and nothing else is: %s', (_, marked) => {
    const text = marked.replace(/<([%@][\w.]+)>/g, '$1');
    expect(differenceOf(text, withCasts(marked), { n: 9 })).toBeLessThan(1e-6);
    const untouched = differenceOf(text, text, { n: 9 });
    expect(untouched).toBeGreaterThan(1e-5);
    expect(untouched).toBeLessThan(1e-3);
  });

  it('are those of both products of an attention', () => {
    const text = `func @f(%q: f32[1, 2, n, 8], %k: f32[1, 2, 7, 8], %v: f32[1, 2, 7, 8]) -> (y: %y) {
      %y = attention(%q, %k, %v) {scale = 0.5, causal = false}
    }`;
    const difference = differenceOf(text, text, { n: 9 });
    expect(difference).toBeGreaterThan(1e-5);
    expect(difference).toBeLessThan(1e-3);
  });

  it('go through f16 registers, but for weights that are f16 in memory', () => {
    const sourceOf = (dtype: string, options: Pick<CompileOptions, 'operands'>): string => {
      const module = parseModule(`weight @w : ${dtype}[8, 4] = tensor "w"
      func @f(%x: f32[n, 4]) -> (y: %y) {
        %y = matmul(%x, @w) {transposeB = true}
      }`);
      const { kernels } = compileModule(module, half, { print: printWgsl, ...options });
      return [...kernels.values()].map(({ source }) => source).join('\n');
    };
    const count = (source: string): number => source.split('vec4<f16>(').length - 1;
    expect(count(sourceOf('f32', {}))).toBe(0);
    expect(sourceOf('f32', {})).not.toContain('enable f16');
    // One vector of x for each of four rows, one of w for each of four columns.
    expect(count(sourceOf('f32', { operands: 'f16' }))).toBe(8);
    expect(count(sourceOf('f16', { operands: 'f16' }))).toBe(4);
    expect(sourceOf('f32', { operands: 'f16' })).toContain('enable f16;');
  });

  it('are refused where the target has none', () => {
    const module = parseModule('func @f(%x: f32[n]) -> (y: %x) {\n}');
    for (const target of [portableWebgpu, cpuTarget]) {
      expect(() => compileModule(module, target, { print: () => '', operands: 'f16' })).toThrow(
        expect.objectContaining({ code: 'F2C307', detail: expect.objectContaining({ hint: expect.any(String) as string }) as object }),
      ); // prettier-ignore
    }
  });
});
