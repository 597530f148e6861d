import { describe, it } from 'vitest';
import { expectPass, expectUnchanged } from '../../test/run-pass.js';
import { divideProducts } from './divide-products.js';

const weight = 'weight @w : bf16[20, 4] = tensor "w"';

describe('divide-products', () => {
  it('makes products of gate and up, and one of what stands before them', () => {
    expectPass(
      divideProducts,
      `${weight}
      func @f(%x: f32[img, 4]) -> (q: %q, k: %k, y: %y) {
        %p = matmul(%x, @w) {transposeB = true}
        %q, %k, %gate, %up = split(%p) {axis = 1, sizes = [6, 6, 4, 4]}
        %s = silu(%gate)
        %y = mul(%s, %up)
      }`,
      `${weight}
      func @f(%x: f32[img, 4]) -> (q: %q, k: %k, y: %y) {
        %p = matmul(%x, @w) {transposeB = true}
        %q.rows = slice(@w) {axis = 0, start = 0, size = 12}
        %p.1 = matmul(%x, %q.rows) {transposeB = true}
        %q, %k = split(%p.1) {axis = 1, sizes = [6, 6]}
        %gate.rows = slice(@w) {axis = 0, start = 12, size = 4}
        %gate = matmul(%x, %gate.rows) {transposeB = true}
        %up.rows = slice(@w) {axis = 0, start = 16, size = 4}
        %up = matmul(%x, %up.rows) {transposeB = true}
        %s = silu(%gate)
        %y = mul(%s, %up)
      }`,
    );
  });

  it('leaves products with matrices of a batch alone', () => {
    expectUnchanged(
      divideProducts,
      `weight @w : bf16[1, 8, 4] = tensor "w"
      func @f(%x: f32[1, img, 4]) -> (y: %y) {
        %p = matmul(%x, @w) {transposeB = true}
        %gate, %up = split(%p) {axis = 2, sizes = [4, 4]}
        %s = silu(%gate)
        %y = mul(%s, %up)
      }`,
    );
  });

  it('makes products of pieces that do not follow each other', () => {
    expectPass(
      divideProducts,
      `${weight}
      func @f(%x: f32[img, 4], %z: f32[img, 6]) -> (y: %y, b: %b) {
        %p = matmul(%x, @w) {transposeB = true}
        %a, %b, %c = split(%p) {axis = 1, sizes = [6, 8, 6]}
        %d = mul(%a, %z)
        %e = add(%c, 1)
        %y = mul(%d, %e)
      }`,
      `${weight}
      func @f(%x: f32[img, 4], %z: f32[img, 6]) -> (y: %y, b: %b) {
        %p = matmul(%x, @w) {transposeB = true}
        %a.rows = slice(@w) {axis = 0, start = 0, size = 6}
        %a = matmul(%x, %a.rows) {transposeB = true}
        %b.rows = slice(@w) {axis = 0, start = 6, size = 8}
        %b = matmul(%x, %b.rows) {transposeB = true}
        %c.rows = slice(@w) {axis = 0, start = 14, size = 6}
        %c = matmul(%x, %c.rows) {transposeB = true}
        %d = mul(%a, %z)
        %e = add(%c, 1)
        %y = mul(%d, %e)
      }`,
    );
  });

  it.each([
    [
      'pieces that never meet',
      `%p = matmul(%x, @w) {transposeB = true}
      %a, %b = split(%p) {axis = 1, sizes = [10, 10]}
      %y = silu(%a)
      %z = silu(%b)`,
    ],
    [
      'a piece that something else reads too',
      `%p = matmul(%x, @w) {transposeB = true}
      %z, %b = split(%p) {axis = 1, sizes = [10, 10]}
      %y = mul(%z, %b)`,
    ],
    [
      'pieces that meet in a larger value',
      `%p = matmul(%v, @w) {transposeB = true}
      %a, %b = split(%p) {axis = 1, sizes = [10, 10]}
      %c = mul(%g, %a)
      %y = add(%c, %b)
      %z = neg(%y)`,
    ],
    [
      'a whole product that is read',
      `%z = matmul(%x, @w) {transposeB = true}
      %a, %b = split(%z) {axis = 1, sizes = [10, 10]}
      %y = mul(%a, %b)`,
    ],
    [
      'a product of rows',
      `%p = matmul(%x, @w) {transposeB = true}
      %q = reshape(%p) {shape = [2*img, 10]}
      %a, %b = split(%q) {axis = 0, sizes = [img, img]}
      %y = mul(%a, %b)
      %z = neg(%y)`,
    ],
    [
      'a product with something that was computed',
      `%p = matmul(%x, %d) {transposeB = true}
      %a, %b = split(%p) {axis = 1, sizes = [10, 10]}
      %y = mul(%a, %b)
      %z = neg(%y)`,
    ],
  ])('leaves %s', (_, body) => {
    expectUnchanged(
      divideProducts,
      `${weight}
      func @f(%x: f32[img, 4], %v: f32[1, 4], %g: f32[img, 10], %d: f32[20, 4]) -> (y: %y, z: %z) {
      ${body}
      }`,
    );
  });
});
