import { describe, it } from 'vitest';
import { cpuTarget } from '../../backends/target.js';
import { expectPass } from '../../test/run-pass.js';
import { fuse } from './fuse.js';

const few = { ...cpuTarget, maxStorageBuffers: 4 };

describe('fuse joins', () => {
  it('elementwise operations, whatever their shapes', () => {
    expectPass(
      fuse,
      `func @f(%x: f32[img, 4], %y: f32[4]) -> (z: %e) {
          %a = neg(%x)
          %b = add(%y, 1)
          %c = mul(%a, %b)
          %d = reshape(%c) {shape = [2*img, 2]}
          %e = silu(%d)
        }`,
      `func @f(%x: f32[img, 4], %y: f32[4]) -> (z: %e) {
          %e = fused(%y, %x) {anchor = map} do (%y: f32[4], %x: f32[img, 4]) -> (%e) {
            %b = add(%y, 1)
            %a = neg(%x)
            %c = mul(%a, %b)
            %d = reshape(%c) {shape = [2*img, 2]}
            %e = silu(%d)
          }
        }`,
    );
  });

  it('quantisation with the norm that makes the rows', () => {
    const operations = `
            %a = layer_norm(%x) {eps = 0.1}
            %b = mul(%a, %g)
            %q, %s = quantize_rows(%b) {dtype = f8e4m3}`;
    expectPass(
      fuse,
      `func @f(%x: f32[img, 4], %g: f32[4]) -> (q: %q, s: %s) {${operations}
        }`,
      `func @f(%x: f32[img, 4], %g: f32[4]) -> (q: %q, s: %s) {
          %q, %s = fused(%x, %g) {anchor = row} do (%x: f32[img, 4], %g: f32[4]) -> (%q, %s) {${operations}
          }
        }`,
    );
  });

  it('cheap work that is repeated for a broadcast', () => {
    expectPass(
      fuse,
      `func @f(%x: f32[img, 4], %y: f32[4]) -> (z: %b) {
          %a = add(%y, 1)
          %b = mul(%x, %a)
        }`,
      `func @f(%x: f32[img, 4], %y: f32[4]) -> (z: %b) {
          %b = fused(%y, %x) {anchor = map} do (%y: f32[4], %x: f32[img, 4]) -> (%b) {
            %a = add(%y, 1)
            %b = mul(%x, %a)
          }
        }`,
    );
  });

  it('one element with others that it is made of: pad, gather, upsample', () => {
    expectPass(
      fuse,
      `func @f(%x: f32[4, img, 4, 4], %i: i32[3]) -> (z: %d, w: %e) {
          %a = exp(%x)
          %b = upsample_nearest(%x) {factor = 2}
          %c = pad(%b) {low = [0, 0, 1, 0], high = [0, 0, 0, 1], value = 0}
          %g = gather(%a, %i)
          %d = neg(%g)
          %e = silu(%c)
        }`,
      `func @f(%x: f32[4, img, 4, 4], %i: i32[3]) -> (z: %d, w: %e) {
          %a = fused(%x) {anchor = map} do (%x: f32[4, img, 4, 4]) -> (%a) {
            %a = exp(%x)
          }
          %d = fused(%a, %i) {anchor = map} do (%a: f32[4, img, 4, 4], %i: i32[3]) -> (%d) {
            %g = gather(%a, %i)
            %d = neg(%g)
          }
          %e = fused(%x) {anchor = map} do (%x: f32[4, img, 4, 4]) -> (%e) {
            %b = upsample_nearest(%x) {factor = 2}
            %c = pad(%b) {low = [0, 0, 1, 0], high = [0, 0, 0, 1], value = 0}
            %e = silu(%c)
          }
        }`,
    );
  });

  it('a value that one operation reads twice', () => {
    expectPass(
      fuse,
      `func @f(%x: f32[img, 4]) -> (z: %b) {
          %a = tanh(%x)
          %b = mul(%a, %a)
        }`,
      `func @f(%x: f32[img, 4]) -> (z: %b) {
          %b = fused(%x) {anchor = map} do (%x: f32[img, 4]) -> (%b) {
            %a = tanh(%x)
            %b = mul(%a, %a)
          }
        }`,
    );
  });

  it('a row with what follows in its shape, from either side', () => {
    expectPass(
      fuse,
      `func @f(%x: f32[img, 4], %s: f32[4], %t: f32[4]) -> (z: %d) {
          %n = layer_norm(%x) {eps = 0.01}
          %a = add(%s, 1)
          %b = mul(%a, %n)
          %d = add(%b, %t)
        }`,
      `func @f(%x: f32[img, 4], %s: f32[4], %t: f32[4]) -> (z: %d) {
          %d = fused(%x, %s, %t) {anchor = row} do (%x: f32[img, 4], %s: f32[4], %t: f32[4]) -> (%d) {
            %n = layer_norm(%x) {eps = 0.01}
            %a = add(%s, 1)
            %b = mul(%a, %n)
            %d = add(%b, %t)
          }
        }`,
    );
  });

  it('a row with rope', () => {
    expectPass(
      fuse,
      `weight @w : bf16[6] = tensor "w"
        func @f(%x: f32[1, img, 2, 6], %c: f32[img, 3], %s: f32[img, 3]) -> (z: %r) {
          %n = rms_norm(%x, @w) {eps = 0.01}
          %r = rope(%n, %c, %s) {style = half}
        }`,
      `weight @w : bf16[6] = tensor "w"
        func @f(%x: f32[1, img, 2, 6], %c: f32[img, 3], %s: f32[img, 3]) -> (z: %r) {
          %r = fused(%x, @w, %c, %s) {anchor = row} do (%x: f32[1, img, 2, 6], %"@w": bf16[6], %c: f32[img, 3], %s: f32[img, 3]) -> (%r) {
            %n = rms_norm(%x, %"@w") {eps = 0.01}
            %r = rope(%n, %c, %s) {style = half}
          }
        }`,
    );
  });

  it('a product with what follows in its shape', () => {
    expectPass(
      fuse,
      `weight @w : bf16[8, 4] = tensor "w"
        func @f(%x: f32[img, 4], %r: f32[img, 8], %g: f32[8]) -> (z: %y) {
          %p = matmul(%x, @w) {transposeB = true}
          %a = mul(%p, %g)
          %y = add(%r, %a)
        }`,
      `weight @w : bf16[8, 4] = tensor "w"
        func @f(%x: f32[img, 4], %r: f32[img, 8], %g: f32[8]) -> (z: %y) {
          %y = fused(%x, @w, %g, %r) {anchor = contraction} do (%x: f32[img, 4], %"@w": bf16[8, 4], %g: f32[8], %r: f32[img, 8]) -> (%y) {
            %p = matmul(%x, %"@w") {transposeB = true}
            %a = mul(%p, %g)
            %y = add(%r, %a)
          }
        }`,
    );
  });

  it('products of one operand that pointwise work reads together', () => {
    expectPass(
      fuse,
      `weight @w : bf16[16, 4] = tensor "w"
        func @f(%x: f32[img, 4], %b: f32[8]) -> (z: %y) {
          %v = slice(@w) {axis = 0, start = 0, size = 8}
          %w = slice(@w) {axis = 0, start = 8, size = 8}
          %g = matmul(%x, %v) {transposeB = true}
          %u = matmul(%x, %w) {transposeB = true}
          %s = silu(%g)
          %t = add(%u, %b)
          %y = mul(%s, %t)
        }`,
      `weight @w : bf16[16, 4] = tensor "w"
        func @f(%x: f32[img, 4], %b: f32[8]) -> (z: %y) {
          %v = slice(@w) {axis = 0, start = 0, size = 8}
          %w = slice(@w) {axis = 0, start = 8, size = 8}
          %y = fused(%x, %w, %b, %v) {anchor = contraction} do (%x: f32[img, 4], %w: bf16[8, 4], %b: f32[8], %v: bf16[8, 4]) -> (%y) {
            %u = matmul(%x, %w) {transposeB = true}
            %t = add(%u, %b)
            %g = matmul(%x, %v) {transposeB = true}
            %s = silu(%g)
            %y = mul(%s, %t)
          }
        }`,
    );
  });

  it('a product with the split of its last axis', () => {
    expectPass(
      fuse,
      `weight @w : bf16[8, 4] = tensor "w"
        func @f(%x: f32[img, 4]) -> (y: %a, z: %b) {
          %p = matmul(%x, @w) {transposeB = true}
          %s = silu(%p)
          %a, %b = split(%s) {axis = 1, sizes = [3, 5]}
        }`,
      `weight @w : bf16[8, 4] = tensor "w"
        func @f(%x: f32[img, 4]) -> (y: %a, z: %b) {
          %a, %b = fused(%x, @w) {anchor = contraction} do (%x: f32[img, 4], %"@w": bf16[8, 4]) -> (%a, %b) {
            %p = matmul(%x, %"@w") {transposeB = true}
            %s = silu(%p)
            %a, %b = split(%s) {axis = 1, sizes = [3, 5]}
          }
        }`,
    );
  });

  it('a convolution with the upsampling of what it reads', () => {
    expectPass(
      fuse,
      `weight @w : bf16[3, 3, 3, 4] = tensor "w"
        func @f(%x: f32[1, img, 4, 4]) -> (y: %c) {
          %u = upsample_nearest(%x) {factor = 2}
          %c = conv2d(%u, @w) {stride = 1, padding = [1, 1, 1, 1]}
        }`,
      `weight @w : bf16[3, 3, 3, 4] = tensor "w"
        func @f(%x: f32[1, img, 4, 4]) -> (y: %c) {
          %c = fused(%x, @w) {anchor = contraction} do (%x: f32[1, img, 4, 4], %"@w": bf16[3, 3, 3, 4]) -> (%c) {
            %u = upsample_nearest(%x) {factor = 2}
            %c = conv2d(%u, %"@w") {stride = 1, padding = [1, 1, 1, 1]}
          }
        }`,
    );
  });

  it('operations inside of a loop', () => {
    expectPass(
      fuse,
      `func @f(%x: f32[img, 4], %y: f32[img, 4]) -> (z: %l) {
          %e = exp(%y)
          %l = loop(%x) {count = 3, symbol = i} do (%p: f32[img, 4]) -> (%b) {
            %a = mul(%p, %e)
            %b = tanh(%a)
          }
        }`,
      `func @f(%x: f32[img, 4], %y: f32[img, 4]) -> (z: %l) {
          %e = fused(%y) {anchor = map} do (%y: f32[img, 4]) -> (%e) {
            %e = exp(%y)
          }
          %l = loop(%x) {count = 3, symbol = i} do (%p: f32[img, 4]) -> (%b) {
            %b = fused(%p, %e) {anchor = map} do (%p: f32[img, 4], %e: f32[img, 4]) -> (%b) {
              %a = mul(%p, %e)
              %b = tanh(%a)
            }
          }
        }`,
    );
  });

  it('what was fused before', () => {
    expectPass(
      fuse,
      `func @f(%x: f32[img, 4]) -> (z: %y, w: %v) {
          %v, %w = fused(%x) {anchor = map} do (%x: f32[img, 4]) -> (%a, %b) {
            %a = neg(%x)
            %b = exp(%x)
          }
          %y = silu(%w)
        }`,
      `func @f(%x: f32[img, 4]) -> (z: %y, w: %a) {
          %a = fused(%x) {anchor = map} do (%x: f32[img, 4]) -> (%a) {
            %a = neg(%x)
          }
          %y = fused(%x) {anchor = map} do (%x: f32[img, 4]) -> (%y) {
            %b = exp(%x)
            %y = silu(%b)
          }
        }`,
    );
  });
});

describe('fuse leaves', () => {
  it('a value with another reader', () => {
    expectPass(
      fuse,
      `func @f(%x: f32[img, 4]) -> (y: %b, z: %c) {
          %a = neg(%x)
          %b = exp(%a)
          %c = silu(%a)
        }`,
      `func @f(%x: f32[img, 4]) -> (y: %b, z: %c) {
          %a = fused(%x) {anchor = map} do (%x: f32[img, 4]) -> (%a) {
            %a = neg(%x)
          }
          %b = fused(%a) {anchor = map} do (%a: f32[img, 4]) -> (%b) {
            %b = exp(%a)
          }
          %c = fused(%a) {anchor = map} do (%a: f32[img, 4]) -> (%c) {
            %c = silu(%a)
          }
        }`,
    );
  });

  it('a value that a loop reads besides', () => {
    expectPass(
      fuse,
      `func @f(%x: f32[img, 4]) -> (y: %b, z: %l) {
          %a = neg(%x)
          %b = exp(%a)
          %l = loop(%x) {count = 3, symbol = i} do (%p: f32[img, 4]) -> (%c) {
            %c = mul(%p, %a)
          }
        }`,
      `func @f(%x: f32[img, 4]) -> (y: %b, z: %l) {
          %a = fused(%x) {anchor = map} do (%x: f32[img, 4]) -> (%a) {
            %a = neg(%x)
          }
          %b = fused(%a) {anchor = map} do (%a: f32[img, 4]) -> (%b) {
            %b = exp(%a)
          }
          %l = loop(%x) {count = 3, symbol = i} do (%p: f32[img, 4]) -> (%c) {
            %c = fused(%p, %a) {anchor = map} do (%p: f32[img, 4], %a: f32[img, 4]) -> (%c) {
              %c = mul(%p, %a)
            }
          }
        }`,
    );
  });

  it('costly work that a broadcast would repeat', () => {
    expectPass(
      fuse,
      `func @f(%x: f32[img, 4], %y: f32[4]) -> (z: %b) {
          %a = exp(%y)
          %b = mul(%x, %a)
        }`,
      `func @f(%x: f32[img, 4], %y: f32[4]) -> (z: %b) {
          %a = fused(%y) {anchor = map} do (%y: f32[4]) -> (%a) {
            %a = exp(%y)
          }
          %b = fused(%x, %a) {anchor = map} do (%x: f32[img, 4], %a: f32[4]) -> (%b) {
            %b = mul(%x, %a)
          }
        }`,
    );
  });

  it('the table and the numbers of rows, and rows under a padding', () => {
    expectPass(
      fuse,
      `func @f(%x: f32[6, img], %i: i32[3]) -> (z: %p) {
          %a = neg(%x)
          %j = add(%i, 1)
          %g = gather(%a, %j)
          %p = pad(%g) {low = [1, 0], high = [0, 0], value = 0}
        }`,
      `func @f(%x: f32[6, img], %i: i32[3]) -> (z: %p) {
          %a = fused(%x) {anchor = map} do (%x: f32[6, img]) -> (%a) {
            %a = neg(%x)
          }
          %j = fused(%i) {anchor = map} do (%i: i32[3]) -> (%j) {
            %j = add(%i, 1)
          }
          %g = fused(%a, %j) {anchor = map} do (%a: f32[6, img], %j: i32[3]) -> (%g) {
            %g = gather(%a, %j)
          }
          %p = fused(%g) {anchor = map} do (%g: f32[3, img]) -> (%p) {
            %p = pad(%g) {low = [1, 0], high = [0, 0], value = 0}
          }
        }`,
    );
  });

  it('what comes before a row or a product', () => {
    expectPass(
      fuse,
      `weight @w : bf16[8, 4] = tensor "w"
        func @f(%x: f32[img, 4]) -> (y: %n, z: %p) {
          %a = neg(%x)
          %n = layer_norm(%a) {eps = 0.01}
          %b = exp(%x)
          %p = matmul(%b, @w) {transposeB = true}
        }`,
      `weight @w : bf16[8, 4] = tensor "w"
        func @f(%x: f32[img, 4]) -> (y: %n, z: %p) {
          %a = fused(%x) {anchor = map} do (%x: f32[img, 4]) -> (%a) {
            %a = neg(%x)
          }
          %n = fused(%a) {anchor = row} do (%a: f32[img, 4]) -> (%n) {
            %n = layer_norm(%a) {eps = 0.01}
          }
          %b = fused(%x) {anchor = map} do (%x: f32[img, 4]) -> (%b) {
            %b = exp(%x)
          }
          %p = fused(%b, @w) {anchor = contraction} do (%b: f32[img, 4], %"@w": bf16[8, 4]) -> (%p) {
            %p = matmul(%b, %"@w") {transposeB = true}
          }
        }`,
    );
  });

  it('an epilogue of another shape', () => {
    expectPass(
      fuse,
      `weight @w : bf16[8, 4] = tensor "w"
        func @f(%x: f32[1, 4], %y: f32[img, 8]) -> (z: %s) {
          %p = matmul(%x, @w) {transposeB = true}
          %s = add(%p, %y)
        }`,
      `weight @w : bf16[8, 4] = tensor "w"
        func @f(%x: f32[1, 4], %y: f32[img, 8]) -> (z: %s) {
          %p = fused(%x, @w) {anchor = contraction} do (%x: f32[1, 4], %"@w": bf16[8, 4]) -> (%p) {
            %p = matmul(%x, %"@w") {transposeB = true}
          }
          %s = fused(%p, %y) {anchor = map} do (%p: f32[1, 8], %y: f32[img, 8]) -> (%s) {
            %s = add(%p, %y)
          }
        }`,
    );
  });

  it('a second row or product in an epilogue', () => {
    expectPass(
      fuse,
      `weight @w : bf16[8, 4] = tensor "w"
        func @f(%x: f32[img, 4], %y: f32[img, 8]) -> (z: %s) {
          %p = matmul(%x, @w) {transposeB = true}
          %n = layer_norm(%y) {eps = 0.01}
          %s = add(%p, %n)
        }`,
      `weight @w : bf16[8, 4] = tensor "w"
        func @f(%x: f32[img, 4], %y: f32[img, 8]) -> (z: %s) {
          %n = fused(%y) {anchor = row} do (%y: f32[img, 8]) -> (%n) {
            %n = layer_norm(%y) {eps = 0.01}
          }
          %s = fused(%x, @w, %n) {anchor = contraction} do (%x: f32[img, 4], %"@w": bf16[8, 4], %n: f32[img, 8]) -> (%s) {
            %p = matmul(%x, %"@w") {transposeB = true}
            %s = add(%p, %n)
          }
        }`,
    );
  });

  it('products of different operands', () => {
    expectPass(
      fuse,
      `weight @w : bf16[8, 4] = tensor "w"
        func @f(%x: f32[img, 4], %y: f32[img, 4]) -> (z: %s) {
          %a = matmul(%x, @w) {transposeB = true}
          %b = matmul(%y, @w) {transposeB = true}
          %s = mul(%a, %b)
        }`,
      `weight @w : bf16[8, 4] = tensor "w"
        func @f(%x: f32[img, 4], %y: f32[img, 4]) -> (z: %s) {
          %b = fused(%y, @w) {anchor = contraction} do (%y: f32[img, 4], %"@w": bf16[8, 4]) -> (%b) {
            %b = matmul(%y, %"@w") {transposeB = true}
          }
          %s = fused(%x, @w, %b) {anchor = contraction} do (%x: f32[img, 4], %"@w": bf16[8, 4], %b: f32[img, 8]) -> (%s) {
            %a = matmul(%x, %"@w") {transposeB = true}
            %s = mul(%a, %b)
          }
        }`,
    );
  });

  it('rope of a product', () => {
    expectPass(
      fuse,
      `weight @w : bf16[6, 4] = tensor "w"
        func @f(%x: f32[1, img, 2, 4], %c: f32[img, 3], %s: f32[img, 3]) -> (z: %r) {
          %p = matmul(%x, @w) {transposeB = true}
          %r = rope(%p, %c, %s) {style = half}
        }`,
      `weight @w : bf16[6, 4] = tensor "w"
        func @f(%x: f32[1, img, 2, 4], %c: f32[img, 3], %s: f32[img, 3]) -> (z: %r) {
          %p = fused(%x, @w) {anchor = contraction} do (%x: f32[1, img, 2, 4], %"@w": bf16[6, 4]) -> (%p) {
            %p = matmul(%x, %"@w") {transposeB = true}
          }
          %r = fused(%p, %c, %s) {anchor = map} do (%p: f32[1, img, 2, 6], %c: f32[img, 3], %s: f32[img, 3]) -> (%r) {
            %r = rope(%p, %c, %s) {style = half}
          }
        }`,
    );
  });

  it('a split of another axis, or of a value with another reader', () => {
    expectPass(
      fuse,
      `weight @w : bf16[8, 4] = tensor "w"
        func @f(%x: f32[5, 4]) -> (y: %a, z: %c, s: %n) {
          %p = matmul(%x, @w) {transposeB = true}
          %a, %b = split(%p) {axis = 0, sizes = [2, 3]}
          %q = matmul(%x, @w) {transposeB = true}
          %c, %d = split(%q) {axis = 1, sizes = [3, 5]}
          %n = neg(%q)
        }`,
      `weight @w : bf16[8, 4] = tensor "w"
        func @f(%x: f32[5, 4]) -> (y: %a, z: %c, s: %n) {
          %p = fused(%x, @w) {anchor = contraction} do (%x: f32[5, 4], %"@w": bf16[8, 4]) -> (%p) {
            %p = matmul(%x, %"@w") {transposeB = true}
          }
          %a, %b = split(%p) {axis = 0, sizes = [2, 3]}
          %q = fused(%x, @w) {anchor = contraction} do (%x: f32[5, 4], %"@w": bf16[8, 4]) -> (%q) {
            %q = matmul(%x, %"@w") {transposeB = true}
          }
          %c, %d = split(%q) {axis = 1, sizes = [3, 5]}
          %n = fused(%q) {anchor = map} do (%q: f32[5, 8]) -> (%n) {
            %n = neg(%q)
          }
        }`,
    );
  });

  it('reductions alone', () => {
    expectPass(
      fuse,
      `func @f(%x: f32[img, 4]) -> (z: %s) {
          %a = neg(%x)
          %r = reduce_sum(%a) {axes = [1], keepDims = true}
          %s = exp(%r)
        }`,
      `func @f(%x: f32[img, 4]) -> (z: %s) {
          %a = fused(%x) {anchor = map} do (%x: f32[img, 4]) -> (%a) {
            %a = neg(%x)
          }
          %r = fused(%a) {anchor = statistics} do (%a: f32[img, 4]) -> (%r) {
            %r = reduce_sum(%a) {axes = [1], keepDims = true}
          }
          %s = fused(%r) {anchor = map} do (%r: f32[img, 1]) -> (%s) {
            %s = exp(%r)
          }
        }`,
    );
  });

  it('a view of a row, a view with another reader and a piece of a split', () => {
    expectPass(
      fuse,
      `func @f(%x: f32[img, 4]) -> (a: %c, b: %e, c: %v, d: %t) {
          %n = layer_norm(%x) {eps = 0.01}
          %u = reshape(%n) {shape = [2*img, 2]}
          %c = exp(%u)
          %m = neg(%x)
          %v = reshape(%m) {shape = [2*img, 2]}
          %e = exp(%v)
          %k = tanh(%x)
          %p, %q = split(%k) {axis = 1, sizes = [1, 3]}
          %t = exp(%q)
        }`,
      `func @f(%x: f32[img, 4]) -> (a: %c, b: %e, c: %v, d: %t) {
          %n = fused(%x) {anchor = row} do (%x: f32[img, 4]) -> (%n) {
            %n = layer_norm(%x) {eps = 0.01}
          }
          %u = reshape(%n) {shape = [2*img, 2]}
          %c = fused(%u) {anchor = map} do (%u: f32[2*img, 2]) -> (%c) {
            %c = exp(%u)
          }
          %m = fused(%x) {anchor = map} do (%x: f32[img, 4]) -> (%m) {
            %m = neg(%x)
          }
          %v = reshape(%m) {shape = [2*img, 2]}
          %e = fused(%v) {anchor = map} do (%v: f32[2*img, 2]) -> (%e) {
            %e = exp(%v)
          }
          %k = fused(%x) {anchor = map} do (%x: f32[img, 4]) -> (%k) {
            %k = tanh(%x)
          }
          %p, %q = split(%k) {axis = 1, sizes = [1, 3]}
          %t = fused(%q) {anchor = map} do (%q: f32[img, 3]) -> (%t) {
            %t = exp(%q)
          }
        }`,
    );
  });

  it('addresses, concatenations and constants of many numbers outside', () => {
    expectPass(
      fuse,
      `func @f(%x: f32[img, 2]) -> (z: %y) {
          %k = constant() {dtype = f32, shape = [4], values = [1, 2, 3, 4]}
          %a = neg(%x)
          %c = concat(%a, %x) {axis = 1}
          %t = transpose(%c) {permutation = [1, 0]}
          %r = reshape(%t) {shape = [img, 4]}
          %y = add(%r, %k)
        }`,
      `func @f(%x: f32[img, 2]) -> (z: %y) {
          %k = constant() {dtype = f32, shape = [4], values = [1, 2, 3, 4]}
          %a = fused(%x) {anchor = map} do (%x: f32[img, 2]) -> (%a) {
            %a = neg(%x)
          }
          %c = concat(%a, %x) {axis = 1}
          %t = transpose(%c) {permutation = [1, 0]}
          %r = reshape(%t) {shape = [img, 4]}
          %y = fused(%r, %k) {anchor = map} do (%r: f32[img, 4], %k: f32[4]) -> (%y) {
            %y = add(%r, %k)
          }
        }`,
    );
  });

  it('host work', () => {
    expectPass(
      fuse,
      `func @f(%ids: i32[img, 1], %t: f32[n]) -> (y: %s, z: %u) {
          %i = add(%ids, 1)
          %c, %s = rope_table(%i) {theta = 100, axisSizes = [4]}
          %m = mul(%t, 2)
          %e = timestep_embedding(%m) {size = 4, maxPeriod = 100, scale = 1}
          %u = silu(%e)
        }`,
      `func @f(%ids: i32[img, 1], %t: f32[n]) -> (y: %s, z: %u) {
          %i = add(%ids, 1)
          %c, %s = rope_table(%i) {theta = 100, axisSizes = [4]}
          %m = mul(%t, 2)
          %e = timestep_embedding(%m) {size = 4, maxPeriod = 100, scale = 1}
          %u = fused(%e) {anchor = map} do (%e: f32[n, 4]) -> (%u) {
            %u = silu(%e)
          }
        }`,
    );
  });

  it('what a target cannot bind together', () => {
    expectPass(
      fuse,
      `func @f(%x: f32[img], %a: f32[img], %b: f32[img], %c: f32[img]) -> (z: %s) {
          %p = add(%x, %a)
          %q = add(%p, %b)
          %r = mul(%q, 2)
          %s = mul(%r, %c)
        }`,
      `func @f(%x: f32[img], %a: f32[img], %b: f32[img], %c: f32[img]) -> (z: %s) {
          %r = fused(%x, %a, %b) {anchor = map} do (%x: f32[img], %a: f32[img], %b: f32[img]) -> (%r) {
            %p = add(%x, %a)
            %q = add(%p, %b)
            %r = mul(%q, 2)
          }
          %s = fused(%r, %c) {anchor = map} do (%r: f32[img], %c: f32[img]) -> (%s) {
            %s = mul(%r, %c)
          }
        }`,
      few,
    );
  });
});
