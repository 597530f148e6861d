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
import { decodeAccesses, encodeAccesses } from './artifact/access-json.js';
import { type ArtifactBuild, type ArtifactFile, type ArtifactKernel, type ArtifactManifest, type ArtifactMemory, type ArtifactWeights, decodeManifest, encodeManifest, sha256 } from './artifact/manifest.js'; // prettier-ignore
import { ARTIFACT_VERSION } from './artifact/manifest-body.js';
import { decodePlan, encodePlan } from './artifact/plan-json.js';
import type { LoadableKernel } from './plan/bound-plan.js';

export { sha256 } from './artifact/manifest.js';
export { rangesOf } from './artifact/weight-entries.js';
export type {
  ArtifactBuild,
  ArtifactManifest,
  ArtifactMemory,
  ArtifactWeights,
  EncodedEntry,
  FileRange,
  NumbersEntry,
  WeightEntry,
  WeightFile,
} from './artifact/manifest.js';

export const MANIFEST = 'manifest.json';
/** Beside the kernels, where their texts can be compiled by hand. */
const HEADER_FOLDER = 'kernels/';

/** What an artifact is made of. */
export interface ArtifactParts {
  readonly compiler: string;
  /** Plain data. */
  readonly model: JsonValue;
  /** By name, with the network whose weights they use. */
  readonly functions: ReadonlyMap<string, { readonly component: string }>;
  /** By name. A kernel of the same name in several of them is one. */
  readonly builds: ReadonlyMap<string, BuildParts>;
  /** Texts of what the kernels' texts include, by name. */
  readonly headers?: ReadonlyMap<string, string>;
  /** Texts of further files by their paths. */
  readonly files: ReadonlyMap<string, string>;
  readonly weights: ArtifactWeights | null;
  /** What it was compiled to run in; default: with all weights on the device. */
  readonly memory?: ArtifactMemory;
}

/** What one kind of device runs. */
export interface BuildParts {
  readonly target: Target;
  /** As `ArtifactBuild`'s. */
  readonly architectures: readonly string[];
  /** Of each function. */
  readonly plans: ReadonlyMap<string, Plan>;
  /** Headers are the same for all. */
  readonly kernels: ReadonlyMap<string, LoadableKernel>;
}

/** An opened artifact: its manifest is checked, other files when they are read. */
export interface Artifact {
  readonly manifest: ArtifactManifest;
  /** The plans and kernels of one of `manifest.builds`, checked: hashes, structure, kernels. Errors as `openArtifact`. */
  loadBuild(name: string): Promise<LoadedBuild>;
  /** The text of one of `manifest.files`; undefined when there is none of that path. */
  readText(path: string): Promise<string | undefined>;
}

export interface LoadedBuild {
  readonly plans: ReadonlyMap<string, Plan>;
  readonly kernels: ReadonlyMap<string, LoadableKernel>;
}

/** The files of an artifact by path; equal parts give equal bytes. The manifest is the last to be written. */
export async function encodeArtifact(parts: ArtifactParts): Promise<ReadonlyMap<string, Uint8Array>> {
  const written = new Map<string, Uint8Array>();
  const addBytes = async (path: string, bytes: Uint8Array): Promise<ArtifactFile> => {
    written.set(path, bytes);
    return { path, sha256: await sha256(bytes) };
  };
  const add = (path: string, text: string): Promise<ArtifactFile> => addBytes(path, new TextEncoder().encode(text));
  const builds = new Map<string, ArtifactBuild>();
  for (const [name, { target, architectures, plans, kernels }] of parts.builds) {
    const files = new Map<string, ArtifactFile>();
    for (const [fn, plan] of sorted(plans)) files.set(fn, await add(`plans/${fn}.${name}.json`, encodePlan(plan)));
    builds.set(name, { target, architectures, plans: files, kernels: [...kernels.keys()].sort() });
  }
  const kernels = new Map<string, ArtifactKernel>();
  for (const [name, { thread, accesses, source, binaries = new Map<string, Uint8Array>() }] of sorted(
    joinKernels(parts),
  )) {
    const binaryFiles = new Map<string, ArtifactFile>();
    for (const [architecture, bytes] of sorted(binaries)) {
      binaryFiles.set(architecture, await addBytes(`kernels/${name}.${architecture}.cubin`, bytes));
    }
    kernels.set(name, {
      thread: await add(`kernels/${name}.thread`, printThreadKernel(thread)),
      accesses: await add(`kernels/${name}.accesses.json`, encodeAccesses(accesses)),
      source: source === '' ? null : await add(`kernels/${name}.${extensionOf(parts)}`, source),
      binaries: binaryFiles,
    });
  }
  const headers: ArtifactFile[] = [];
  for (const [name, text] of sorted(parts.headers ?? new Map<string, string>())) {
    headers.push(await add(`${HEADER_FOLDER}${name}`, text));
  }
  const files: ArtifactFile[] = [];
  for (const [path, text] of sorted(parts.files)) files.push(await add(path, text));
  const { compiler, model, weights, memory } = parts;
  const functions = new Map(sorted(parts.functions).map(([name, { component }]) => [name, { component }]));
  const version = ARTIFACT_VERSION;
  const manifest: ArtifactManifest = {
    ...{ version, compiler, model, functions, builds, kernels, headers, files, weights },
    ...(memory && { memory }),
  };
  written.set(MANIFEST, new TextEncoder().encode(await encodeManifest(manifest)));
  return written;
}

/** The kernels of all builds, each once, with the machine code that any of them brings. */
function joinKernels({ builds }: ArtifactParts): ReadonlyMap<string, LoadableKernel> {
  const joined = new Map<string, LoadableKernel>();
  for (const kernel of [...builds.values()].flatMap(({ kernels }) => [...kernels.values()])) {
    const { name, source, thread, binaries = new Map<string, Uint8Array>() } = kernel;
    const known = joined.get(name);
    if (known === undefined) {
      joined.set(name, kernel);
      continue;
    }
    if (known.source !== source || printThreadKernel(known.thread) !== printThreadKernel(thread)) {
      throw new Error(`internal: two kernels are called ${name}`);
    }
    joined.set(name, { ...known, binaries: new Map([...(known.binaries ?? []), ...binaries]) });
  }
  return joined;
}

function extensionOf({ builds }: ArtifactParts): 'cu' | 'wgsl' {
  return [...builds.values()].some(({ target }) => target.backend === 'cuda') ? 'cu' : 'wgsl';
}

/** A plan of a released model has under a million values; more is no plan. */
const planLimits = { depth: 64, values: 20_000_000 };

/**
 * Opens an artifact through `read`, which gives a file's bytes or undefined. Errors: F2C530 malformed, F2C531 another
 * version, F2C532 a file that is missing or was changed, F2C2xx a kernel that is no kernel.
 */
export async function openArtifact(
  name: string,
  read: (path: string) => Promise<Uint8Array | undefined>,
): Promise<Artifact> {
  const text = await read(MANIFEST);
  if (text === undefined) throw changed(name, MANIFEST, 'none');
  const manifest = await decodeManifest(text, `${name}/${MANIFEST}`);
  const readChecked: ReadFile = async (file) => {
    const bytes = await read(file.path);
    if (bytes === undefined) throw changed(name, file.path, 'none');
    const found = await sha256(bytes);
    if (found !== file.sha256) throw changed(name, file.path, `SHA-256 ${found.slice(0, 12)}…`);
    return bytes;
  };
  return {
    manifest,
    loadBuild: (build) => loadBuild(name, manifest, build, readChecked),
    readText: async (path) => {
      const file = manifest.files.find((candidate) => candidate.path === path);
      return file === undefined ? undefined : decodeText(await readChecked(file));
    },
  };
}

type ReadFile = (file: ArtifactFile) => Promise<Uint8Array>;

async function loadBuild(
  artifact: string,
  manifest: ArtifactManifest,
  name: string,
  read: ReadFile,
): Promise<LoadedBuild> {
  const build = manifest.builds.get(name);
  if (build === undefined) throw new Error(`internal: the artifact has no build ${name}`);
  const plans = new Map<string, Plan>();
  for (const [fn, plan] of build.plans) {
    const file = `${artifact}/${plan.path}`;
    plans.set(fn, decodePlan(parseStrictJson(await read(plan), file, 'F2C530', planLimits), file));
  }
  const headers = new Map<string, string>();
  for (const file of manifest.headers) {
    headers.set(file.path.slice(file.path.lastIndexOf('/') + 1), decodeText(await read(file)));
  }
  const kernels = new Map<string, LoadableKernel>();
  for (const kernel of build.kernels) {
    const { thread: threadFile, accesses, source, binaries: binaryFiles } = manifest.kernels.get(kernel)!;
    const thread = parseKernel(kernel, decodeText(await read(threadFile)), build.target);
    const where = `${artifact}/${accesses.path}`;
    const binaries = new Map<string, Uint8Array>();
    for (const [architecture, file] of binaryFiles) binaries.set(architecture, await read(file));
    kernels.set(kernel, {
      name: kernel,
      thread,
      accesses: decodeAccesses(parseStrictJson(await read(accesses), where, 'F2C530', planLimits), where, thread),
      source: source === null ? '' : decodeText(await read(source)),
      ...(headers.size > 0 && { headers }),
      ...(binaries.size > 0 && { binaries }),
    });
  }
  for (const [fn, plan] of plans) requireKernels(`${artifact}/${build.plans.get(fn)!.path}`, plan, kernels);
  return { plans, kernels };
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

function requireKernels(file: string, plan: Plan, kernels: ReadonlyMap<string, LoadableKernel>): void {
  const pending = [...plan.steps];
  for (let step = pending.pop(); step !== undefined; step = pending.pop()) {
    if (step.kind === 'loop') pending.push(...step.steps);
    if (step.kind !== 'launch' || kernels.has(step.kernel)) continue;
    throw new Flux2cError('F2C530', 'the artifact is malformed', {
      where: [file, step.label],
      expected: `a kernel ${step.kernel}`,
      found: 'none',
    });
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
