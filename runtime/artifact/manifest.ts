/** `manifest.json` of an artifact: what is in it, for which devices, and where the weights are. */
import type { Target } from '../../backends/target.js';
import { parseStrictJson, type JsonValue } from '../../frontend/checkpoint/strict-json.js';
import { Flux2cError } from '../../ir/diagnostics.js';
import { expectObject, malformed } from './decode.js';
import { type ArtifactVersion, decodeBody, FORMAT, READABLE_VERSIONS } from './manifest-body.js';

const NEW_LINE = 10;

/** A file of the artifact, by its path in it, with its SHA-256 in hexadecimal digits. */
export interface ArtifactFile {
  readonly path: string;
  readonly sha256: string;
}

export interface ArtifactKernel {
  readonly thread: ArtifactFile;
  /** Where it touches its buffers, JSON. */
  readonly accesses: ArtifactFile;
  /** The backend's text; absent for the CPU. */
  readonly source: ArtifactFile | null;
  /** Machine code by architecture (`sm_80`); empty but for CUDA. */
  readonly binaries: ReadonlyMap<string, ArtifactFile>;
}

/** A file with weights, and how to see that it is still the one that was compiled. */
export interface WeightFile {
  /** Absolute, or relative to the artifact. */
  readonly path: string;
  readonly byteLength: number;
  /** Milliseconds since 1970; 0 for files inside the artifact, which may be copied. */
  readonly modified: number;
  /** Of the length field and the header of the safetensors file. */
  readonly headerSha256: string;
}

/** A tensor by its name in the compiled modules: ranges of files, one after another, or the arrays of an encoded matrix. */
export interface WeightEntry {
  /** As safetensors writes it: `BF16`; of an encoded matrix the encoding: `int4:64`. */
  readonly dtype: string;
  readonly shape: readonly number[];
  /** [index into `files`, offset, bytes]. */
  readonly parts: readonly (readonly [number, number, number])[];
}

export interface ArtifactWeights {
  readonly files: readonly WeightFile[];
  /** By network (`transformer`, `vae`, `text_encoder`), then by tensor. */
  readonly components: ReadonlyMap<string, ReadonlyMap<string, WeightEntry>>;
}

/** What one kind of device runs: a plan for each function, and the kernels that it launches. */
export interface ArtifactBuild {
  /** What plans and kernels rely on. */
  readonly target: Target;
  /** What it was compiled for (`sm_80`), as far as that is known; empty but for CUDA. */
  readonly architectures: readonly string[];
  /** By function; every build has all functions. */
  readonly plans: ReadonlyMap<string, ArtifactFile>;
  /** Names in the manifest's `kernels`. */
  readonly kernels: readonly string[];
}

export interface ArtifactManifest {
  /** The version that was read; fields are those of the newest. */
  readonly version: ArtifactVersion;
  /** The compiler's version. */
  readonly compiler: string;
  /** The model's configurations, for the model's own reader. */
  readonly model: JsonValue;
  /** By name, with the network whose weights they use. */
  readonly functions: ReadonlyMap<string, { readonly component: string }>;
  /** By name; all for one backend. */
  readonly builds: ReadonlyMap<string, ArtifactBuild>;
  /** Of all builds, by name. */
  readonly kernels: ReadonlyMap<string, ArtifactKernel>;
  /** What the kernels' texts include, by the names of the files. */
  readonly headers: readonly ArtifactFile[];
  /** Further files that the model's reader asks for (`tokenizer/tokenizer.json`). */
  readonly files: readonly ArtifactFile[];
  /** Null when it was compiled from a configuration alone. */
  readonly weights: ArtifactWeights | null;
}

/**
 * The manifest's text; the same manifest gives the same text. Its second line has the SHA-256 of all that follows, so
 * that a damaged manifest is not taken for another one.
 */
export async function encodeManifest(manifest: ArtifactManifest): Promise<string> {
  const { version, ...fields } = manifest;
  const plain = JSON.stringify({ format: FORMAT, version, ...fields }, (_, value: unknown) =>
    value instanceof Map ? Object.fromEntries(value as Map<string, unknown>) : value,
  );
  const rest = `${plain.slice(1, -1)}\n}\n`;
  return `{\n"checksum":"${await sha256(new TextEncoder().encode(rest))}",\n${rest}`;
}

/** In hexadecimal digits. Web Crypto is in browsers and in Node.js. */
export async function sha256(bytes: Uint8Array): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>);
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/**
 * Reads a manifest. F2C530 when it is malformed, F2C531 when it is of another version. Paths stay inside the artifact but
 * for those of weight files.
 */
export async function decodeManifest(bytes: Uint8Array, name: string): Promise<ArtifactManifest> {
  const json = parseStrictJson(bytes, name, 'F2C530', { depth: 64, values: 2_000_000 });
  const found = expectObject(json, [name]).get('version');
  const version = READABLE_VERSIONS.find((candidate) => candidate === found);
  if (version === undefined) {
    throw new Flux2cError('F2C531', 'the artifact is of another version', {
      where: [name],
      expected: `one of ${READABLE_VERSIONS.join(', ')}`,
      found: JSON.stringify(found) ?? 'none',
      hint: 'Compile it again with this version of flux2c.',
    });
  }
  const { checksum, ...manifest } = decodeBody(json, version, [name]);
  const rest = bytes.subarray(bytes.indexOf(NEW_LINE, bytes.indexOf(NEW_LINE) + 1) + 1);
  const sum = await sha256(rest);
  if (sum !== checksum) throw malformed([name], `content with the checksum ${checksum.slice(0, 12)}…`, sum);
  return { ...manifest, version };
}
