import { readdirSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import * as flux2 from 'flux2c/flux2';
import * as flux2Node from 'flux2c/flux2/node';
import * as frontend from 'flux2c';
import * as node from 'flux2c/node';
import * as runtime from 'flux2c/runtime';

const entries: Readonly<Record<string, object>> = {
  flux2c: frontend,
  'flux2c/runtime': runtime,
  'flux2c/node': node,
  'flux2c/flux2': flux2,
  'flux2c/flux2/node': flux2Node,
};

it('imports in the documentation only what there is', () => {
  const root = new URL('..', import.meta.url);
  const pages = readdirSync(new URL('docs', root)).filter((name) => name.endsWith('.md'));
  const texts = ['README.md', ...pages.map((name) => `docs/${name}`)].map((path) => {
    return readFileSync(new URL(path, root), 'utf8');
  });
  const imports = [...texts.join('\n').matchAll(/import \{ ([^}]*) \} from '(flux2c[^']*)';/g)];
  expect(imports.length).toBeGreaterThan(3);
  for (const [, names, entry] of imports) {
    for (const name of names!.split(', ').filter((name) => !name.startsWith('type '))) {
      expect(Object.keys(entries[entry!] ?? {}), `${name} of ${entry}`).toContain(name);
    }
  }
});
