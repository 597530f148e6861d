import { expect, it } from 'vitest';
import type { Block } from './graph.js';
import { equalAttributes, equalBlocks, equalModules } from './equal.js';
import { parseModule } from './parse.js';

const text = `weight @w : f32[4] = tensor "w"
func @f(%x: f32[n, 4]) -> (y: %y) {
  %a = add(%x, @w)
  %y = loop(%a) {count = 2, symbol = i} do (%c: f32[n, 4]) -> (%d) {
    %d = fused(%c, %a) {anchor = map} do (%p0: f32[n, 4], %p1: f32[n, 4]) -> (%s) { %m = mul(%p0, 2) %s = add(%m, %p1) }
  }
}
func @g(%x: f32[n, 4]) -> (y: %y) { %y = mul(%x, 2) }`;

function equalAfter(from: string, to: string, names: 'exact' | 'ignore' = 'exact'): boolean {
  expect(text).toContain(from);
  return equalModules(parseModule(text), parseModule(text.replaceAll(from, to)), { names });
}

it('holds modules equal that were made apart', () => {
  expect(equalAfter('x', 'x')).toBe(true);
});

it.each([
  ['a weight', 'tensor "w"', 'tensor "v"'],
  ['an operation', 'add(%x', 'sub(%x'],
  ['the order of operands', 'mul(%p0, 2)', 'mul(2, %p0)'],
  ['a constant', 'mul(%p0, 2)', 'mul(%p0, 3)'],
  ["a constant's type", 'mul(%p0, 2)', 'mul(%p0, 2:bf16)'],
  ['an attribute', 'count = 2', 'count = 3'],
  ['a symbol', '{count = 2, symbol = i}', '{count = 2, symbol = j}'],
  ['a type', 'f32[n, 4]', 'f32[n+1, 4]'],
  ['a result', '(%s)', '(%m)'],
  ['what a body captures', '(%c, %a)', '(%c, %c)'],
  ['the name of a result', '(y: %y)', '(z: %y)'],
  ['the name of a function', '@g', '@h'],
])('holds modules apart by %s, whatever the names', (_, from, to) => {
  expect(equalAfter(from, to, 'ignore')).toBe(false);
});

it('minds the names of values only when asked to', () => {
  expect(equalAfter('%a', '%b')).toBe(false);
  expect(equalAfter('%a', '%b', 'ignore')).toBe(true);
  expect(equalAfter('%m', '%x', 'ignore')).toBe(true);
});

it('finds the bodies of equal kernels equal', () => {
  const [f, g] = [...parseModule(text).functions.values()];
  expect(equalBlocks(f?.body as Block, g?.body as Block, { names: 'ignore' })).toBe(false);
  expect(equalBlocks(g?.body as Block, parseModule(text).functions.get('g')?.body as Block, { names: 'ignore' })).toBe(
    true,
  );
});

it('compares numbers by their bits', () => {
  expect([equalAttributes([NaN], [NaN]), equalAttributes([0], [-0]), equalAttributes({ a: 1 }, { b: 1 })]).toEqual([
    true,
    false,
    false,
  ]);
});
