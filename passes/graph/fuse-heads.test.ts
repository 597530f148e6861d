import { describe, expect, it } from 'vitest';
import { cpuTarget } from '../../backends/target.js';
import { parseModule } from '../../ir/graph/parse.js';
import { printModule } from '../../ir/graph/print.js';
import { expectPass } from '../../test/run-pass.js';
import { fuse } from './fuse.js';

const fragments = { ...cpuTarget, workgroupMemory: 65536, matrix: 'mma' } as const;
const weights = `weight @w : bf16[96, 4] = tensor "w"
  weight @q : f32[16] = tensor "q"`;
const signature = '%x: f32[1, img, 4], %c: f32[img, 8], %s: f32[img, 8]';

const product = `%p = matmul(%x, @w) {transposeB = true}
  %a, %b, %d = split(%p) {axis = 2, sizes = [32, 32, 32]}`;
const queries = `%ah = reshape(%a) {shape = [1, img, 2, 16]}
  %an = rms_norm(%ah, @q) {eps = 0.01}
  %ar = rope(%an, %c, %s) {style = interleaved}`;
const keys = `%bh = reshape(%b) {shape = [1, img, 2, 16]}
  %bn = rms_norm(%bh, @q) {eps = 0.02}`;
const values = '%dh = reshape(%d) {shape = [1, img, 2, 16]}';

/** The product and its split as one kernel, the queries' norm and rope as another. */
const productApart = `%a, %b, %d = fused(%x, @w) {anchor = contraction} do (%x: f32[1, img, 4], %"@w": bf16[96, 4]) -> (%a, %b, %d) {
    %p = matmul(%x, %"@w") {transposeB = true}
    %a, %b, %d = split(%p) {axis = 2, sizes = [32, 32, 32]}
  }`;
const queriesApart = (style: string): string => `%ah = reshape(%a) {shape = [1, img, 2, 16]}
  %ar = fused(%ah, @q, %c, %s) {anchor = row} do (%ah: f32[1, img, 2, 16], %"@q": f32[16], %c: f32[img, 8], %s: f32[img, 8]) -> (%ar) {
    %an = rms_norm(%ah, %"@q") {eps = 0.01}
    %ar = rope(%an, %c, %s) {style = ${style}}
  }`;
const keysApart = `%bh = reshape(%b) {shape = [1, img, 2, 16]}
  %bn = fused(%bh, @q) {anchor = row} do (%bh: f32[1, img, 2, 16], %"@q": f32[16]) -> (%bn) {
    %bn = rms_norm(%bh, %"@q") {eps = 0.02}
  }`;

function functionOf(results: string, ...body: readonly string[]): string {
  return `${weights}\n func @f(${signature}) -> (${results}) {\n ${body.join('\n  ')}\n }`;
}

const results = 'a: %ar, b: %bn, d: %dh';

describe('fuse, where a workgroup has whole heads', () => {
  it('joins a product with norm and rope of its heads', () => {
    expectPass(
      fuse,
      functionOf(results, product, queries, keys, values),
      functionOf(
        results,
        `%ar, %bn, %dh = fused(%x, @w, @q, %c, %s) {anchor = contraction} do (%x: f32[1, img, 4], %"@w": bf16[96, 4], %"@q": f32[16], %c: f32[img, 8], %s: f32[img, 8]) -> (%ar, %bn, %dh) {
          %p = matmul(%x, %"@w") {transposeB = true}
          %a, %b, %d = split(%p) {axis = 2, sizes = [32, 32, 32]}
          %ah = reshape(%a) {shape = [1, img, 2, 16]}
          %an = rms_norm(%ah, %"@q") {eps = 0.01}
          %ar = rope(%an, %c, %s) {style = interleaved}
          %bh = reshape(%b) {shape = [1, img, 2, 16]}
          %bn = rms_norm(%bh, %"@q") {eps = 0.02}
          %dh = reshape(%d) {shape = [1, img, 2, 16]}
        }`,
      ),
      fragments,
    );
  });

  it('joins a product of queries alone', () => {
    const alone = `weight @w : bf16[32, 4] = tensor "w"\n weight @q : f32[16] = tensor "q"`;
    expectPass(
      fuse,
      `${alone}
      func @f(${signature}) -> (a: %an) {
        %a = matmul(%x, @w) {transposeB = true}
        %ah = reshape(%a) {shape = [1, img, 2, 16]}
        %an = rms_norm(%ah, @q) {eps = 0.01}
      }`,
      `${alone}
      func @f(${signature}) -> (a: %an) {
        %an = fused(%x, @w, @q) {anchor = contraction} do (%x: f32[1, img, 4], %"@w": bf16[32, 4], %"@q": f32[16]) -> (%an) {
          %a = matmul(%x, %"@w") {transposeB = true}
          %ah = reshape(%a) {shape = [1, img, 2, 16]}
          %an = rms_norm(%ah, %"@q") {eps = 0.01}
        }
      }`,
      fragments,
    );
  });

  it('leaves pairs that are half a head apart', () => {
    const half = queries.replace('interleaved', 'half');
    expectPass(
      fuse,
      functionOf(results, product, half, keys, values),
      functionOf(results, productApart, queriesApart('half'), keysApart, values),
      fragments,
    );
  });

  it('leaves a result that is read before the last one is made', () => {
    const early = '%dt = transpose(%dh) {permutation = [0, 2, 1, 3]}';
    const names = 'a: %ar, b: %bn, d: %dt';
    expectPass(
      fuse,
      functionOf(names, product, values, early, queries, keys),
      functionOf(names, productApart, values, early, queriesApart('interleaved'), keysApart),
      fragments,
    );
  });

  it('takes heads where invocations multiply numbers of their own, too', () => {
    const apart = fuse.run(parseModule(functionOf(results, product, queries, keys, values)), cpuTarget);
    const together = fuse.run(parseModule(functionOf(results, product, queries, keys, values)), fragments);
    expect(printModule(apart)).toBe(printModule(together));
  });

  it('leaves heads where buffers are few', () => {
    expectPass(
      fuse,
      functionOf(results, product, queries, keys, values),
      functionOf(results, productApart, queriesApart('interleaved'), keysApart, values),
      { ...fragments, maxStorageBuffers: 7 },
    );
  });
});
