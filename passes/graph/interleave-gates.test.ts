import { describe, expect, it } from 'vitest';
import { expectPass, expectUnchanged } from '../../test/run-pass.js';
import { cpuTarget, portableWebgpu, type Target } from '../../backends/target.js';
import { parseModule } from '../../ir/graph/parse.js';
import { interleaveGates } from './interleave-gates.js';

const weights = `weight @w : bf16[80, 4] = tensor "w"
  weight @qn : f32[16] = tensor "qn"`;

/** One head of queries, 16 columns of keys, and what stands for gate and up. */
const before = (rest: string, more = ''): string => `${weights}
  func @f(%x: f32[batch, img, 4]) -> (q: %n, k: %kh, y: %y${more}) {
    %p = matmul(%x, @w) {transposeB = true}
    %q, %k, %gate, %up = split(%p) {axis = 2, sizes = [16, 16, 24, 24]}
    %qh = reshape(%q) {shape = [batch, img, 1, 16]}
    %n = rms_norm(%qh, @qn) {eps = 0.001}
    %kh = reshape(%k) {shape = [batch, img, 1, 16]}
    ${rest}
  }`;
const gated = `%s = silu(%gate)
    %y = mul(%s, %up)`;

describe('interleave-gates', () => {
  it('keeps one product, whose rows of gate and partner take turns, and moves where they meet to it', () => {
    const after = `weight @w : bf16[80, 4] = tensor "w"
      weight @qn : f32[16] = tensor "qn"
      weight @w.in_turn : bf16[80, 4] = concat_rows(slice_rows(tensor "w" : [80, 4], 0) : [32, 4], interleave_rows(1, slice_rows(tensor "w" : [80, 4], 32) : [24, 4], slice_rows(tensor "w" : [80, 4], 56) : [24, 4]) : [48, 4])
      func @f(%x: f32[batch, img, 4]) -> (q: %n, k: %kh, y: %y) {
        %p = matmul(%x, @w) {transposeB = true}
        %p.joint = matmul(%x, @w.in_turn) {transposeB = true}
        %q.1, %k.1, %p.pairs = split(%p.joint) {axis = 2, sizes = [16, 16, 48]}
        %p.pairs.heads = reshape(%p.pairs) {shape = [batch, img, 3, 8, 2]}
        %gate.columns, %up.columns = split(%p.pairs.heads) {axis = 4, sizes = [1, 1]}
        %gate = reshape(%gate.columns) {shape = [batch, img, 24]}
        %up = reshape(%up.columns) {shape = [batch, img, 24]}
        %s = silu(%gate)
        %y = mul(%s, %up)
        %qh = reshape(%q.1) {shape = [batch, img, 1, 16]}
        %n = rms_norm(%qh, @qn) {eps = 0.001}
        %kh = reshape(%k.1) {shape = [batch, img, 1, 16]}
      }`;
    expectPass(interleaveGates(), before(gated), after);
  });

  const cases: readonly (readonly [string, string, Target?])[] = [
    ['for GPUs', before(gated), portableWebgpu],
    ['where buffers are short', before(gated), { ...cpuTarget, maxStorageBuffers: 5 }],
    ['where the weight has another use', before(`${gated}\n    %z = matmul(%x, @w) {transposeB = true}`, ', z: %z')],
    [
      'where what meets needs something else',
      before('%s = silu(%gate)\n    %t = mul(%s, %p2)\n    %y = mul(%t, %up)').replace(
        '(%x: f32[batch, img, 4])',
        '(%x: f32[batch, img, 4], %p2: f32[batch, img, 24])',
      ),
    ],
    ['where nothing meets', before('%y = silu(%gate)', ', z: %up')],
    ['where no heads are normalised', before(gated).replace('%n = rms_norm(%qh, @qn) {eps = 0.001}', '%n = silu(%qh)')],
    ['where pairs are no whole heads', before(gated).replaceAll('24', '20').replaceAll('80', '72')],
  ];
  it.each(cases.map(([what, text, target = cpuTarget]) => [what, text, target] as const))(
    'leaves products alone %s',
    (_, text, target) => {
      expectUnchanged(interleaveGates(), text, target);
    },
  );

  it('joins what fits, and leaves a product that does not', () => {
    const one = before(gated);
    const other = one
      .replaceAll('@w', '@v')
      .replaceAll('@qn', '@pn')
      .replaceAll('"w"', '"v"')
      .replaceAll('"qn"', '"pn"')
      .replace('func @f', 'func @g')
      // Another norm: one buffer more.
      .replace('k: %kh', 'k: %kn')
      .replace('    %s = silu', '    %kn = rms_norm(%kh, @kn) {eps = 0.001}\n    %s = silu')
      .replace('weight @pn', 'weight @kn : f32[16] = tensor "kn"\n  weight @pn');
    const [declared, body] = [one.split('func'), other.split('func')];
    const text = `${declared[0]}${body[0]}func${declared[1]}\n  func${body[1]}`;
    const namesOf = (maxStorageBuffers: number): readonly string[] =>
      [
        ...interleaveGates()
          .run(parseModule(text), { ...cpuTarget, maxStorageBuffers })
          .weights.keys(),
      ].filter((name) => name.endsWith('.in_turn'));
    expect([namesOf(5), namesOf(6), namesOf(7)]).toEqual([[], ['w.in_turn'], ['w.in_turn', 'v.in_turn']]);
  });

  it('counts the buffers that later passes need', () => {
    const module = parseModule(before(gated));
    const run = (more: number, maxStorageBuffers: number): boolean =>
      interleaveGates(() => more).run(module, { ...cpuTarget, maxStorageBuffers }) !== module;
    // x, the weight, the scale, and three results.
    expect([run(0, 5), run(0, 6), run(2, 6), run(2, 8)]).toEqual([false, true, false, true]);
  });
});
