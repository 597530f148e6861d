/**
 * Artifacts: compiled functions with their kernels, and where their weights are. Everything that a device needs, without
 * the description of the model. `docs/artifact.md` documents the files.
 */
import { parseStrictJson, type JsonValue } from '../frontend/checkpoint/strict-json.js';
import type { Target } from '../backends/target.js';
import { Flux2cError } from '../ir/diagnostics.js';
import { parseThreadKernel } from '../ir/kernel/thread-parse.js';
import { printThreadKernel } from '../ir/kernel/thread-print.js';
import { verifyThreadKernel } from '../ir/kernel/thread-verify.js';
import type { ThreadKernel } from '../ir/kernel/thread.js';
import type { Plan } from '../ir/plan.js';
import {
  ARTIFACT_VERSION,
  type ArtifactFile,
  type ArtifactKernel,
  type ArtifactManifest,
  type ArtifactWeights,
  decodeManifest,
  encodeManifest,
  sha256,
} from './artifact/manifest.js';
import { decodeAccesses, encodeAccesses } from './artifact/access-json.js';
import { decodePlan, encodePlan } from './artifact/plan-json.js';
import type { LoadableKernel } from './plan/bound-plan.js';

export { sha256 } from './artifact/manifest.js';
export type { ArtifactManifest, ArtifactWeights, WeightEntry, WeightFile } from './artifact/manifest.js';

export const MANIFEST = 'manifest.json';
/** Beside the kernels, where their texts can be compiled by hand. */
const HEADER_FOLDER = 'kernels/';

/** What an artifact is made of. */
export interface ArtifactParts {
  readonly compiler: string;
  readonly target: Target;
  /** Plain data. */
  readonly model: JsonValue;
  readonly functions: ReadonlyMap<string, { readonly component: string; readonly plan: Plan }>;
  /** Headers are the same for all. */
  readonly kernels: ReadonlyMap<string, LoadableKernel>;
  /** Texts of what the kernels' texts include, by name. */
  readonly headers?: ReadonlyMap<string, string>;
  /** Texts of further files by their paths. */
  readonly files: ReadonlyMap<string, string>;
  readonly weights: ArtifactWeights | null;
}

/** A loaded artifact, checked: hashes, structure, kernels. */
export interface Artifact {
  readonly manifest: ArtifactManifest;
  readonly plans: ReadonlyMap<string, Plan>;
  readonly kernels: ReadonlyMap<string, LoadableKernel>;
  /** The text of one of `manifest.files`; undefined when there is none of that path. */
  readText(path: string): Promise<string | undefined>;
}

/** The files of an artifact by path; equal parts give equal bytes. The manifest is the last to be written. */
export async function encodeArtifact(parts: ArtifactParts): Promise<ReadonlyMap<string, Uint8Array>> {
  const written = new Map<string, Uint8Array>();
  const addBytes = async (path: string, bytes: Uint8Array): Promise<ArtifactFile> => {
    written.set(path, bytes);
    return { path, sha256: await sha256(bytes) };
  };
  const add = (path: string, text: string): Promise<ArtifactFile> => addBytes(path, new TextEncoder().encode(text));
  const functions = new Map<string, { component: string; plan: ArtifactFile }>();
  for (const [name, { component, plan }] of sorted(parts.functions)) {
    functions.set(name, { component, plan: await add(`plans/${name}.json`, encodePlan(plan)) });
  }
  const extension = parts.target.backend === 'cuda' ? 'cu' : 'wgsl';
  const kernels = new Map<string, ArtifactKernel>();
  for (const [name, { thread, accesses, source, binaries = new Map<string, Uint8Array>() }] of sorted(parts.kernels)) {
    const binaryFiles = new Map<string, ArtifactFile>();
    for (const [architecture, bytes] of sorted(binaries)) {
      binaryFiles.set(architecture, await addBytes(`kernels/${name}.${architecture}.cubin`, bytes));
    }
    kernels.set(name, {
      thread: await add(`kernels/${name}.thread`, printThreadKernel(thread)),
      accesses: await add(`kernels/${name}.accesses.json`, encodeAccesses(accesses)),
      source: source === '' ? null : await add(`kernels/${name}.${extension}`, source),
      binaries: binaryFiles,
    });
  }
  const headers: ArtifactFile[] = [];
  for (const [name, text] of sorted(parts.headers ?? new Map<string, string>())) {
    headers.push(await add(`${HEADER_FOLDER}${name}`, text));
  }
  const files: ArtifactFile[] = [];
  for (const [path, text] of sorted(parts.files)) files.push(await add(path, text));
  const { compiler, target, model, weights } = parts;
  const version = ARTIFACT_VERSION;
  const manifest: ArtifactManifest = { version, compiler, target, model, functions, kernels, headers, files, weights };
  written.set(MANIFEST, new TextEncoder().encode(await encodeManifest(manifest)));
  return written;
}

/** A plan of a released model has under a million values; more is no plan. */
const planLimits = { depth: 64, values: 20_000_000 };

/**
 * Loads an artifact through `read`, which gives a file's bytes or undefined. Errors: F2C530 malformed, F2C531 another
 * version, F2C532 a file that is missing or was changed, F2C2xx a kernel that is no kernel.
 */
export async function decodeArtifact(
  name: string,
  read: (path: string) => Promise<Uint8Array | undefined>,
): Promise<Artifact> {
  const text = await read(MANIFEST);
  if (text === undefined) throw changed(name, MANIFEST, 'none');
  const manifest = await decodeManifest(text, `${name}/${MANIFEST}`);
  const readChecked = async (file: ArtifactFile): Promise<Uint8Array> => {
    const bytes = await read(file.path);
    if (bytes === undefined) throw changed(name, file.path, 'none');
    const found = await sha256(bytes);
    if (found !== file.sha256) throw changed(name, file.path, `SHA-256 ${found.slice(0, 12)}…`);
    return bytes;
  };
  const plans = new Map<string, Plan>();
  for (const [fn, { plan }] of manifest.functions) {
    const file = `${name}/${plan.path}`;
    plans.set(fn, decodePlan(parseStrictJson(await readChecked(plan), file, 'F2C530', planLimits), file));
  }
  const headers = new Map<string, string>();
  for (const file of manifest.headers) {
    headers.set(file.path.slice(file.path.lastIndexOf('/') + 1), decodeText(await readChecked(file)));
  }
  const kernels = new Map<string, LoadableKernel>();
  for (const [kernel, { thread: threadFile, accesses, source, binaries: binaryFiles }] of manifest.kernels) {
    const thread = parseKernel(kernel, decodeText(await readChecked(threadFile)), manifest.target);
    const where = `${name}/${accesses.path}`;
    const binaries = new Map<string, Uint8Array>();
    for (const [architecture, file] of binaryFiles) binaries.set(architecture, await readChecked(file));
    kernels.set(kernel, {
      name: kernel,
      thread,
      accesses: decodeAccesses(
        parseStrictJson(await readChecked(accesses), where, 'F2C530', planLimits),
        where,
        thread,
      ),
      source: source === null ? '' : decodeText(await readChecked(source)),
      ...(headers.size > 0 && { headers }),
      ...(binaries.size > 0 && { binaries }),
    });
  }
  requireKernels(name, plans, kernels);
  return {
    manifest,
    plans,
    kernels,
    readText: async (path) => {
      const file = manifest.files.find((candidate) => candidate.path === path);
      return file === undefined ? undefined : decodeText(await readChecked(file));
    },
  };
}

function parseKernel(name: string, text: string, target: Target): ThreadKernel {
  const kernel = parseThreadKernel(text);
  verifyThreadKernel(kernel, target);
  if (kernel.name === name) return kernel;
  throw new Flux2cError('F2C530', 'the artifact is malformed', {
    where: [`kernels/${name}.thread`],
    expected: `kernel @${name}`,
    found: `kernel @${kernel.name}`,
  });
}

function requireKernels(
  artifact: string,
  plans: ReadonlyMap<string, Plan>,
  kernels: ReadonlyMap<string, LoadableKernel>,
): void {
  for (const [fn, plan] of plans) {
    const pending = [...plan.steps];
    for (let step = pending.pop(); step !== undefined; step = pending.pop()) {
      if (step.kind === 'loop') pending.push(...step.steps);
      if (step.kind !== 'launch' || kernels.has(step.kernel)) continue;
      throw new Flux2cError('F2C530', 'the artifact is malformed', {
        where: [artifact, `plans/${fn}.json`, step.label],
        expected: `a kernel ${step.kernel}`,
        found: 'none',
      });
    }
  }
}

function changed(artifact: string, path: string, found: string): Flux2cError {
  return new Flux2cError('F2C532', 'a file of the artifact is missing or was changed', {
    where: [artifact, path],
    expected: 'the file that was compiled',
    found,
    hint: 'Compile it again.',
  });
}

function decodeText(bytes: Uint8Array): string {
  return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
}

function sorted<T>(entries: ReadonlyMap<string, T>): readonly (readonly [string, T])[] {
  return [...entries].sort(([a], [b]) => (a < b ? -1 : 1));
}
