import { it } from 'vitest';
import { expectPass, expectUnchanged } from '../../test/run-pass.js';
import { decompose } from './decompose.js';

it('splits group_norm', () => {
  expectPass(
    decompose,
    `weight @w : f32[8] = tensor "w"
    weight @b : f32[8] = tensor "b"
    func @f(%x: bf16[batch, img, txt, 8]) -> (y: %y) {
      %n = group_norm(%x, @w, @b) {groups = 4, eps = 1e-6}
      %y = silu(%n)
    }`,
    `weight @w : f32[8] = tensor "w"
    weight @b : f32[8] = tensor "b"
    func @f(%x: bf16[batch, img, txt, 8]) -> (y: %y) {
      %n.moments = group_moments(%x) {groups = 4}
      %n.statistics = combine_moments(%n.moments) {eps = 1e-6}
      %n = group_apply(%x, %n.statistics, @w, @b) {groups = 4}
      %y = silu(%n)
    }`,
  );
});

it('leaves row operations whole', () => {
  expectUnchanged(
    decompose,
    `func @f(%x: f32[img, 8]) -> (y: %b) {
      %a = layer_norm(%x) {eps = 1e-6}
      %b = softmax(%a)
    }`,
  );
});
