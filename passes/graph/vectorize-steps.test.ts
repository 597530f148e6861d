import { describe, expect, it } from 'vitest';
import { cpuTarget } from '../../backends/target.js';
import { parseModule } from '../../ir/graph/parse.js';
import { printModule } from '../../ir/graph/print.js';
import { expectPass, expectSameResults, expectUnchanged } from '../../test/run-pass.js';
import type { GraphPass } from '../pass.js';
import { eliminateDeadCode } from './eliminate-dead-code.js';
import { hoistLoopInvariants } from './hoist-loop-invariants.js';
import { vectorizeSteps } from './vectorize-steps.js';

/** Between what it needs (weights and numbers out of the loop) and what removes the rows that nobody uses. */
const inOnePass: GraphPass = {
  ...vectorizeSteps,
  run: (module, target) =>
    [hoistLoopInvariants, vectorizeSteps, eliminateDeadCode].reduce((made, pass) => pass.run(made, target), module),
};

describe('vectorize-steps', () => {
  it('makes one product of all steps and takes its rows in the loop', () => {
    expectPass(
      inOnePass,
      `weight @w : bf16[6, 4] = tensor "w"
      func @f(%x: f32[batch, img, 3], %t: f32[steps], %v: f32[1, 4]) -> (y: %l) {
        %l = loop(%x) {count = steps, symbol = step} do (%c: f32[batch, img, 3]) -> (%e) {
          %r = slice(%t) {axis = 0, start = step, size = 1}
          %a = timestep_embedding(%r) {size = 4, maxPeriod = 10000, scale = 1000}
          %b = add(%a, %v)
          %g = silu(%b)
          %m = matmul(%g, @w) {transposeB = true}
          %n = reshape(%m) {shape = [1, 1, 6]}
          %p, %q = split(%n) {axis = 2, sizes = [3, 3]}
          %s = add(%q, 1)
          %d = mul(%c, %s)
          %e = add(%d, %p)
        }
      }`,
      `weight @w : bf16[6, 4] = tensor "w"
      func @f(%x: f32[batch, img, 3], %t: f32[steps], %v: f32[1, 4]) -> (y: %l) {
        %a.all = timestep_embedding(%t) {size = 4, maxPeriod = 10000, scale = 1000}
        %b.all = add(%a.all, %v)
        %g.all = silu(%b.all)
        %m.all = matmul(%g.all, @w) {transposeB = true}
        %n.all = reshape(%m.all) {shape = [steps, 1, 6]}
        %p.all, %q.all = split(%n.all) {axis = 2, sizes = [3, 3]}
        %s.all = add(%q.all, 1)
        %l = loop(%x) {count = steps, symbol = step} do (%c: f32[batch, img, 3]) -> (%e) {
          %p = slice(%p.all) {axis = 0, start = step, size = 1}
          %s = slice(%s.all) {axis = 0, start = step, size = 1}
          %d = mul(%c, %s)
          %e = add(%d, %p)
        }
      }`,
    );
  });

  it('takes rows from anywhere in a longer table', () => {
    expectPass(
      inOnePass,
      `func @f(%x: f32[img], %s: f32[steps+1]) -> (y: %l) {
        %l = loop(%x) {count = steps, symbol = step} do (%c: f32[img]) -> (%e) {
          %a = slice(%s) {axis = 0, start = step, size = 1}
          %b = slice(%s) {axis = 0, start = step+1, size = 1}
          %d = sub(%b, %a)
          %e = add(%c, %d)
        }
      }`,
      `func @f(%x: f32[img], %s: f32[steps+1]) -> (y: %l) {
        %s.rows = slice(%s) {axis = 0, start = 1, size = steps}
        %s.rows.1 = slice(%s) {axis = 0, start = 0, size = steps}
        %d.all = sub(%s.rows, %s.rows.1)
        %l = loop(%x) {count = steps, symbol = step} do (%c: f32[img]) -> (%e) {
          %d = slice(%d.all) {axis = 0, start = step, size = 1}
          %e = add(%c, %d)
        }
      }`,
    );
  });

  it.each([
    ['a row that is broadcast to tokens', '%g = mul(%t, %k)', 'f32[img, 4]'],
    ['rows that lose their axis', '%g = reshape(%t) {shape = [4]}', 'f32[4]'],
    ['a sum over rows', '%g = reduce_sum(%t) {axes = [0], keepDims = true}', 'f32[1, 4]'],
    ['rows on another axis', '%g = transpose(%t) {permutation = [1, 0]}', 'f32[4, 1]'],
    ['rows beside others', '%g = concat(%t, %t) {axis = 0}', 'f32[2, 4]'],
    ['rows as second factor', '%g = matmul(%k, %t) {transposeB = true}', 'f32[img, 1]'],
  ])('leaves in the loop %s', (_, line, type) => {
    expectUnchanged(
      vectorizeSteps,
      `func @f(%x: f32[img, 4], %s: f32[steps, 4], %k: f32[img, 4], %z: ${type}) -> (y: %l, z: %m) {
        %l, %m = loop(%x, %z) {count = steps, symbol = step} do (%c: f32[img, 4], %d: ${type}) -> (%c, %g) {
          %t = slice(%s) {axis = 0, start = step, size = 1}
          ${line}
        }
      }`,
    );
  });

  // Every kind that may be stacked, on rows whose other axes are [2, 3, 4].
  it.each([
    ['layer_norm', '%g = layer_norm(%t) {eps = 1e-5}'],
    ['rms_norm', '%g = rms_norm(%t, @c) {eps = 1e-5}'],
    ['softmax', '%g = softmax(%t)'],
    ['group_norm', '%g = group_norm(%t, @c, @c) {groups = 2, eps = 1e-5}'],
    ['group_apply', '%h = group_moments(%t) {groups = 2}\n%i = combine_moments(%h) {eps = 1e-5}\n%g = group_apply(%t, %i, @c, @c) {groups = 2}'],
    ['rope', '%g = rope(%t, %cs, %sn) {style = interleaved}'],
    ['attention', '%g = attention(%t, %t, %t) {scale = 0.5, causal = false}'],
    ['conv2d', '%g = conv2d(%t, @k) {stride = 1, padding = [1, 1, 1, 1]}'],
    ['matmul with batches', '%g = matmul(%t, %mm) {transposeB = false}'],
    ['transpose', '%h = transpose(%t) {permutation = [0, 2, 1, 3]}\n%g = reshape(%h) {shape = [1, 2, 3, 4]}'],
    ['reduce', '%h = reduce_mean(%t) {axes = [1, 3], keepDims = true}\n%g = sub(%t, %h)'],
    ['slice, pad', '%h = slice(%t) {axis = 3, start = 1, size = 3}\n%g = pad(%h) {low = [0, 0, 0, 1], high = [0, 0, 0, 0], value = 2}'],
    ['upsample', '%h = upsample_nearest(%t) {factor = 2}\n%i = slice(%h) {axis = 1, start = 1, size = 2}\n%g = slice(%i) {axis = 2, start = 2, size = 3}'],
    ['concat, split', '%h, %i = split(%t) {axis = 3, sizes = [1, 3]}\n%g = concat(%i, %h) {axis = 3}'],
    ['compare, select, cast', '%h = less(%t, 0)\n%i = select(%h, %t, 1)\n%j = cast(%i) {dtype = f64}\n%g = cast(%j) {dtype = f32}'],
  ])('stacks %s', (_, lines) => {
    const module = parseModule(`
      weight @c : f32[4] = tensor "c"
      weight @k : f32[4, 3, 3, 4] = tensor "k"
      func @f(%x: f32[1, 2, 3, 4], %s: f32[steps, 2, 3, 4], %cs: f32[2, 2], %sn: f32[2, 2], %mm: f32[1, 2, 4, 4]) -> (y: %l) {
        %l = loop(%x) {count = steps, symbol = step} do (%q: f32[1, 2, 3, 4]) -> (%e) {
          %t = slice(%s) {axis = 0, start = step, size = 1}
          ${lines}
          %e = add(%q, %g)
        }
      }`);
    const result = inOnePass.run(module, cpuTarget);
    expectSameResults(module, result);
    const body = result.functions.get('f')?.body.operations.find(({ kind }) => kind === 'loop')?.body;
    expect(body?.operations.map(({ kind }) => kind)).toEqual(['slice', 'add']);
  }); // prettier-ignore

  it('stacks position tables and gathers', () => {
    const module = parseModule(`
      func @f(%x: f32[1, 3, 2], %ids: i32[steps, 3], %table: f32[8, 2], %p: i32[steps, 2], %z: f32[1, 4]) -> (y: %l, z: %m) {
        %l, %m = loop(%x, %z) {count = steps, symbol = step} do (%q: f32[1, 3, 2], %r: f32[1, 4]) -> (%e, %o) {
          %t = slice(%ids) {axis = 0, start = step, size = 1}
          %g = gather(%table, %t)
          %e = add(%q, %g)
          %u = slice(%p) {axis = 0, start = step, size = 1}
          %c, %s = rope_table(%u) {theta = 100, axisSizes = [4, 4]}
          %n = mul(%c, %s)
          %o = add(%r, %n)
        }
      }`);
    const result = inOnePass.run(module, cpuTarget);
    expectSameResults(module, result);
    expect(printModule(result)).toContain('%n.all = mul(%c.all, %s.all)');
  });
});
