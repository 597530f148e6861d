import { it } from 'vitest';
import { expectPass, expectUnchanged } from '../../test/run-pass.js';
import { hoistLoopInvariants } from './hoist-loop-invariants.js';

it('moves out what depends on neither the carried values nor the step', () => {
  expectPass(
    hoistLoopInvariants,
    `weight @w : f32[4, 4] = tensor "w"
    func @f(%x: f32[img, 4], %t: f32[img, 4], %s: f32[steps]) -> (y: %l) {
      %l = loop(%x) {count = steps, symbol = step} do (%c: f32[img, 4]) -> (%e) {
        %a = silu(%t)
        %b = matmul(%a, @w) {transposeB = true}
        %g = slice(%s) {axis = 0, start = step, size = 1}
        %d = mul(%b, %g)
        %e = add(%c, %d)
      }
    }`,
    `weight @w : f32[4, 4] = tensor "w"
    func @f(%x: f32[img, 4], %t: f32[img, 4], %s: f32[steps]) -> (y: %l) {
      %a = silu(%t)
      %b = matmul(%a, @w) {transposeB = true}
      %l = loop(%x) {count = steps, symbol = step} do (%c: f32[img, 4]) -> (%e) {
        %g = slice(%s) {axis = 0, start = step, size = 1}
        %d = mul(%b, %g)
        %e = add(%c, %d)
      }
    }`,
  );
});

it('moves out of as many loops as possible, loops included', () => {
  expectPass(
    hoistLoopInvariants,
    `func @f(%x: f32[img], %s: f32[6], %t: f32[6]) -> (y: %l) {
      %l = loop(%x) {count = 6, symbol = i} do (%c: f32[img]) -> (%e) {
        %r = slice(%s) {axis = 0, start = i, size = 1}
        %m = loop(%c) {count = 3, symbol = j} do (%d: f32[img]) -> (%g) {
          %a = exp(%x)
          %b = mul(%a, %r)
          %u = slice(%t) {axis = 0, start = j, size = 1}
          %v = mul(%b, %u)
          %g = add(%d, %v)
        }
        %n = loop(%x) {count = 3, symbol = k} do (%h: f32[img]) -> (%o) {
          %o = mul(%h, 0.5)
        }
        %e = sub(%m, %n)
      }
    }`,
    `func @f(%x: f32[img], %s: f32[6], %t: f32[6]) -> (y: %l) {
      %a = exp(%x)
      %n = loop(%x) {count = 3, symbol = k} do (%h: f32[img]) -> (%o) {
        %o = mul(%h, 0.5)
      }
      %l = loop(%x) {count = 6, symbol = i} do (%c: f32[img]) -> (%e) {
        %r = slice(%s) {axis = 0, start = i, size = 1}
        %b = mul(%a, %r)
        %m = loop(%c) {count = 3, symbol = j} do (%d: f32[img]) -> (%g) {
          %u = slice(%t) {axis = 0, start = j, size = 1}
          %v = mul(%b, %u)
          %g = add(%d, %v)
        }
        %e = sub(%m, %n)
      }
    }`,
  );
});

it('keeps an inner loop whose body counts with both symbols', () => {
  expectUnchanged(
    hoistLoopInvariants,
    `func @f(%x: f32[img], %s: f32[9]) -> (y: %l) {
      %l = loop(%x) {count = 6, symbol = i} do (%c: f32[img]) -> (%e) {
        %m = loop(%x) {count = 3, symbol = j} do (%d: f32[img]) -> (%g) {
          %u = slice(%s) {axis = 0, start = i+j, size = 1}
          %g = add(%d, %u)
        }
        %e = add(%c, %m)
      }
    }`,
  );
});
