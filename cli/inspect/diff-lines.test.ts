import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { diffLines, groupHunks } from './diff-lines.js';

const texts = fc.array(fc.constantFrom('a', 'b', 'c', 'd', 'e', '}'), { maxLength: 30 });

describe('diffLines', () => {
  it('gives both texts back and marks no line that they share in order at the ends', () => {
    fc.assert(
      fc.property(texts, texts, (before, after) => {
        const lines = diffLines(before, after);
        const without = (kind: string): string[] => lines.filter((line) => line.kind !== kind).map(({ text }) => text);
        expect(without('added')).toEqual(before);
        expect(without('removed')).toEqual(after);
      }),
      { numRuns: 500 },
    );
  });

  it('holds on to lines that occur once', () => {
    const lines = diffLines(['{', 'x', '}', '{', 'y', '}'], ['{', 'y', '}', '{', 'z', '}', '{', 'x', '}']);
    expect(lines.filter(({ kind }) => kind === 'same').map(({ text }) => text)).toContain('x');
    expect(diffLines(['a', 'b', 'c'], ['a', 'B', 'c'])).toEqual([
      { kind: 'same', text: 'a' },
      { kind: 'removed', text: 'b' },
      { kind: 'added', text: 'B' },
      { kind: 'same', text: 'c' },
    ]);
  });
});

describe('groupHunks', () => {
  it('keeps the context asked for and numbers first lines', () => {
    const before = ['1', '2', '3', '4', '5', '6', '7', '8', '9'];
    const after = ['1', '2', 'new', '3', '4', '5', '6', '7', '9'];
    const hunks = groupHunks(diffLines(before, after), 1);
    expect(hunks.map((hunk) => [hunk.before, hunk.after, hunk.lines.map(({ text }) => text)])).toEqual([
      [2, 2, ['2', 'new', '3']],
      [7, 8, ['7', '8', '9']],
    ]);
    expect(groupHunks(diffLines(before, before), 3)).toEqual([]);
  });
});
