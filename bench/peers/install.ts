/** The peers' packages: in bench/peers/node_modules, as the lock file beside it says. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { peersFolder } from './stacks/peer-packages.js';

interface Manifest {
  readonly version?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
}

function readManifest(path: string): Manifest | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Manifest;
  } catch {
    return undefined;
  }
}

function wantedVersions(): Readonly<Record<string, string>> {
  return readManifest(join(peersFolder, 'package.json'))?.dependencies ?? {};
}

/** Versions of the peers that are installed, by package. */
export function installedVersions(): Readonly<Record<string, string>> {
  const found = Object.keys(wantedVersions()).flatMap((name) => {
    const version = readManifest(join(peersFolder, 'node_modules', name, 'package.json'))?.version;
    return version === undefined ? [] : [[name, version] as const];
  });
  return Object.fromEntries(found);
}

/**
 * Installs what is missing. Install scripts do not run: onnxruntime-node's only fetches what CUDA needs.
 *
 * @returns why that was not possible; the peers that are there can be measured all the same
 */
export async function installPeers(notice: (sentence: string) => void): Promise<string | undefined> {
  const installed = installedVersions();
  const isComplete = Object.entries(wantedVersions()).every(([name, version]) => installed[name] === version);
  if (isComplete) return undefined;
  notice('installing the peers into bench/peers/node_modules (about 500 MB)');
  try {
    const options = ['ci', '--ignore-scripts', '--no-audit', '--no-fund'];
    await promisify(execFile)('npm', options, { cwd: peersFolder, shell: process.platform === 'win32' });
    return undefined;
  } catch (error) {
    const { stderr = '', message } = error as Error & { readonly stderr?: string };
    return stderr.trim().split('\n').slice(0, 2).join(' ') || message;
  }
}
