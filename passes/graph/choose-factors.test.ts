import { describe, expect, it } from 'vitest';
import { cpuTarget } from '../../backends/target.js';
import { parseModule } from '../../ir/graph/parse.js';
import { printModule } from '../../ir/graph/print.js';
import { verifyModule } from '../../ir/graph/verify.js';
import { expectUnchanged } from '../../test/run-pass.js';
import { chooseFactors, type FactorChoice } from './choose-factors.js';
import { decompose } from './decompose.js';

const weights = `weight @w : f32[8, 3, 3, 4] = tensor "w"
  weight @m : bf16[8, 4] = tensor "m"
  weight @half : f16[8, 4] = tensor "half"
  weight @eight : f8e4m3[8, 4] = tensor "eight"
  weight @scale : f32[4] = tensor "scale"
  weight @shift : f32[4] = tensor "shift"
  weight @table : f32[9, 4] = tensor "table"`;

/** A function of pictures and rows whose result is `%y`, printed after norms are decomposed and factors are chosen. */
function chosen(lines: string, choice: FactorChoice): string {
  const module = decompose.run(parseModule(textOf(lines)), cpuTarget);
  const made = chooseFactors(choice).run(module, cpuTarget);
  verifyModule(made);
  return printModule(made);
}

function textOf(lines: string): string {
  return `${weights}
  func @f(%x: f32[b, 5, n, 4], %rows: f32[n, 4], %other: f32[n, 4], %ids: i32[n], %eights: f8e4m3[n, 4]) -> (y: %y) {
    ${lines}
  }`;
}

const bounded: FactorChoice = { type: 'f16', of: 'bounded' };
const conv = '{stride = 1, padding = [1, 1, 1, 1]}';

/** What `%v`, f32[n, 4], is multiplied by a weight in. */
function factorsOf(lines: string): string | undefined {
  const text = chosen(`${lines}\n%y = matmul(%v, @m) {transposeB = true}`, bounded);
  return /%y = matmul.*factors = (\w+)/.exec(text)?.[1];
}

describe('choose-factors', () => {
  const products = `%p = matmul(%rows, @m) {transposeB = true}
    %c = conv2d(%x, @w) ${conv}
    %q = reshape(%p) {shape = [1, 1, n, 8]}
    %y = attention(%q, %q, %q) {scale = 1, causal = false}`;

  it.each(['f16', 'bf16'] as const)('says %s of all products', (type) => {
    const text = chosen(products, { type, of: 'all' });
    expect(text.match(/(matmul|conv2d|attention)\(.*factors = \w+/g)).toHaveLength(3);
    expect(text.split(`factors = ${type}`)).toHaveLength(4);
  });

  it('says nothing without a choice, and of products that nothing bounds', () => {
    expectUnchanged(chooseFactors(undefined), textOf(products));
    expectUnchanged(chooseFactors(bounded), textOf(products));
  });

  it('keeps what a product says already, and leaves factors of 8 bits as they are', () => {
    const line = '%y = matmul(%rows, @m) {transposeB = true, factors = bf16}';
    expectUnchanged(chooseFactors({ type: 'f16', of: 'all' }), textOf(line));
    const eights = '%y = matmul(%eights, @eight) {transposeB = true}';
    expectUnchanged(chooseFactors({ type: 'bf16', of: 'all' }), textOf(eights));
  });

  it('takes f16 for a convolution of a normalised picture and not for one of the picture itself', () => {
    const text = chosen(
      `%norm = group_norm(%x, @scale, @shift) {groups = 2, eps = 1e-6}
      %act = silu(%norm)
      %large = upsample_nearest(%act) {factor = 2}
      %a = conv2d(%large, @w) ${conv}
      %raw = upsample_nearest(%x) {factor = 2}
      %b = conv2d(%raw, @w) ${conv}
      %y = add(%a, %b)`,
      bounded,
    );
    expect(text).toMatch(/%a = conv2d\(.*factors = f16/);
    expect(text).toMatch(/%b = conv2d\(%raw, @w\) \{stride = 1, padding = \[1, 1, 1, 1\]\}/);
  });

  it('needs statistics to be those of what they are applied to', () => {
    const text = chosen(
      `%moments = group_moments(%x) {groups = 2}
      %statistics = combine_moments(%moments) {eps = 1e-6}
      %grown = mul(%x, 1e6)
      %own = group_apply(%x, %statistics, @scale, @shift) {groups = 2}
      %other.norm = group_apply(%grown, %statistics, @scale, @shift) {groups = 2}
      %a = conv2d(%own, @w) ${conv}
      %b = conv2d(%other.norm, @w) ${conv}
      %y = add(%a, %b)`,
      bounded,
    );
    expect(text).toMatch(/%a = conv2d\(.*factors = f16/);
    expect(text).not.toMatch(/%b = conv2d\(.*factors/);
  });

  it.each([
    ['a norm', '%v = layer_norm(%rows) {eps = 1e-6}'],
    ['a norm with its weight', '%v = rms_norm(%rows, @scale) {eps = 1e-6}'],
    ['a norm, scaled and shifted', '%l = layer_norm(%rows) {eps = 1e-6}\n%s = mul(%l, @scale)\n%v = add(%s, @shift)'],
    ['a gate', '%s = sigmoid(%rows)\n%v = mul(%s, 0.5)'],
    ['softmax', '%v = softmax(%rows)'],
    ['activations of a norm', '%l = layer_norm(%rows) {eps = 1e-6}\n%a = gelu(%l)\n%b = neg(%a)\n%v = max(%b, 0)'],
    ['pieces and their order', '%l = layer_norm(%rows) {eps = 1e-6}\n%p, %q = split(%l) {axis = 1, sizes = [1, 3]}\n%v = concat(%q, %p) {axis = 1}'],
    ['what zeros surround', '%l = layer_norm(%rows) {eps = 1e-6}\n%v = pad(%l) {low = [1, 0], high = [0, 0], value = 0}'],
    ['a choice of two', '%l = layer_norm(%rows) {eps = 1e-6}\n%m = less(%rows, 0)\n%v = select(%m, %l, 1)'],
  ])('takes f16 for what %s bounds', (_, lines) => expect(factorsOf(lines)).toBe('f16')); // prettier-ignore

  it.each([
    ['comes in', '%v = silu(%rows)'],
    ['is looked up', '%v = gather(@table, %ids)'],
    ['a norm is multiplied by', '%l = layer_norm(%rows) {eps = 1e-6}\n%v = mul(%l, %other)'],
    ['a norm is added to', '%l = layer_norm(%rows) {eps = 1e-6}\n%v = add(%l, %other)'],
    ['two weights scale', '%l = rms_norm(%rows, @scale) {eps = 1e-6}\n%v = mul(%l, @shift)'],
    ['a large number scales', '%l = layer_norm(%rows) {eps = 1e-6}\n%v = mul(%l, 1e4)'],
    ['a large number surrounds', '%l = layer_norm(%rows) {eps = 1e-6}\n%v = pad(%l) {low = [1, 0], high = [0, 0], value = 1e5}'],
    ['grows', '%l = layer_norm(%rows) {eps = 1e-6}\n%v = exp(%l)'],
    ['is half of it unbounded', '%l = layer_norm(%rows) {eps = 1e-6}\n%m = less(%rows, 0)\n%v = select(%m, %l, %rows)'],
    ['a value that came in scales a norm of', '%l = rms_norm(%rows, %w) {eps = 1e-6}\n%v = silu(%l)'],
  ])('leaves f32 for what %s', (_, lines) => {
    const named = lines.includes('%w') ? `%w = reduce_mean(%other) {axes = [0], keepDims = false}\n${lines}` : lines;
    expect(factorsOf(named)).toBeUndefined();
  }); // prettier-ignore

  it('looks at what a loop carries as at what comes in', () => {
    const text = chosen(
      `%l = layer_norm(%rows) {eps = 1e-6}
      %y = loop(%l) {count = 3, symbol = step} do (%carried: f32[n, 4]) -> (%next) {
        %a = matmul(%carried, @m) {transposeB = true}
        %b = matmul(%l, @m) {transposeB = true}
        %sum = add(%a, %b)
        %next = slice(%sum) {axis = 1, start = 0, size = 4}
      }`,
      bounded,
    );
    expect(text).not.toMatch(/%a = matmul\(.*factors/);
    expect(text).toMatch(/%b = matmul\(.*factors = f16/);
  });

  it('needs both factors bounded: weights that are looked at while they are loaded, or values', () => {
    const norm = '%l = layer_norm(%rows) {eps = 1e-6}\n%o = layer_norm(%other) {eps = 1e-6}\n';
    const right = (factor: string, lines = ''): boolean =>
      /%y = matmul.*factors/.test(chosen(`${norm}${lines}%y = matmul(%l, ${factor}) {transposeB = true}`, bounded));
    expect(right('@half')).toBe(true);
    expect(right('%piece', '%piece = slice(@m) {axis = 0, start = 2, size = 4}\n')).toBe(true);
    expect(right('%o')).toBe(true);
    expect(right('%other')).toBe(false);
    // Nothing looks at the numbers of a weight that is computed with first.
    expect(right('%twice', '%wide = cast(@m) {dtype = f32}\n%twice = mul(%wide, 2)\n')).toBe(false);
  });

  it('needs queries, keys and values bounded', () => {
    const attention = (value: string): string =>
      chosen(
        `%l = layer_norm(%rows) {eps = 1e-6}
        %q = reshape(%l) {shape = [1, 1, n, 4]}
        %raw = reshape(%rows) {shape = [1, 1, n, 4]}
        %y = attention(%q, %q, ${value}) {scale = 0.5, causal = false}`,
        bounded,
      );
    expect(attention('%q')).toContain('causal = false, factors = f16}');
    expect(attention('%raw')).not.toContain('factors');
  });
});
