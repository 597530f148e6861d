import { expect, it } from 'vitest';
import { defaultOutput, numberedOutput } from './output-names.js';

const free = () => false;

it('names the picture after the prompt', () => {
  expect(defaultOutput('A red circle, on white!', free)).toBe('a-red-circle-on-white.png');
  expect(defaultOutput('Æther — crème brûlée', free)).toBe('ther-creme-brulee.png');
  expect(defaultOutput('日本', free)).toBe('picture.png');
  expect(defaultOutput(undefined, free)).toBe('picture.png');
  expect(defaultOutput('word '.repeat(40), free).length).toBeLessThan(60);
});

it('does not overwrite a picture whose name nobody chose', () => {
  const taken = new Set(['x.png', 'x-2.png', 'x-3-0001.png']);
  expect(defaultOutput('x', (path) => taken.has(path))).toBe('x-4.png');
});

it('numbers several', () => {
  expect(numberedOutput('a/b.c.webp', 0, 1)).toBe('a/b.c.webp');
  expect(numberedOutput('a/b.c.webp', 11, 20)).toBe('a/b.c-0012.webp');
});
