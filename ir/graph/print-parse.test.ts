import { describe, expect, it } from 'vitest';
import { Flux2cError } from '../diagnostics.js';
import { ModuleBuilder } from './builder.js';
import { equalModules } from './equal.js';

import { parseModule } from './parse.js';
import { printModule } from './print.js';

/** One of everything that has a syntax of its own, in canonical form. */
const sample = `weight @fc.weight : bf16[1024, 256] = tensor "fc.weight"
weight @"odd name/with-signs" : f32[3] = tensor "a \\"quoted\\" name"
weight @qkv : bf16[12, 4] = concat_rows(tensor "q" : [4, 4], tensor "k" : [8, 4])
weight @q8 : f8e4m3[4, 4] = quantize_rows(tensor "q" : [4, 4], f8e4m3)
weight @q8.scales : f32[4] = row_scales(tensor "q" : [4, 4], i8)
weight @codes : u32[4, 8] = encoded_rows(tensor "q" : [4, 64], "nf4:32", codes)
weight @steps : f32[4, 2] = encoded_rows(tensor "q" : [4, 64], "nf4:32", scales)
weight @gu : bf16[16, 4] = interleave_rows(8, tensor "g" : [8, 4], concat_rows(tensor "u0" : [4, 4], tensor "u1" : [4, 4]) : [8, 4])
weight @some : bf16[5, 4] = slice_rows(concat_rows(tensor "k" : [8, 4]) : [8, 4], 2)
weight @up : f32[32, 2, 2, 4] = upsampled_filters(permute(tensor "k" : [8, 4, 3, 3], [0, 2, 3, 1]) : [8, 3, 3, 4])
weight @kernel : f32[8, 3, 3, 4] = permute(tensor "k" : [8, 4, 3, 3], [0, 2, 3, 1])

func @mlp(%x: f32[img+txt, 256], %t: f32[steps, 1]) -> (y: %loop, "other result": @fc.weight, one: 1, two: 2:i32) {
  %h = matmul(%x, @fc.weight) {transposeB = true} : f32[img+txt, 1024]
  %h.16 = matmul(%x, @fc.weight) {transposeB = true, factors = f16} : f32[img+txt, 1024]
  %h.1 = add(1, %h) : f32[img+txt, 1024]
  %"h 2" = mul(%h.1, 0.5:bf16) : f32[img+txt, 1024]
  %special = add(%h, nan) : f32[img+txt, 1024]
  %q, %k = split(%"h 2") {axis = 1, sizes = [768, 256]} : f32[img+txt, 768], f32[img+txt, 256]
  %d = dequantize(@codes, @steps) {encoding = "nf4:32"} : f32[4, 64]
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

/** The error of parsing, as [code, line:column]. */
function errorOf(text: string): readonly [string, string] {
  try {
    parseModule(text, 'file');
  } catch (error) {
    if (error instanceof Flux2cError) return [error.code, (error.detail.where?.[0] ?? '').replace('file:', '')];
    throw error;
  }
  throw new Error('nothing was thrown');
}

/** One function with these lines as its operations. */
function withLines(...lines: readonly string[]): string {
  return ['func @f(%x: f32[n, 4], %i: i32[n]) -> (y: %y) {', ...lines, '}'].join('\n');
}

describe('print and parse', () => {
  it('reads what it writes', () => {
    const module = parseModule(sample);
    expect(printModule(module)).toBe(sample);
    expect(equalModules(parseModule(printModule(module)), module)).toBe(true);
  });

  it('writes nothing for an empty module', () => {
    const module = new ModuleBuilder().build();
    expect(printModule(module)).toBe('');
    expect(equalModules(parseModule(''), module)).toBe(true);
  });

  it('infers types that are left out, and passes over comments and spaces', () => {
    const written = withLines(
      '  %s = add(%x, 1) : f32[n, 4]',
      '  %y = loop(%s) {count = 2, symbol = i} : f32[n, 4] do (%c: f32[n, 4]) -> (%d) {',
      '    %d = fused(%c) {anchor = map} : f32[n, 4] do (%p0: f32[n, 4]) -> (%neg) {',
      '      %neg = neg(%p0) : f32[n, 4]',
      '    }',
      '  }',
    );
    const short = `// a comment
      func @f ( %x : f32[n,4], %i: i32[ n ] ) -> ( y: %y ) { // another
      %s=add(%x,1) %y = loop(%s){symbol=i,count=2} do (%c:f32[n,4])->(%d){
      %d = fused(%c) {anchor = map} do (%p0: f32[n, 4]) -> (%neg) { %neg = neg(%p0) {} } } }`;
    expect(printModule(parseModule(short))).toBe(`${written}\n`);
  });

  it.each([NaN, Infinity, -Infinity, -0, 0, 1, 1e-6, 0.1, 1e30, Math.fround(0.1), 5e-324, 1e21, -1234.5])(
    'keeps the constant %d',
    (value) => {
      const module = new ModuleBuilder();
      const f = module.function('f');
      const x = f.input('x', 'f64', [2]);
      const scalar = f.emitOne('add', [x, f.emitScalar('f64', value)], {});
      const vector = f.emitOne('constant', [], { dtype: 'f64', shape: x.type.shape, values: [value, 1] });
      f.finish({ scalar, vector });
      const built = module.build();
      expect(equalModules(parseModule(printModule(built)), built)).toBe(true);
    },
  );

  it.each(['(a: %i, b: 0.75, c: 2:i32)', '(a: @w, b: 0.75, c: 1:bf16)'])(
    'reads a constant result as f32 whatever the results beside it: %s',
    (results) => {
      const text = `weight @w : bf16[2] = tensor "w"\n\nfunc @f(%i: i32[2]) -> ${results} {\n}\n`;
      const parsed = parseModule(text);
      expect(parsed.functions.get('f')?.body.results[1]?.type.dtype).toBe('f32');
      expect(printModule(parsed)).toBe(text);
    },
  );

  it('keeps names apart from those of weights and constants, which are not printed', () => {
    const module = new ModuleBuilder();
    module.declareWeight('w', 'f32', [2]);
    const f = module.function('f');
    const x = f.input('x', 'f32', [2]);
    const product = f.emitOne('mul', [f.emitOne('weight', [], { name: 'w' }, 'weight'), x], {}, '@w');
    const sum = f.emitOne('add', [f.emitScalar('f32', 1), product], {}, '1:f32');
    f.finish({ sum });
    const built = module.build();
    const text = printModule(built);
    expect(text).toContain('%"@w" = mul(@w, %x)');
    const parsed = parseModule(text);
    expect(printModule(parsed)).toBe(text);
    expect(equalModules(parsed, built)).toBe(true);
    const names = (parsed.functions.get('f')?.body.operations ?? []).map(({ results }) => results[0]?.name);
    expect(new Set(names).size).toBe(4);
  });

  it.each<readonly [string, string, string, string]>([
    ['something else at the top', 'weight @w : f32[2] = tensor "w"\nwight', 'F2C130', '2:1'],
    ['an unknown source', 'weight @w : f32[2] = stack()', 'F2C130', '1:22'],
    ['an unknown element type', 'weight @w : f31[2] = tensor "w"', 'F2C130', '1:13'],
    ['a bad escape', 'weight @w : f32[2] = tensor "\\q"', 'F2C130', '1:29'],
    ['a weight declared twice', 'weight @w : f32[2] = tensor "w"\nweight @w : f32[2] = tensor "w"', 'F2C134', '2:8'],
    ['a symbolic weight', 'weight @w : f32[n] = tensor "w"', 'F2C125', '1:8'],
    ['a function defined twice', 'func @f() -> () {\n}\nfunc @f() -> () {\n}', 'F2C126', '3:6'],
    ['a missing bracket', 'func @f(%x: f32[2) -> () {\n}', 'F2C130', '1:18'],
    ['the end of the text', 'func @f() -> () {', 'F2C130', '1:18'],
    ['no dimension', 'func @f(%x: f32[2*]) -> () {\n}', 'F2C101', '1:17'],
    ['an unknown operation', withLines('  %y = ad(%x, 1)'), 'F2C131', '2:8'],
    ['an unknown value', withLines('  %y = add(%x, %z)'), 'F2C132', '2:16'],
    ['an unknown result', withLines(''), 'F2C132', '1:43'],
    ['an unknown weight', withLines('  %y = add(%x, @w)'), 'F2C133', '2:16'],
    ['a value defined twice', withLines('  %y = neg(%x)', '  %y = abs(%x)'), 'F2C134', '3:3'],
    ['a name twice in one operation', withLines('  %y, %y = split(%x) {axis = 1, sizes = [2, 2]}'), 'F2C134', '2:7'],
    ['an attribute that is missing', withLines('  %y = softmax(%x)', '  %z = cast(%x)'), 'F2C135', '3:8'],
    ['an attribute that does not exist', withLines('  %y = neg(%x) {axis = 1}'), 'F2C135', '2:17'],
    ['an attribute given twice', withLines('  %y = concat(%x) {axis = 1, axis = 0}'), 'F2C135', '2:30'],
    ['an attribute of the wrong form', withLines('  %y = concat(%x) {axis = last}'), 'F2C130', '2:27'],
    ['no choice', withLines('  %y = fused(%x) {anchor = rows} do () -> () {}'), 'F2C135', '2:28'],
    [
      'factors of no such type',
      withLines('  %y = matmul(%x, %x) {transposeB = true, factors = f32}'),
      'F2C135',
      '2:53',
    ],
    ['neither true nor false', withLines('  %y = matmul(%x, %x) {transposeB = yes}'), 'F2C135', '2:37'],
    ['too few names', withLines('  %y = split(%x) {axis = 1, sizes = [2, 2]}'), 'F2C136', '2:8'],
    ['types that infer refuses', withLines('  %y = add(%x, %i)'), 'F2C112', '2:8'],
    ['a constant that its type does not hold', withLines('  %y = add(%i, 0.5)'), 'F2C118', '2:16'],
    ['a body that is missing', withLines('  %y = loop(%x) {count = 1, symbol = i}'), 'F2C130', '3:1'],
    ['a fused body that looks out', withLines('  %y = fused() {anchor = map} do () -> (%x) {}'), 'F2C132', '2:41'],
  ])('points to %s', (_, text, code, place) => {
    expect(errorOf(text)).toEqual([code, place]);
  });
});
