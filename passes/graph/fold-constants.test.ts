import { describe, expect, it } from 'vitest';
import { cpuTarget } from '../../backends/target.js';
import { parseModule } from '../../ir/graph/parse.js';
import { printModule } from '../../ir/graph/print.js';
import { expectPass, expectUnchanged } from '../../test/run-pass.js';
import { foldConstants } from './fold-constants.js';

describe('fold-constants: numbers', () => {
  it('evaluates operations on scalars and keeps going', () => {
    expectPass(
      foldConstants,
      `func @f(%x: f32[img]) -> (y: %d) {
        %a = add(2, 1)
        %b = mul(%a, %a)
        %c = rsqrt(%b)
        %d = mul(%x, %c)
      }`,
      `func @f(%x: f32[img]) -> (y: %d) { %d = mul(%x, 0.3333333333333333) }`,
    );
  });

  it('evaluates small tensors, iota and host operations included', () => {
    expectPass(
      foldConstants,
      `func @f(%x: i32[3]) -> (y: %e) {
        %a = iota() {size = 6}
        %b = reshape(%a) {shape = [2, 3]}
        %c = transpose(%b) {permutation = [1, 0]}
        %d = slice(%c) {axis = 1, start = 1, size = 1}
        %g = reshape(%d) {shape = [3]}
        %e = add(%x, %g)
      }`,
      `func @f(%x: i32[3]) -> (y: %e) {
        %a = iota() {size = 6}
        %b = constant() {dtype = i32, shape = [2, 3], values = [0, 1, 2, 3, 4, 5]}
        %c = constant() {dtype = i32, shape = [3, 2], values = [0, 3, 1, 4, 2, 5]}
        %d = constant() {dtype = i32, shape = [3, 1], values = [3, 4, 5]}
        %g = constant() {dtype = i32, shape = [3], values = [3, 4, 5]}
        %e = add(%x, %g)
      }`,
    );
    expectPass(
      foldConstants,
      `func @f(%x: f32[1, 4]) -> (y: %e) {
        %t = constant() {dtype = f32, shape = [1], values = [0]}
        %a = timestep_embedding(%t) {size = 4, maxPeriod = 10000, scale = 1000}
        %e = add(%x, %a)
      }`,
      `func @f(%x: f32[1, 4]) -> (y: %e) {
        %t = constant() {dtype = f32, shape = [1], values = [0]}
        %a = constant() {dtype = f32, shape = [1, 4], values = [1, 1, 0, 0]}
        %e = add(%x, %a)
      }`,
    );
  });

  it('evaluates splats of any size', () => {
    expectPass(
      foldConstants,
      `func @f(%x: f32[img, 4]) -> (y: %e) {
        %a = constant() {dtype = f32, shape = [img, 4], values = [3]}
        %b = add(%a, 1)
        %c, %d = split(%b) {axis = 1, sizes = [1, 3]}
        %e = mul(%x, %c)
        %g = exp(%d)
      }`,
      `func @f(%x: f32[img, 4]) -> (y: %e) {
        %a = constant() {dtype = f32, shape = [img, 4], values = [3]}
        %b = constant() {dtype = f32, shape = [img, 4], values = [4]}
        %c = constant() {dtype = f32, shape = [img, 1], values = [4]}
        %d = constant() {dtype = f32, shape = [img, 3], values = [4]}
        %e = mul(%x, %c)
        %g = constant() {dtype = f32, shape = [img, 3], values = [54.598150033144236]}
      }`,
    );
  });

  it('evaluates numbers of 16 bits that need no rounding', () => {
    expectPass(
      foldConstants,
      `func @f(%x: f32[img]) -> (y: %d) {
        %a = cast(0.375) {dtype = bf16}
        %b = add(%a, 1)
        %c = cast(%b) {dtype = f32}
        %d = mul(%x, %c)
      }`,
      `func @f(%x: f32[img]) -> (y: %d) { %d = mul(%x, 1.375) }`,
    );
  });

  it.each([
    ['a result', '%c = cast(0.3) {dtype = bf16}'],
    ['an operand', '%c = cast(0.3:f16) {dtype = f32}'],
    ['an operand that is a tensor', '%c = add(%e, 1)'],
    ['a result that is a tensor', '%c = add(%g, 1)'],
  ])('leaves alone %s of 16 bits that is rounded', (_, line) => {
    expectUnchanged(
      foldConstants,
      `func @f(%x: f32[2]) -> (y: %x, e: %e, g: %g, c: %c) {
        %e = constant() {dtype = f16, shape = [2], values = [1, 2049]}
        %g = constant() {dtype = f16, shape = [2], values = [1, 2048]}
        ${line}
      }`,
    );
  });

  it('leaves alone what would not fit a constant', () => {
    expectUnchanged(
      foldConstants,
      `func @f(%x: f32[64, 65]) -> (y: %c) {
        %a = iota() {size = 4160}
        %b = cast(%a) {dtype = f32}
        %d = reshape(%b) {shape = [64, 65]}
        %c = add(%x, %d)
      }`,
    );
  });

  it('leaves alone a row of a constant table that changes with the step', () => {
    expectUnchanged(
      foldConstants,
      `func @f(%x: f32[img]) -> (y: %l) {
        %t = constant() {dtype = f32, shape = [3], values = [1, 2, 3]}
        %l = loop(%x) {count = 3, symbol = step} do (%c: f32[img]) -> (%e) {
          %s = slice(%t) {axis = 0, start = step, size = 1}
          %e = add(%c, %s)
        }
      }`,
    );
  });
});

describe('fold-constants: weights', () => {
  it('declares permuted weights', () => {
    expectPass(
      foldConstants,
      `weight @vae.conv.weight : f32[6, 4, 3, 3] = tensor "conv.weight"
      func @f(%x: f32[1, img, img, 4]) -> (y: %b) {
        %a = transpose(@vae.conv.weight) {permutation = [0, 2, 3, 1]}
        %b = conv2d(%x, %a) {stride = 1, padding = [1, 1, 1, 1]}
      }`,
      `weight @vae.conv.weight : f32[6, 4, 3, 3] = tensor "conv.weight"
      weight @vae.conv.weight.permuted_0_2_3_1 : f32[6, 3, 3, 4] = permute(tensor "conv.weight" : [6, 4, 3, 3], [0, 2, 3, 1])
      func @f(%x: f32[1, img, img, 4]) -> (y: %b) {
        %b = conv2d(%x, @vae.conv.weight.permuted_0_2_3_1) {stride = 1, padding = [1, 1, 1, 1]}
      }`,
    );
  });

  it('declares joined weights, and once when two functions join the same', () => {
    const body = `{
        %w = concat(@q, @k) {axis = 0}
        %y = matmul(%x, %w) {transposeB = true}
      }`;
    const folded = '{ %y = matmul(%x, @q.and_1_more) {transposeB = true} }';
    expectPass(
      foldConstants,
      `weight @q : f32[6, 4] = tensor "q"
      weight @k : f32[2, 4] = tensor "k"
      func @f(%x: f32[img, 4]) -> (y: %y) ${body}
      func @g(%x: f32[txt, 4]) -> (y: %y) ${body}`,
      `weight @q : f32[6, 4] = tensor "q"
      weight @k : f32[2, 4] = tensor "k"
      weight @q.and_1_more : f32[8, 4] = concat_rows(tensor "q" : [6, 4], tensor "k" : [2, 4])
      func @f(%x: f32[img, 4]) -> (y: %y) ${folded}
      func @g(%x: f32[txt, 4]) -> (y: %y) ${folded}`,
    );
  });

  it('declares a stored tensor without axes of size 1, but reshapes no other way', () => {
    expectPass(
      foldConstants,
      `weight @c : f32[6, 1, 1, 4] = tensor "c"
      func @f(%x: f32[img, 4]) -> (y: %y, z: %v) {
        %w = reshape(@c) {shape = [6, 4]}
        %y = matmul(%x, %w) {transposeB = true}
        %u = reshape(@c) {shape = [4, 6]}
        %v = matmul(%x, %u) {transposeB = false}
      }`,
      `weight @c : f32[6, 1, 1, 4] = tensor "c"
      weight @c.as_6x4 : f32[6, 4] = tensor "c"
      func @f(%x: f32[img, 4]) -> (y: %y, z: %v) {
        %y = matmul(%x, @c.as_6x4) {transposeB = true}
        %u = reshape(@c) {shape = [4, 6]}
        %v = matmul(%x, %u) {transposeB = false}
      }`,
    );
  });

  it('permutes what is packed already', () => {
    const module = parseModule(`
      weight @w : f32[6, 4] = concat_rows(tensor "a" : [2, 4], tensor "b" : [4, 4])
      func @f(%x: f32[img, 6]) -> (y: %y) {
        %w.1 = transpose(@w) {permutation = [1, 0]}
        %y = matmul(%x, %w.1) {transposeB = true}
      }`);
    expect(printModule(foldConstants.run(module, cpuTarget))).toContain(
      'f32[4, 6] = permute(concat_rows(tensor "a" : [2, 4], tensor "b" : [4, 4]) : [6, 4], [1, 0])',
    );
  });
});
