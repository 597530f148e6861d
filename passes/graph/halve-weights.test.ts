import { describe, expect, it } from 'vitest';
import { cpuTarget } from '../../backends/target.js';
import type { Module } from '../../ir/graph/graph.js';
import { interpretFunction } from '../../ir/graph/interpret.js';
import { roundToDType } from '../../ir/graph/ops/rounding.js';
import { parseModule } from '../../ir/graph/parse.js';
import { printModule } from '../../ir/graph/print.js';
import { verifyModule } from '../../ir/graph/verify.js';
import type { HostTensor } from '../../ir/host-tensor.js';
import { expectUnchanged, patternCases, patternWeights } from '../../test/run-pass.js';
import { createWeightReader } from '../validate.js';
import { eliminateDeadCode } from './eliminate-dead-code.js';
import { halveWeights } from './halve-weights.js';

/** Results of every function with the numbers that `round` makes of those of the tensors. */
function resultsOf(module: Module, from: Module, round: (value: number) => number): readonly object[] {
  const tensors = patternWeights(from);
  // Beyond what bf16 tells apart, so that rounding to f16 shows in weights of f32.
  const read = (name: string): HostTensor => {
    const tensor = tensors(name);
    return { ...tensor, data: tensor.data.map((value) => round(Math.fround(value * 0.7))) };
  };
  return patternCases(from).map(({ functionName, inputs }) =>
    interpretFunction(module, functionName, inputs, createWeightReader(module, read), { precision: 'f32' }),
  );
}

const halve = (module: Module): Module => eliminateDeadCode.run(halveWeights.run(module, cpuTarget), cpuTarget);
const same = (value: number): number => value;

function expectText(module: Module, text: string): void {
  verifyModule(module);
  expect(printModule(module)).toBe(printModule(parseModule(text)));
}

/** What the pass and eliminate-dead-code behind it make prints as `after`, and computes what weights rounded to f16 give. */
function expectHalves(before: string, after: string): void {
  const module = parseModule(before);
  const halved = halve(module);
  expectText(halved, after);
  const results = resultsOf(halved, module, same);
  expect(results).toEqual(resultsOf(module, module, (value) => roundToDType('f16', value)));
  expect(results).not.toEqual(resultsOf(module, module, same));
}

describe('halve-weights', () => {
  it('reads the weight of a product in f16', () => {
    expectHalves(
      `weight @w : f32[20, 12] = tensor "w"
      func @f(%x: f32[batch, img, 12]) -> (y: %y) {
        %y = matmul(%x, @w) {transposeB = true}
      }`,
      `weight @w.f16 : f16[20, 12] = tensor "w"
      func @f(%x: f32[batch, img, 12]) -> (y: %y) {
        %y = matmul(%x, @w.f16) {transposeB = true}
      }`,
    );
  });

  it('reads some of its rows so, and the same numbers once', () => {
    expectHalves(
      `weight @w : f32[20, 4] = tensor "w"
      func @f(%x: f32[img, 4]) -> (p: %p, q: %q) {
        %low = slice(@w) {axis = 0, start = 0, size = 8}
        %high = slice(@w) {axis = 0, start = 8, size = 12}
        %p = matmul(%x, %low) {transposeB = true}
        %q = matmul(%x, %high) {transposeB = true}
      }`,
      `weight @w.f16 : f16[20, 4] = tensor "w"
      func @f(%x: f32[img, 4]) -> (p: %p, q: %q) {
        %low.f16 = slice(@w.f16) {axis = 0, start = 0, size = 8}
        %p = matmul(%x, %low.f16) {transposeB = true}
        %high.f16 = slice(@w.f16) {axis = 0, start = 8, size = 12}
        %q = matmul(%x, %high.f16) {transposeB = true}
      }`,
    );
  });

  it('reads the weight of a convolution so, in another order of its axes', () => {
    expectHalves(
      `weight @w : f32[4, 3, 3, 8] = tensor "w"
      func @f(%x: f32[1, n, 5, 3]) -> (y: %y) {
        %turned = transpose(@w) {permutation = [3, 1, 2, 0]}
        %moved = transpose(%turned) {permutation = [0, 2, 1, 3]}
        %some = slice(%moved) {axis = 3, start = 1, size = 3}
        %y = conv2d(%x, %some) {stride = 1, padding = [1, 1, 1, 1]}
      }`,
      `weight @w.f16 : f16[4, 3, 3, 8] = tensor "w"
      func @f(%x: f32[1, n, 5, 3]) -> (y: %y) {
        %turned.f16 = transpose(@w.f16) {permutation = [3, 1, 2, 0]}
        %moved.f16 = transpose(%turned.f16) {permutation = [0, 2, 1, 3]}
        %some.f16 = slice(%moved.f16) {axis = 3, start = 1, size = 3}
        %y = conv2d(%x, %some.f16) {stride = 1, padding = [1, 1, 1, 1]}
      }`,
    );
  });

  it('reads a weight of bf16 so, whose numbers f16 has, too', () => {
    const before = parseModule(`weight @w : bf16[20, 12] = tensor "w"
      func @f(%x: f32[img, 12]) -> (y: %y) {
        %y = matmul(%x, @w) {transposeB = true}
      }`);
    const halved = halve(before);
    expect([...halved.weights.values()].map(({ type }) => type.dtype)).toEqual(['f16']);
    const stored = (value: number): number => roundToDType('bf16', value);
    expect(resultsOf(halved, before, stored)).toEqual(resultsOf(before, before, stored));
  });

  it('keeps a weight that something else reads beside its halves', () => {
    const weight = 'weight @table : f32[9, 6] = tensor "table"';
    const lookup = `func @f(%ids: i32[batch, txt]) -> (y: %y, x: %x) {
      %x = gather(@table, %ids)`;
    const before = parseModule(`${weight}
      ${lookup}
        %y = matmul(%x, @table) {transposeB = true}
      }`);
    const halved = halve(before);
    expectText(
      halved,
      `${weight}
      weight @table.f16 : f16[9, 6] = tensor "table"
      ${lookup}
        %y = matmul(%x, @table.f16) {transposeB = true}
      }`,
    );
    const rounded = parseModule(`${weight}
      ${lookup}
        %half = cast(@table) {dtype = f16}
        %y = matmul(%x, %half) {transposeB = true}
      }`);
    expect(resultsOf(halved, before, same)).toEqual(resultsOf(rounded, before, same));
  });

  it.each([
    ['norm', 'weight @w : f32[12] = tensor "w"\nfunc @f(%x: f32[img, 12]) -> (y: %y) {\n %y = rms_norm(%x, @w) {eps = 1e-5}\n}'],
    ['lookup', 'weight @w : f32[9, 12] = tensor "w"\nfunc @f(%ids: i32[img]) -> (y: %y) {\n %y = gather(@w, %ids)\n}'],
    ['sum', 'weight @w : f32[12] = tensor "w"\nfunc @f(%x: f32[img, 12]) -> (y: %y) {\n %y = add(%x, @w)\n}'],
    ['product of activations', 'func @f(%x: f32[img, 4], %w: f32[8, 4]) -> (y: %y) {\n %y = matmul(%x, %w) {transposeB = true}\n}'],
    ['product with f16', 'weight @w : f16[8, 4] = tensor "w"\nfunc @f(%x: f32[img, 4]) -> (y: %y) {\n %y = matmul(%x, @w) {transposeB = true}\n}'],
    ['product in bf16', 'weight @w : bf16[8, 4] = tensor "w"\nfunc @f(%x: bf16[img, 4]) -> (y: %y) {\n %y = matmul(%x, @w) {transposeB = true}\n}'],
    ['weight on the left', 'weight @w : f32[8, 4] = tensor "w"\nfunc @f(%x: f32[img, 4]) -> (y: %y) {\n %y = matmul(@w, %x) {transposeB = true}\n}'],
  ])('leaves a %s alone', (_, text) => expectUnchanged(halveWeights, text)); // prettier-ignore
});
