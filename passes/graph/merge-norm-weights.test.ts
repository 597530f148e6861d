import { describe, it } from 'vitest';
import { portableWebgpu } from '../../backends/target.js';
import { expectPass, expectUnchanged } from '../../test/run-pass.js';
import { mergeNormWeights } from './merge-norm-weights.js';

const declarations = (keys = 'f32'): string => `weight @w : f32[96, 4] = tensor "w"
  weight @q : f32[16] = tensor "q"
  weight @k : ${keys}[16] = tensor "k"`;
const signature = '%x: f32[1, img, 4], %c: f32[img, 8], %s: f32[img, 8]';
const heads = (queries: string, keys: string): string => `%p = matmul(%x, @w) {transposeB = true}
  %a, %b, %d = split(%p) {axis = 2, sizes = [32, 32, 32]}
  %ah = reshape(%a) {shape = [1, img, 2, 16]}
  ${queries}
  %ar = rope(%an, %c, %s) {style = interleaved}
  %bh = reshape(%b) {shape = [1, img, 2, 16]}
  ${keys}
  %br = rope(%bn, %c, %s) {style = interleaved}
  %dh = reshape(%d) {shape = [1, img, 2, 16]}`;
const apart = heads('%an = rms_norm(%ah, @q) {eps = 0.01}', '%bn = rms_norm(%bh, @k) {eps = 0.02}');
const functionOf = (weights: string, body: string, results = 'a: %ar, b: %br, d: %dh'): string =>
  `${weights}\n  func @f(${signature}) -> (${results}) {\n  ${body}\n  }`;

describe('merge-norm-weights', () => {
  it('puts the scales of queries and keys into one vector where a kernel would bind one buffer too many', () => {
    expectPass(
      mergeNormWeights,
      functionOf(declarations(), apart),
      functionOf(
        `${declarations()}
  weight @q.and_1_more : f32[32] = concat_rows(tensor "q" : [16], tensor "k" : [16])`,
        heads(
          `%"@q.part" = slice(@q.and_1_more) {axis = 0, start = 0, size = 16}
  %an = rms_norm(%ah, %"@q.part") {eps = 0.01}`,
          `%"@k.part" = slice(@q.and_1_more) {axis = 0, start = 16, size = 16}
  %bn = rms_norm(%bh, %"@k.part") {eps = 0.02}`,
        ),
      ),
      portableWebgpu,
    );
  });

  it('leaves them where buffers are enough, or cannot be', () => {
    for (const maxStorageBuffers of [9, 7])
      expectUnchanged(mergeNormWeights, functionOf(declarations(), apart), { ...portableWebgpu, maxStorageBuffers });
  });

  it('leaves scales of two types, and one that something else reads', () => {
    expectUnchanged(mergeNormWeights, functionOf(declarations('bf16'), apart), portableWebgpu);
    const read = `${apart}\n  %e = mul(%ar, @q)`;
    expectUnchanged(mergeNormWeights, functionOf(declarations(), read, 'a: %e, b: %br, d: %dh'), portableWebgpu);
  });
});
