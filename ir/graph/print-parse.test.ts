import { describe, expect, it } from 'vitest';
import { Flux2cError } from '../diagnostics.js';
import { ModuleBuilder } from './builder.js';
import { equalModules } from './equal.js';
import type { Module } from './graph.js';
import { parseModule } from './parse.js';
import { printModule } from './print.js';

/** One of everything that has a syntax of its own, in canonical form. */
const sample = `weight @fc.weight : bf16[1024, 256] = tensor "fc.weight"
weight @"odd name/with-signs" : f32[3] = tensor "a \\"quoted\\" name"
weight @qkv : bf16[12, 4] = concat_rows(tensor "q" : [4, 4], tensor "k" : [8, 4])
weight @gu : bf16[16, 4] = interleave_rows(8, tensor "g" : [8, 4], concat_rows(tensor "u0" : [4, 4], tensor "u1" : [4, 4]) : [8, 4])
weight @kernel : f32[8, 3, 3, 4] = permute(tensor "k" : [8, 4, 3, 3], [0, 2, 3, 1])

func @mlp(%x: f32[img+txt, 256], %t: f32[steps, 1]) -> (y: %loop, "other result": @fc.weight, one: 1, two: 2:i32) {
  %h = matmul(%x, @fc.weight) {transposeB = true} : f32[img+txt, 1024]
  %h.1 = add(1, %h) : f32[img+txt, 1024]
  %"h 2" = mul(%h.1, 0.5:bf16) : f32[img+txt, 1024]
  %special = add(%h, nan) : f32[img+txt, 1024]
  %q, %k = split(%"h 2") {axis = 1, sizes = [768, 256]} : f32[img+txt, 768], f32[img+txt, 256]
  %c = constant() {dtype = f32, shape = [3], values = [-0, 1e-6, 1e30]} : f32[3]
  %mask = less(%k, 0) : bool[img+txt, 256]
  %chosen = select(%mask, -inf, %k) : f32[img+txt, 256]
  %loop = loop(%chosen) {count = steps, symbol = step} : f32[img+txt, 256] do (%carried: f32[img+txt, 256]) -> (%next) {
    %time = slice(%t) {axis = 0, start = step, size = 1} : f32[1, 1]
    %next, %unused = fused(%carried, %time) {anchor = map} : f32[img+txt, 256], f32[] do (%p0: f32[img+txt, 256], %p1: f32[1, 1]) -> (%add, -0) {
      %add = add(%p0, %p1) : f32[img+txt, 256]
    }
  }
}
`;

describe('print and parse', () => {
  it('reads what it writes', () => {
    const text = sample.replace('add(%h, nan)', 'add(%h, nan)').replace('(%add, -0)', '(%add, %p1)');
    const module = parseModule(text);
    expect(printModule(module)).toBe(text);
    expect(equalModules(parseModule(printModule(module)), module)).toBe(true);
  });
});
