import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { cudaTarget } from '../../backends/cuda/cuda-target.js';
import { bundleCases, bundleModels } from './bundle-cases.js';
import { compileForms } from './bundle-forms.js';
import { type TileJson, tileToJson } from './tile-json.js';

/** The text between a line and the next one that is not further in. */
function sectionOf(text: string, start: string): string {
  const [, indent, section] = new RegExp(`^( *)${start}.*\n((?:\\1 +.*\n|\n)*)`, 'm').exec(text)!;
  return `${indent}${section}`;
}

function wordsOf(text: string, pattern: RegExp): ReadonlySet<string> {
  return new Set([...text.matchAll(pattern)].flatMap(([line]) => line.match(/(?<=")\w+(?=")/g) ?? []));
}

/** Statements with those inside of loops. */
function flatten(body: TileJson['body']): TileJson['body'] {
  return body.flatMap((step) => (step[0] === 'for' ? [step, ...flatten(step[2] as TileJson['body'])] : [step]));
}

describe('what the runner in Python evaluates', () => {
  const evaluator = readFileSync(new URL('runner/tile.py', import.meta.url), 'utf8');
  const keys = (table: string) => wordsOf(sectionOf(evaluator, `${table} = \\{`), /^ *"\w+":/gm);
  const kinds = (method: string) => wordsOf(sectionOf(evaluator, `def ${method}\\(`), /\bkind (?:==|in) .*/g);
  const known = {
    unary: keys('UNARY'),
    binary: keys('BINARY'),
    storage: keys('STORAGES'),
    node: kinds('node'),
    statement: kinds('statements'),
    reduction: new Set(['add', 'max']),
  };
  const target = cudaTarget(['sm_90a']);
  const kernels = bundleCases(bundleModels, target)
    .flatMap((one) => compileForms(one, target))
    .flatMap(({ compiled }) => [...compiled.kernels.values()]);
  const tiles = kernels.map(({ tile }) => tileToJson(tile));
  const nodes = tiles.flatMap((tile) => tile.nodes);
  const operatorsOf = (kind: string) => nodes.filter((node) => node[0] === kind).map((node) => node[1] as string);
  const statements = tiles.flatMap(({ body }) => flatten(body));
  const used: Record<keyof typeof known, readonly string[]> = {
    unary: operatorsOf('unary'),
    binary: operatorsOf('binary'),
    storage: kernels.flatMap(({ thread }) => thread.buffers.map(({ storage }) => storage)),
    node: nodes.map(([kind]) => kind),
    statement: statements.map(([kind]) => kind),
    reduction: statements.filter(([kind]) => kind === 'reduce').map((step) => step[3] as string),
  };

  it.each(Object.keys(known) as (keyof typeof known)[])("is each %s of the bundle's programs", (what) => {
    expect(used[what]).not.toEqual([]);
    expect([...new Set(used[what])].filter((name) => !known[what].has(name))).toEqual([]);
  });
});
