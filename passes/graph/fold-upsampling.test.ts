import { describe, expect, it } from 'vitest';
import { cpuTarget } from '../../backends/target.js';
import { parseModule } from '../../ir/graph/parse.js';
import { printModule } from '../../ir/graph/print.js';
import { expectUnchanged, patternCases, patternWeights } from '../../test/run-pass.js';
import { validateTranslation } from '../validate.js';
import { foldUpsampling } from './fold-upsampling.js';

const textOf = (
  convolution: string,
  { factor = 2, filter = '3, 3', more = '' } = {},
): string => `weight @w : f32[6, ${filter}, 4] = tensor "w"
  func @f(%x: f32[batch, img, n, 4]) -> (y: %y) {
    %u = upsample_nearest(%x) {factor = ${factor}}
    ${more}
    %y = conv2d(%u, @w) {${convolution}}
  }`;
const plain = 'stride = 1, padding = [1, 1, 1, 1]';

describe('fold-upsampling', () => {
  it('convolves the picture as it is with sums of taps', () => {
    const module = parseModule(textOf(plain));
    const folded = foldUpsampling.run(module, cpuTarget);
    const after = `weight @w : f32[6, 3, 3, 4] = tensor "w"
      weight @w.upsampled : f32[24, 2, 2, 4] = upsampled_filters(tensor "w" : [6, 3, 3, 4])
      func @f(%x: f32[batch, img, n, 4]) -> (y: %y) {
        %u = upsample_nearest(%x) {factor = 2}
        %y = conv2d(%x, @w.upsampled) {stride = 1, padding = [1, 1, 1, 1], phases = 2}
      }`;
    expect(printModule(folded)).toBe(printModule(parseModule(after)));
    // Sums are f32 numbers in f64, too.
    validateTranslation(module, folded, patternCases(module), patternWeights(module), {
      precision: 'f64',
      tolerance: 1e-7,
    });
  });

  it('rounds sums to what factors are rounded to', () => {
    const before = textOf(`${plain}, factors = bf16`);
    const module = `weight @w : f32[6, 3, 3, 4] = tensor "w"
      weight @w.upsampled : bf16[24, 2, 2, 4] = upsampled_filters(tensor "w" : [6, 3, 3, 4])
      func @f(%x: f32[batch, img, n, 4]) -> (y: %y) {
        %u = upsample_nearest(%x) {factor = 2}
        %y = conv2d(%x, @w.upsampled) {stride = 1, padding = [1, 1, 1, 1], phases = 2, factors = bf16}
      }`;
    expect(printModule(foldUpsampling.run(parseModule(before), cpuTarget))).toBe(printModule(parseModule(module)));
  });

  it('folds filters that several convolutions use so, and stores them once', () => {
    const twice = textOf(plain, { more: `%z = conv2d(%u, @w) {${plain}}` });
    const { functions, weights } = foldUpsampling.run(parseModule(twice), cpuTarget);
    const kinds = [...(functions.get('f')?.body.operations ?? [])].flatMap(({ kind, attributes }) =>
      kind === 'conv2d' ? [attributes.phases] : [],
    );
    expect(kinds).toEqual([2, 2]);
    expect(weights.size).toBe(2);
  });

  const cases: readonly (readonly [string, string])[] = [
    ['of another stride', textOf('stride = 2, padding = [1, 1, 1, 1]')],
    ['padded otherwise', textOf('stride = 1, padding = [1, 1, 1, 0]')],
    ['with other filters', textOf('stride = 1, padding = [0, 0, 0, 0]', { filter: '1, 1' })],
    ['of pixels repeated three times', textOf(plain, { factor: 3 })],
    ['whose filters have another use', textOf(plain, { more: `%z = conv2d(%x, @w) {${plain}}` })],
    [
      'whose filters have one of other factors',
      textOf(plain, { more: `%z = conv2d(%u, @w) {${plain}, factors = bf16}` }),
    ],
    ['of numbers in 16 bits', textOf(plain).replace('%x: f32', '%x: bf16').replace('w : f32', 'w : bf16')],
    ['of a picture as it is', textOf(plain).replace('conv2d(%u', 'conv2d(%x')],
  ];
  it.each(cases)('leaves convolutions alone %s', (_, text) => {
    expectUnchanged(foldUpsampling, text);
  });
});
