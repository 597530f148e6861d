import { it } from 'vitest';
import { expectPass, expectUnchanged } from '../../test/run-pass.js';
import { eliminateCommonSubexpressions } from './eliminate-common-subexpressions.js';

it('computes equal expressions once, weights included', () => {
  expectPass(
    eliminateCommonSubexpressions,
    `weight @w : f32[6, 4] = tensor "w"
    func @f(%x: f32[img, 4]) -> (y: %c, z: %g) {
      %a = silu(%x)
      %p = matmul(%a, @w) {transposeB = true}
      %b = silu(%x)
      %q = matmul(%b, @w) {transposeB = true}
      %c = add(%p, %q)
      %d, %e = split(%b) {axis = 1, sizes = [1, 3]}
      %h, %i = split(%a) {axis = 1, sizes = [1, 3]}
      %g = mul(%d, %i)
    }`,
    `weight @w : f32[6, 4] = tensor "w"
    func @f(%x: f32[img, 4]) -> (y: %c, z: %g) {
      %a = silu(%x)
      %p = matmul(%a, @w) {transposeB = true}
      %c = add(%p, %p)
      %d, %e = split(%a) {axis = 1, sizes = [1, 3]}
      %g = mul(%d, %e)
    }`,
  );
});

it('tells attributes apart, -0 from 0 included', () => {
  expectUnchanged(
    eliminateCommonSubexpressions,
    `func @f(%x: f32[img, 4]) -> (a: %g, b: %h) {
      %a = slice(%x) {axis = 1, start = 0, size = 2}
      %b = slice(%x) {axis = 1, start = 2, size = 2}
      %c = div(%a, 0)
      %d = div(%b, -0)
      %e = layer_norm(%x) {eps = 1e-6}
      %i = layer_norm(%x) {eps = 1e-5}
      %g = add(%c, %d)
      %h = sub(%e, %i)
    }`,
  );
});

it('uses in a loop what was computed before it, and nothing of one loop in another', () => {
  expectPass(
    eliminateCommonSubexpressions,
    `func @f(%x: f32[img], %s: f32[steps]) -> (y: %l, z: %m) {
      %a = exp(%x)
      %l = loop(%x) {count = steps, symbol = i} do (%p: f32[img]) -> (%c) {
        %b = exp(%x)
        %t = slice(%s) {axis = 0, start = i, size = 1}
        %u = mul(%b, %t)
        %c = add(%p, %u)
      }
      %m = loop(%x) {count = steps, symbol = i} do (%q: f32[img]) -> (%e) {
        %d = exp(%x)
        %v = slice(%s) {axis = 0, start = i, size = 1}
        %w = mul(%d, %v)
        %e = add(%q, %w)
      }
    }`,
    `func @f(%x: f32[img], %s: f32[steps]) -> (y: %l, z: %m) {
      %a = exp(%x)
      %l = loop(%x) {count = steps, symbol = i} do (%p: f32[img]) -> (%c) {
        %t = slice(%s) {axis = 0, start = i, size = 1}
        %u = mul(%a, %t)
        %c = add(%p, %u)
      }
      %m = loop(%x) {count = steps, symbol = i} do (%q: f32[img]) -> (%e) {
        %v = slice(%s) {axis = 0, start = i, size = 1}
        %w = mul(%a, %v)
        %e = add(%q, %w)
      }
    }`,
  );
});
