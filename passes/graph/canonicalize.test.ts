import { describe, expect, it } from 'vitest';
import { parseModule } from '../../ir/graph/parse.js';
import { expectPass, expectUnchanged } from '../../test/run-pass.js';
import { cpuTarget } from '../../backends/target.js';
import { canonicalize } from './canonicalize.js';

describe('canonicalize: elementwise', () => {
  it('drops neutral numbers, on the side they have or after moving to the right', () => {
    expectPass(
      canonicalize,
      `func @f(%x: f32[img, 4]) -> (y: %f) {
        %a = add(0, %x)
        %b = mul(%a, 1)
        %c = sub(%b, 0)
        %d = div(%c, 1)
        %e = pow(%d, 1)
        %f = silu(%e)
      }`,
      `func @f(%x: f32[img, 4]) -> (y: %f) { %f = silu(%x) }`,
    );
  });

  it('keeps 0 - x, 1 / x and what a wider number widens', () => {
    expectUnchanged(
      canonicalize,
      `func @f(%x: f32[img, 4]) -> (y: %b) {
        %a = sub(0, %x)
        %b = div(1, %a)
      }`,
    );
    expectPass(
      canonicalize,
      `func @f(%x: bf16[img, 4]) -> (y: %a) { %a = add(%x, 0:f32) }`,
      `func @f(%x: bf16[img, 4]) -> (y: %a) { %a = cast(%x) {dtype = f32} }`,
    );
  });

  it('moves constants to the right', () => {
    expectPass(
      canonicalize,
      `func @f(%x: f32[img, 4]) -> (y: %b) {
        %a = add(1, %x)
        %b = max(2, %a)
      }`,
      `func @f(%x: f32[img, 4]) -> (y: %b) {
        %a = add(%x, 1)
        %b = max(%a, 2)
      }`,
    );
  });

  it('finds silu and drops double negation', () => {
    expectPass(
      canonicalize,
      `func @f(%x: f32[img, 4]) -> (y: %e) {
        %a = sigmoid(%x)
        %b = mul(%a, %x)
        %c = neg(%b)
        %d = neg(%c)
        %e = exp(%d)
      }`,
      `func @f(%x: f32[img, 4]) -> (y: %e) {
        %a = sigmoid(%x)
        %b = silu(%x)
        %c = neg(%b)
        %e = exp(%b)
      }`,
    );
  });

  it('drops broadcasts that the operation does itself, and only those', () => {
    expectPass(
      canonicalize,
      `func @f(%x: f32[img, 4], %v: f32[4]) -> (y: %b, z: %c) {
        %w = broadcast(%v) {shape = [img, 4]}
        %b = mul(%x, %w)
        %c = add(%w, %v)
      }`,
      `func @f(%x: f32[img, 4], %v: f32[4]) -> (y: %b, z: %c) {
        %w = broadcast(%v) {shape = [img, 4]}
        %b = mul(%x, %v)
        %c = add(%w, %v)
      }`,
    );
  });

  it('makes splats scalars', () => {
    expectPass(
      canonicalize,
      `func @f(%x: f32[img, 4]) -> (y: %b) {
        %c = constant() {dtype = f32, shape = [img, 4], values = [2]}
        %b = mul(%x, %c)
      }`,
      `func @f(%x: f32[img, 4]) -> (y: %b) {
        %c = constant() {dtype = f32, shape = [img, 4], values = [2]}
        %b = mul(%x, 2)
      }`,
    );
  });

  it('drops casts that lose nothing, and no others', () => {
    expectPass(
      canonicalize,
      `func @f(%x: bf16[img]) -> (y: %d) {
        %a = cast(%x) {dtype = bf16}
        %b = cast(%a) {dtype = f32}
        %c = cast(%b) {dtype = bf16}
        %d = exp(%c)
      }`,
      `func @f(%x: bf16[img]) -> (y: %d) {
        %b = cast(%x) {dtype = f32}
        %d = exp(%x)
      }`,
    );
    expectUnchanged(
      canonicalize,
      `func @f(%x: f32[img]) -> (y: %b) {
        %a = cast(%x) {dtype = bf16}
        %b = cast(%a) {dtype = f32}
      }`,
    );
  });
});

describe('canonicalize: views', () => {
  it('joins reshapes, transposes and broadcasts', () => {
    expectPass(
      canonicalize,
      `func @f(%x: f32[img, 4, 6]) -> (y: %d, z: %h) {
        %a = reshape(%x) {shape = [img, 24]}
        %b = reshape(%a) {shape = [img, 2, 12]}
        %d = exp(%b)
        %e = transpose(%x) {permutation = [1, 0, 2]}
        %g = transpose(%e) {permutation = [2, 1, 0]}
        %h = exp(%g)
      }`,
      `func @f(%x: f32[img, 4, 6]) -> (y: %d, z: %h) {
        %a = reshape(%x) {shape = [img, 24]}
        %b = reshape(%x) {shape = [img, 2, 12]}
        %d = exp(%b)
        %e = transpose(%x) {permutation = [1, 0, 2]}
        %g = transpose(%x) {permutation = [2, 0, 1]}
        %h = exp(%g)
      }`,
    );
  });

  it('drops what changes nothing', () => {
    expectPass(
      canonicalize,
      `func @f(%x: f32[1, 4, 4, img]) -> (y: %h) {
        %a = reshape(%x) {shape = [1, 4, 4, img]}
        %b = transpose(%a) {permutation = [0, 1, 2, 3]}
        %c = broadcast(%b) {shape = [1, 4, 4, img]}
        %d = pad(%c) {low = [0, 0, 0, 0], high = [0, 0, 0, 0], value = 1}
        %e = upsample_nearest(%d) {factor = 1}
        %g = slice(%e) {axis = 3, start = 0, size = img}
        %s = split(%g) {axis = 1, sizes = [4]}
        %j = concat(%s) {axis = 2}
        %h = exp(%j)
      }`,
      `func @f(%x: f32[1, 4, 4, img]) -> (y: %h) { %h = exp(%x) }`,
    );
  });

  it('makes a transpose of axes of size 1 a reshape', () => {
    expectPass(
      canonicalize,
      `func @f(%x: f32[img, 1, 4]) -> (y: %b) {
        %a = transpose(%x) {permutation = [1, 0, 2]}
        %b = exp(%a)
      }`,
      `func @f(%x: f32[img, 1, 4]) -> (y: %b) {
        %a = reshape(%x) {shape = [1, img, 4]}
        %b = exp(%a)
      }`,
    );
  });

  it('makes a transposed second factor transposeB', () => {
    expectPass(
      canonicalize,
      `weight @w : f32[6, 4] = tensor "w"
      func @f(%x: f32[img, 4], %k: f32[2, 4, 3]) -> (y: %b, z: %d) {
        %a = transpose(@w) {permutation = [1, 0]}
        %b = matmul(%x, %a) {transposeB = false}
        %c = transpose(%k) {permutation = [0, 2, 1]}
        %d = matmul(%k, %c) {transposeB = false}
      }`,
      `weight @w : f32[6, 4] = tensor "w"
      func @f(%x: f32[img, 4], %k: f32[2, 4, 3]) -> (y: %b, z: %d) {
        %a = transpose(@w) {permutation = [1, 0]}
        %b = matmul(%x, @w) {transposeB = true}
        %c = transpose(%k) {permutation = [0, 2, 1]}
        %d = matmul(%k, %k) {transposeB = true}
      }`,
    );
  });
});

describe('canonicalize: pieces', () => {
  it('reads slices of slices and of pieces from the whole', () => {
    expectPass(
      canonicalize,
      `func @f(%x: f32[img+8, 9]) -> (y: %c, z: %e) {
        %a = slice(%x) {axis = 0, start = 2, size = img+4}
        %b = slice(%a) {axis = 0, start = img, size = 3}
        %c = exp(%b)
        %p, %q = split(%x) {axis = 1, sizes = [4, 5]}
        %d = slice(%q) {axis = 1, start = 1, size = 2}
        %g = slice(%p) {axis = 1, start = 0, size = 2}
        %e = add(%d, %g)
      }`,
      `func @f(%x: f32[img+8, 9]) -> (y: %c, z: %e) {
        %a = slice(%x) {axis = 0, start = 2, size = img+4}
        %b = slice(%x) {axis = 0, start = img+2, size = 3}
        %c = exp(%b)
        %p, %q = split(%x) {axis = 1, sizes = [4, 5]}
        %d = slice(%x) {axis = 1, start = 5, size = 2}
        %g = slice(%x) {axis = 1, start = 0, size = 2}
        %e = add(%d, %g)
      }`,
    );
  });

  it('takes pieces of a concatenation from its operands', () => {
    expectPass(
      canonicalize,
      `func @f(%t: f32[txt, 4], %x: f32[img, 4], %r: f32[ref, 4]) -> (a: %e, b: %g, c: %h, d: %i, k: %k) {
        %all = concat(%t, %x, %r) {axis = 0}
        %a = slice(%all) {axis = 0, start = txt, size = img}
        %b = slice(%all) {axis = 0, start = txt, size = img+ref}
        %c = slice(%all) {axis = 0, start = txt+img, size = ref}
        %d = slice(%all) {axis = 0, start = 1, size = img}
        %e = exp(%a)
        %g = exp(%b)
        %h = exp(%c)
        %i = exp(%d)
        %p, %q = split(%all) {axis = 0, sizes = [txt+img, ref]}
        %k = reduce_sum(%p) {axes = [0], keepDims = false}
        %l = exp(%q)
      }`,
      `func @f(%t: f32[txt, 4], %x: f32[img, 4], %r: f32[ref, 4]) -> (a: %e, b: %g, c: %h, d: %i, k: %k) {
        %all = concat(%t, %x, %r) {axis = 0}
        %b = concat(%x, %r) {axis = 0}
        %d = slice(%all) {axis = 0, start = 1, size = img}
        %e = exp(%x)
        %g = exp(%b)
        %h = exp(%r)
        %i = exp(%d)
        %p = concat(%t, %x) {axis = 0}
        %k = reduce_sum(%p) {axes = [0], keepDims = false}
        %l = exp(%r)
      }`,
    );
  });

  it('joins neighbouring pieces and nested concatenations', () => {
    expectPass(
      canonicalize,
      `func @f(%x: f32[img, 12], %z: f32[img, 1]) -> (a: %d, b: %g) {
        %p, %q, %r = split(%x) {axis = 1, sizes = [3, 4, 5]}
        %a = concat(%p, %q, %r) {axis = 1}
        %d = exp(%a)
        %b = concat(%q, %r, %z) {axis = 1}
        %c = concat(%z, %b) {axis = 1}
        %g = exp(%c)
      }`,
      `func @f(%x: f32[img, 12], %z: f32[img, 1]) -> (a: %d, b: %g) {
        %p, %q, %r = split(%x) {axis = 1, sizes = [3, 4, 5]}
        %d = exp(%x)
        %slice = slice(%x) {axis = 1, start = 3, size = 9}
        %b = concat(%slice, %z) {axis = 1}
        %c = concat(%z, %slice, %z) {axis = 1}
        %g = exp(%c)
      }`,
    );
  });

  it('makes one split of nested ones', () => {
    expectPass(
      canonicalize,
      `func @f(%x: f32[img, 12]) -> (a: %y) {
        %p, %q = split(%x) {axis = 1, sizes = [4, 8]}
        %a = exp(%p)
        %g, %u = split(%q) {axis = 1, sizes = [4, 4]}
        %b = mul(%g, %u)
        %y = add(%a, %b)
      }`,
      `func @f(%x: f32[img, 12]) -> (a: %y) {
        %p, %g, %u = split(%x) {axis = 1, sizes = [4, 4, 4]}
        %a = exp(%p)
        %b = mul(%g, %u)
        %y = add(%a, %b)
      }`,
    );
  });

  it('makes a split with one piece in use a slice', () => {
    expectPass(
      canonicalize,
      `func @f(%x: f32[img, 12]) -> (a: %y) {
        %p, %q, %r = split(%x) {axis = 1, sizes = [3, 4, 5]}
        %y = exp(%q)
      }`,
      `func @f(%x: f32[img, 12]) -> (a: %y) {
        %q = slice(%x) {axis = 1, start = 3, size = 4}
        %y = exp(%q)
      }`,
    );
  });

  it('works inside loops', () => {
    expectPass(
      canonicalize,
      `func @f(%x: f32[img, 4], %s: f32[steps]) -> (y: %l) {
        %l = loop(%x) {count = steps, symbol = step} do (%c: f32[img, 4]) -> (%d) {
          %a = slice(%s) {axis = 0, start = step, size = 1}
          %b = broadcast(%a) {shape = [img, 4]}
          %d = add(%b, %c)
        }
      }`,
      `func @f(%x: f32[img, 4], %s: f32[steps]) -> (y: %l) {
        %l = loop(%x) {count = steps, symbol = step} do (%c: f32[img, 4]) -> (%d) {
          %a = slice(%s) {axis = 0, start = step, size = 1}
          %b = broadcast(%a) {shape = [img, 4]}
          %d = add(%a, %c)
        }
      }`,
    );
  });
});

it('keeps the values of operations it does not touch', () => {
  const module = parseModule(`func @f(%x: f32[img, 4]) -> (y: %b) {
    %a = add(%x, 0)
    %b = exp(%a)
  }`);
  const before = module.functions.get('f')?.body.results[0];
  expect(canonicalize.run(module, cpuTarget).functions.get('f')?.body.results[0]).toBe(before);
});
