import { describe, expect, it } from 'vitest';
import { cpuTarget } from '../../backends/target.js';
import type { DType } from '../../ir/dtype.js';
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

/** Results of every function, with weights of more bits than f16 has, as they are stored. */
function resultsOf(module: Module, from: Module, stored: DType = 'f32'): readonly object[] {
  const tensors = patternWeights(from);
  const read = (name: string): HostTensor => {
    const tensor = tensors(name);
    return { ...tensor, data: tensor.data.map((value) => roundToDType(stored, value * 0.7)) };
  };
  return patternCases(from).map(({ functionName, inputs }) =>
    interpretFunction(module, functionName, inputs, createWeightReader(module, read), { precision: 'f32' }),
  );
}

const halve = (module: Module): Module => eliminateDeadCode.run(halveWeights.run(module, cpuTarget), cpuTarget);

function expectText(module: Module, text: string): void {
  verifyModule(module);
  expect(printModule(module)).toBe(printModule(parseModule(text)));
}

/** What the pass and eliminate-dead-code behind it make prints as `after`, and computes the same numbers, which are not those of f32 factors. */
function expectHalves(before: string, after: string): void {
  const module = parseModule(before);
  const halved = halve(module);
  expectText(halved, after);
  const results = resultsOf(halved, module);
  expect(results).toEqual(resultsOf(module, module));
  expect(results).not.toEqual(resultsOf(parseModule(before.replaceAll(', factors = f16', '')), module));
}

describe('halve-weights', () => {
  it('reads the weight of a product in f16', () => {
    expectHalves(
      `weight @w : f32[20, 12] = tensor "w"
      func @f(%x: f32[batch, img, 12]) -> (y: %y) {
        %y = matmul(%x, @w) {transposeB = true, factors = f16}
      }`,
      `weight @w.f16 : f16[20, 12] = tensor "w"
      func @f(%x: f32[batch, img, 12]) -> (y: %y) {
        %y = matmul(%x, @w.f16) {transposeB = true, factors = f16}
      }`,
    );
  });

  it('reads some of its rows so, and the same numbers once', () => {
    expectHalves(
      `weight @w : f32[20, 4] = tensor "w"
      func @f(%x: f32[img, 4]) -> (p: %p, q: %q) {
        %low = slice(@w) {axis = 0, start = 0, size = 8}
        %high = slice(@w) {axis = 0, start = 8, size = 12}
        %p = matmul(%x, %low) {transposeB = true, factors = f16}
        %q = matmul(%x, %high) {transposeB = true, factors = f16}
      }`,
      `weight @w.f16 : f16[20, 4] = tensor "w"
      func @f(%x: f32[img, 4]) -> (p: %p, q: %q) {
        %low.f16 = slice(@w.f16) {axis = 0, start = 0, size = 8}
        %p = matmul(%x, %low.f16) {transposeB = true, factors = f16}
        %high.f16 = slice(@w.f16) {axis = 0, start = 8, size = 12}
        %q = matmul(%x, %high.f16) {transposeB = true, factors = f16}
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
        %y = conv2d(%x, %some) {stride = 1, padding = [1, 1, 1, 1], factors = f16}
      }`,
      `weight @w.f16 : f16[4, 3, 3, 8] = tensor "w"
      func @f(%x: f32[1, n, 5, 3]) -> (y: %y) {
        %turned.f16 = transpose(@w.f16) {permutation = [3, 1, 2, 0]}
        %moved.f16 = transpose(%turned.f16) {permutation = [0, 2, 1, 3]}
        %some.f16 = slice(%moved.f16) {axis = 3, start = 1, size = 3}
        %y = conv2d(%x, %some.f16) {stride = 1, padding = [1, 1, 1, 1], factors = f16}
      }`,
    );
  });

  it('reads a weight of bf16 so, whose numbers f16 has, too', () => {
    const before = parseModule(`weight @w : bf16[20, 12] = tensor "w"
      func @f(%x: f32[img, 12]) -> (y: %y) {
        %y = matmul(%x, @w) {transposeB = true, factors = f16}
      }`);
    const halved = halve(before);
    expect([...halved.weights.values()].map(({ type }) => type.dtype)).toEqual(['f16']);
    expect(resultsOf(halved, before, 'bf16')).toEqual(resultsOf(before, before, 'bf16'));
  });

  it('keeps a weight that something else reads beside its halves', () => {
    const weight = 'weight @table : f32[9, 6] = tensor "table"';
    const lookup = `func @f(%ids: i32[batch, txt]) -> (y: %y, x: %x) {
      %x = gather(@table, %ids)`;
    const before = parseModule(`${weight}
      ${lookup}
        %y = matmul(%x, @table) {transposeB = true, factors = f16}
      }`);
    const halved = halve(before);
    expectText(
      halved,
      `${weight}
      weight @table.f16 : f16[9, 6] = tensor "table"
      ${lookup}
        %y = matmul(%x, @table.f16) {transposeB = true, factors = f16}
      }`,
    );
    expect(resultsOf(halved, before)).toEqual(resultsOf(before, before));
  });

  it.each([
    ['product of f32 factors', 'weight @w : f32[8, 4] = tensor "w"\nfunc @f(%x: f32[img, 4]) -> (y: %y) {\n %y = matmul(%x, @w) {transposeB = true}\n}'],
    ['product of bf16 factors', 'weight @w : f32[8, 4] = tensor "w"\nfunc @f(%x: f32[img, 4]) -> (y: %y) {\n %y = matmul(%x, @w) {transposeB = true, factors = bf16}\n}'],
    ['norm', 'weight @w : f32[12] = tensor "w"\nfunc @f(%x: f32[img, 12]) -> (y: %y) {\n %y = rms_norm(%x, @w) {eps = 1e-5}\n}'],
    ['lookup', 'weight @w : f32[9, 12] = tensor "w"\nfunc @f(%ids: i32[img]) -> (y: %y) {\n %y = gather(@w, %ids)\n}'],
    ['sum', 'weight @w : f32[12] = tensor "w"\nfunc @f(%x: f32[img, 12]) -> (y: %y) {\n %y = add(%x, @w)\n}'],
    ['product of activations', 'func @f(%x: f32[img, 4], %w: f32[8, 4]) -> (y: %y) {\n %y = matmul(%x, %w) {transposeB = true, factors = f16}\n}'],
    ['product with f16', 'weight @w : f16[8, 4] = tensor "w"\nfunc @f(%x: f32[img, 4]) -> (y: %y) {\n %y = matmul(%x, @w) {transposeB = true, factors = f16}\n}'],
    ['product in bf16', 'weight @w : bf16[8, 4] = tensor "w"\nfunc @f(%x: bf16[img, 4]) -> (y: %y) {\n %y = matmul(%x, @w) {transposeB = true, factors = f16}\n}'],
    ['weight on the left', 'weight @w : f32[8, 4] = tensor "w"\nfunc @f(%x: f32[img, 4]) -> (y: %y) {\n %y = matmul(@w, %x) {transposeB = true, factors = f16}\n}'],
  ])('leaves a %s alone', (_, text) => expectUnchanged(halveWeights, text)); // prettier-ignore
});
