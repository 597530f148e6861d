import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import * as api from './index.js';

const page = readFileSync(new URL('../docs/graph-api.md', import.meta.url), 'utf8');

it('shows graphs that parse to what they print as', () => {
  const blocks = [...page.matchAll(/```graph\n([^`]*)```/g)].map(([, text]) => text as string);
  expect(blocks.length).toBeGreaterThan(0);
  for (const text of blocks) {
    const module = api.parseModule(text);
    api.verifyModule(module);
    expect(api.printModule(module)).toBe(text);
  }
});

it('shows the error as it is', () => {
  const g = api.graph('mlp');
  const [x, w] = [g.input('x', 'f32', ['tokens', 256]), g.weight('fc.weight', 'bf16', [1024, 255])];
  const shown = /```\n(error F2C[^`]*)\n```/.exec(page)?.[1];
  expect(() => api.linear(x, w)).toThrow(
    expect.toSatisfy((error) => error instanceof api.Flux2cError && error.format() === shown),
  );
});

it('names every function and nothing that is not there', () => {
  const table = /\| a function's own[^]*?\n\n/.exec(page)?.[0] ?? '';
  const named = [...table.matchAll(/`([A-Za-z0-9.]+)`/g)].map(([, name]) => name as string);
  const methods = named.filter((name) => name.startsWith('g.')).map((name) => name.slice(2));
  expect(methods.filter((name) => !(name in api.graph('f')))).toEqual([]);
  const others = ['Dim', 'Flux2cError', 'createModule', 'encodedFields', 'graph', 'interpretFunction', 'parseEncoding', 'parseModule', 'printModule', 'verifyModule']; // prettier-ignore
  const functions = Object.keys(api).filter((name) => !others.includes(name));
  expect(named.filter((name) => !name.startsWith('g.')).sort()).toEqual(functions.sort());
});
