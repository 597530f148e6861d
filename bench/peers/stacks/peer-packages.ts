/** The packages that peers come in: not dependencies of flux2c, so their types are what is used of them, stated here. */
import { dirname, join } from 'node:path';
import { existsSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** The folder with the peers' package.json, seen from the sources and from the build. */
export const peersFolder = findPeersFolder(fileURLToPath(new URL('..', import.meta.url)));

function findPeersFolder(start: string): string {
  for (let folder = start; ; folder = dirname(folder)) {
    const candidate = join(folder, 'bench', 'peers');
    if (existsSync(join(candidate, 'package.json'))) return candidate;
    if (dirname(folder) === folder) throw new Error('internal: bench/peers is not where the build expects it');
  }
}

/** Imports a peer's package; the caller states what it uses of it. */
export async function importPeer<T>(name: string): Promise<T> {
  const loader = pathToFileURL(join(peersFolder, 'load-peer.mjs')).href;
  const { loadPeer } = (await import(loader)) as { readonly loadPeer: (name: string) => Promise<T> };
  return loadPeer(name);
}

/** A file of an installed peer. */
export function peerFile(path: string): string {
  return join(peersFolder, 'node_modules', path);
}
