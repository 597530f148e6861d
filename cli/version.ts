import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The package's version, from its `package.json`: one folder up from the sources, two from `dist/`. */
export const VERSION = readVersion(dirname(fileURLToPath(import.meta.url)));

function readVersion(folder: string): string {
  const parent = dirname(folder);
  try {
    const { name, version } = JSON.parse(readFileSync(join(parent, 'package.json'), 'utf8')) as Record<string, unknown>;
    if (name === 'flux2c' && typeof version === 'string') return version;
  } catch (error) {
    if (parent === folder) throw error;
  }
  return readVersion(parent);
}
