import { describe, expect, it } from 'vitest';
import { cpuTarget } from '../../backends/target.js';
import { parseModule } from '../../ir/graph/parse.js';
import { printModule } from '../../ir/graph/print.js';
import { expectPass, expectSameResults, expectUnchanged } from '../../test/run-pass.js';
import { mergeProjections } from './merge-projections.js';

const attentionWeights = `
  weight @attn.to_q.weight : bf16[8, 4] = tensor "q"
  weight @attn.to_k.weight : bf16[2, 4] = tensor "k"
  weight @attn.to_v.weight : bf16[2, 4] = tensor "v"`;

describe('merge-projections', () => {
  it('makes one product of q, k and v, in the order in which they were written', () => {
    expectPass(
      mergeProjections(),
      `${attentionWeights}
      func @f(%x: f32[img, 4]) -> (q: %a, k: %c, v: %d) {
        %q = matmul(%x, @attn.to_q.weight) {transposeB = true}
        %a = silu(%q)
        %k = matmul(%x, @attn.to_k.weight) {transposeB = true}
        %v = matmul(%x, @attn.to_v.weight) {transposeB = true}
        %c = exp(%k)
        %d = exp(%v)
      }`,
      `${attentionWeights}
      weight @attn.to_q.to_k.to_v.weight : bf16[12, 4] = concat_rows(tensor "q" : [8, 4], tensor "k" : [2, 4], tensor "v" : [2, 4])
      func @f(%x: f32[img, 4]) -> (q: %a, k: %c, v: %d) {
        %q.merged = matmul(%x, @attn.to_q.to_k.to_v.weight) {transposeB = true}
        %q, %k, %v = split(%q.merged) {axis = 1, sizes = [8, 2, 2]}
        %a = silu(%q)
        %c = exp(%k)
        %d = exp(%v)
      }`,
    );
  });

  it('merges in every function and block alike, and packs once', () => {
    const result = expectPass(
      mergeProjections(),
      `weight @gate : f32[4, 4] = tensor "gate"
      weight @up : f32[4, 4] = tensor "up"
      func @f(%x: f32[1, img, 4]) -> (y: %y) {
        %g = matmul(%x, @gate) {transposeB = true}
        %u = matmul(%x, @up) {transposeB = true}
        %y = mul(%g, %u)
      }
      func @h(%x: f32[txt, 4]) -> (y: %y) {
        %y = loop(%x) {count = steps, symbol = i} do (%c: f32[txt, 4]) -> (%z) {
          %u = matmul(%c, @up) {transposeB = true}
          %g = matmul(%c, @gate) {transposeB = true}
          %z = mul(%g, %u)
        }
      }`,
      `weight @gate : f32[4, 4] = tensor "gate"
      weight @up : f32[4, 4] = tensor "up"
      weight @gate.up : f32[8, 4] = concat_rows(tensor "gate" : [4, 4], tensor "up" : [4, 4])
      func @f(%x: f32[1, img, 4]) -> (y: %y) {
        %g.merged = matmul(%x, @gate.up) {transposeB = true}
        %g, %u = split(%g.merged) {axis = 2, sizes = [4, 4]}
        %y = mul(%g, %u)
      }
      func @h(%x: f32[txt, 4]) -> (y: %y) {
        %y = loop(%x) {count = steps, symbol = i} do (%c: f32[txt, 4]) -> (%z) {
          %u.merged = matmul(%c, @gate.up) {transposeB = true}
          %g, %u = split(%u.merged) {axis = 1, sizes = [4, 4]}
          %z = mul(%g, %u)
        }
      }`,
    );
    expect(result.weights.size).toBe(3);
  });

  it('merges what is used together everywhere when some functions use less', () => {
    const module = parseModule(`
      weight @a : f32[4, 4] = tensor "a"
      weight @b : f32[4, 4] = tensor "b"
      weight @c : f32[4, 4] = tensor "c"
      weight @d : f32[4, 4] = tensor "d"
      func @all(%x: f32[img, 4]) -> (y: %y, z: %z) {
        %a = matmul(%x, @a) {transposeB = true}
        %b = matmul(%x, @b) {transposeB = true}
        %c = matmul(%x, @c) {transposeB = true}
        %d = matmul(%x, @d) {transposeB = true}
        %y = mul(%a, %b)
        %z = mul(%c, %d)
      }
      func @some(%x: f32[txt, 4]) -> (y: %y) {
        %a = matmul(%x, @a) {transposeB = true}
        %c = matmul(%x, @c) {transposeB = true}
        %y = mul(%a, %c)
      }`);
    const result = mergeProjections().run(module, cpuTarget);
    expectSameResults(module, result);
    expect([...result.weights.keys()]).toEqual(['a', 'b', 'c', 'd', 'a.c', 'b.d']);
    expect(printModule(result).match(/matmul\(/g)).toHaveLength(3);
  });

  it('joins parts of a packed weight flat and convolutions by channels', () => {
    const module = parseModule(`
      weight @qk : f32[8, 1, 1, 4] = concat_rows(tensor "q" : [4, 1, 1, 4], tensor "k" : [4, 1, 1, 4])
      weight @v : f32[4, 1, 1, 4] = tensor "v"
      func @f(%x: f32[1, img, img, 4]) -> (y: %c, z: %d) {
        %a = conv2d(%x, @qk) {stride = 1, padding = [0, 0, 0, 0]}
        %b = conv2d(%x, @v) {stride = 1, padding = [0, 0, 0, 0]}
        %c = exp(%a)
        %d = exp(%b)
      }`);
    const text = printModule(mergeProjections().run(module, cpuTarget));
    expect(text).toContain(
      'weight @qk.v : f32[12, 1, 1, 4] = concat_rows(tensor "q" : [4, 1, 1, 4], tensor "k" : [4, 1, 1, 4], tensor "v" : [4, 1, 1, 4])',
    );
    expect(text).toContain('%a, %b = split(%a.merged) {axis = 3, sizes = [8, 4]}');
  });

  it('leaves alone other element types, other inputs, weights used elsewhere, and what outgrows a buffer', () => {
    expectUnchanged(
      mergeProjections(),
      `weight @a : f32[4, 4] = tensor "a"
      weight @b : bf16[4, 4] = tensor "b"
      weight @c : f32[4, 4] = tensor "c"
      weight @d : f32[4, 4] = tensor "d"
      func @f(%x: f32[img, 4]) -> (y: %y, z: %z) {
        %a = matmul(%x, @a) {transposeB = true}
        %b = matmul(%x, @b) {transposeB = true}
        %y = add(%a, %b)
        %c = matmul(%y, @c) {transposeB = true}
        %d = matmul(%y, @d) {transposeB = true}
        %e = matmul(%c, @c) {transposeB = true}
        %z = mul(%d, %e)
      }`,
    );
    const two = `weight @a : f32[4, 4] = tensor "a"
      weight @b : f32[4, 4] = tensor "b"
      func @f(%x: f32[img, 4]) -> (y: %y) {
        %a = matmul(%x, @a) {transposeB = true}
        %b = matmul(%x, @b) {transposeB = true}
        %y = mul(%a, %b)
      }`;
    expectUnchanged(mergeProjections(), two, { ...cpuTarget, maxBufferBytes: 127 });
    expect(mergeProjections().run(parseModule(two), { ...cpuTarget, maxBufferBytes: 128 }).weights.size).toBe(3);
  });
});
