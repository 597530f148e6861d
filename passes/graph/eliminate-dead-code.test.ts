import { expect, it } from 'vitest';
import { cpuTarget } from '../../backends/target.js';
import { parseModule } from '../../ir/graph/parse.js';
import { expectPass, expectUnchanged } from '../../test/run-pass.js';
import { eliminateDeadCode } from './eliminate-dead-code.js';

it('removes operations and weights that nothing uses, and keeps parameters', () => {
  expectPass(
    eliminateDeadCode,
    `weight @w : f32[4] = tensor "w"
    weight @v : f32[4] = tensor "v"
    func @f(%x: f32[img, 4], %unused: f32[1]) -> (y: %y) {
      %a = mul(%x, @w)
      %b = exp(%a)
      %p, %q = split(%x) {axis = 1, sizes = [2, 2]}
      %y = add(%q, 1)
    }`,
    `func @f(%x: f32[img, 4], %unused: f32[1]) -> (y: %y) {
      %p, %q = split(%x) {axis = 1, sizes = [2, 2]}
      %y = add(%q, 1)
    }`,
  );
});

it('removes values that a loop carries for nobody, and keeps those that others need', () => {
  expectPass(
    eliminateDeadCode,
    `func @f(%x: f32[img], %u: f32[img], %v: f32[img]) -> (y: %a) {
      %a, %b, %c = loop(%x, %u, %v) {count = steps, symbol = i} do (%p: f32[img], %q: f32[img], %r: f32[img]) -> (%d, %e, %g) {
        %d = add(%p, %q)
        %e = mul(%q, 2)
        %g = mul(%r, %q)
        %h = exp(%g)
      }
      %z = exp(%c)
    }`,
    `func @f(%x: f32[img], %u: f32[img], %v: f32[img]) -> (y: %a) {
      %a, %b = loop(%x, %u) {count = steps, symbol = i} do (%p: f32[img], %q: f32[img]) -> (%d, %e) {
        %d = add(%p, %q)
        %e = mul(%q, 2)
      }
    }`,
  );
});

it('follows needs around the loop: b is needed two iterations later', () => {
  expectUnchanged(
    eliminateDeadCode,
    `func @f(%x: f32[img]) -> (y: %a) {
      %a, %b, %c = loop(%x, %x, %x) {count = 3, symbol = i} do (%p: f32[img], %q: f32[img], %r: f32[img]) -> (%d, %e, %g) {
        %d = add(%p, %q)
        %e = mul(%r, 2)
        %g = add(%r, 1)
      }
    }`,
  );
});

it('removes a loop that nothing needs', () => {
  const module = parseModule(`func @f(%x: f32[img]) -> (y: %y) {
    %a = loop(%x) {count = 3, symbol = i} do (%p: f32[img]) -> (%d) { %d = add(%p, 1) }
    %y = exp(%x)
  }`);
  const kinds = eliminateDeadCode
    .run(module, cpuTarget)
    .functions.get('f')
    ?.body.operations.map(({ kind }) => kind);
  expect(kinds).toEqual(['exp']);
});
