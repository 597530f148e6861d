/** Names of the pictures that `generate` writes. */
import { existsSync } from 'node:fs';
import { extname } from 'node:path';

const LONGEST_SLUG = 48;

/** `a-red-circle.png`, from the prompt's words; numbered when such a file exists already. */
export function defaultOutput(prompt: string | undefined, exists: (path: string) => boolean = existsSync): string {
  const slug = (prompt ?? '')
    .toLowerCase()
    .normalize('NFKD')
    .replace(/\p{M}/gu, '')
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, LONGEST_SLUG)
    .replace(/^-+|-+$/g, '');
  const stem = slug === '' ? 'picture' : slug;
  for (let number = 1; ; number++) {
    const path = number === 1 ? `${stem}.png` : `${stem}-${number}.png`;
    if (!exists(path) && !exists(numberedOutput(path, 0, 2))) return path;
  }
}

/** The path of picture `index` of `count`: itself for one, `name-0001.png` for several. */
export function numberedOutput(path: string, index: number, count: number): string {
  if (count === 1) return path;
  const extension = extname(path);
  return `${path.slice(0, path.length - extension.length)}-${String(index + 1).padStart(4, '0')}${extension}`;
}
