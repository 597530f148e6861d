/** `manifest.json` of an artifact: what is in it, for which device, and where the weights are. */
import type { Target } from '../../backends/target.js';
import { parseStrictJson, type JsonValue } from '../../frontend/checkpoint/strict-json.js';
import { Flux2cError } from '../../ir/diagnostics.js';
import {
  boolean,
  count,
  type Decoder,
  dictionary,
  expectObject,
  list,
  malformed,
  nullable,
  object,
  oneOf,
  string,
  tuple,
} from './decode.js';

/** Raised when a reader of the old version could misread the new one. */
export const ARTIFACT_VERSION = 3;
/** Version 2 has no kernels for CUDA, so neither headers nor machine code. */
const READABLE_VERSIONS = [2, ARTIFACT_VERSION] as const;
const FORMAT = 'flux2c-artifact';
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

/** A tensor by its name in the compiled modules: ranges of files, one after another. */
export interface WeightEntry {
  /** As safetensors writes it: `BF16`. */
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

export interface ArtifactManifest {
  readonly version: (typeof READABLE_VERSIONS)[number];
  /** The compiler's version. */
  readonly compiler: string;
  readonly target: Target;
  /** The model's configurations, for the model's own reader. */
  readonly model: JsonValue;
  /** Plans by function name, with the network whose weights they use. */
  readonly functions: ReadonlyMap<string, { readonly component: string; readonly plan: ArtifactFile }>;
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

const digest: Decoder<string> = (value, at) => {
  if (typeof value === 'string' && /^[0-9a-f]{64}$/.test(value)) return value;
  throw malformed(at, '64 hexadecimal digits', value);
};

/** A path that cannot leave the artifact. */
const innerPath: Decoder<string> = (value, at) => {
  if (typeof value === 'string' && /^[\w.-]+(\/[\w.-]+)*$/.test(value) && !/(^|\/)\.\.?(\/|$)/.test(value))
    return value;
  throw malformed(at, 'a path inside the artifact', value);
};

const file: Decoder<ArtifactFile> = object({ path: innerPath, sha256: digest });

const target: Decoder<Target> = (value, at) => {
  const required = {
    backend: oneOf('webgpu', 'cpu', 'cuda'),
    f16: boolean,
    workgroupMemory: count,
    stagingPays: boolean,
    maxWorkgroupInvocations: count,
    maxWorkgroupsPerDimension: count,
    maxBindingBytes: count,
    maxBufferBytes: count,
    maxStorageBuffers: count,
    bindingAlignment: count,
  };
  const optional = {
    subgroups: object({ min: count, max: count }),
    matrix: oneOf('mma', 'wgmma'),
    asyncCopy: boolean,
    fp8: boolean,
  };
  const given = expectObject(value, at);
  const present = Object.fromEntries(Object.entries(optional).filter(([name]) => given.has(name)));
  return object({ ...required, ...(present as Partial<typeof optional>) })(value, at);
};

const weightEntry: Decoder<WeightEntry> = object({
  dtype: string,
  shape: list(count),
  parts: list(tuple(count, count, count)),
});

const weights: Decoder<ArtifactWeights> = object({
  files: list(object({ path: string, byteLength: count, modified: count, headerSha256: digest })),
  components: dictionary(dictionary(weightEntry)),
});

const kernelFiles = {
  thread: file,
  accesses: file,
  source: nullable(file),
};

const fields = {
  checksum: digest,
  format: oneOf(FORMAT),
  version: count,
  compiler: string,
  target,
  model: (value: JsonValue | undefined, at: readonly string[]): JsonValue => {
    if (value !== undefined) return value;
    throw malformed(at, "the model's configurations", value);
  },
  functions: dictionary(object({ component: string, plan: file })),
  files: list(file),
  weights: nullable(weights),
};

const oldBody = object({ ...fields, kernels: dictionary(object(kernelFiles)) });

const body = object({
  ...fields,
  kernels: dictionary(object({ ...kernelFiles, binaries: dictionary(file) })),
  headers: list(file),
});

/** All fields of the newest version. */
function decodeBody(json: JsonValue, version: ArtifactManifest['version'], at: readonly string[]) {
  if (version === ARTIFACT_VERSION) return body(json, at);
  const { kernels, ...old } = oldBody(json, at);
  const withoutBinaries = [...kernels].map(([name, kernel]) => [name, { ...kernel, binaries: new Map() }] as const);
  return { ...old, kernels: new Map(withoutBinaries), headers: [] };
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
      expected: READABLE_VERSIONS.join(' or '),
      found: JSON.stringify(found) ?? 'none',
      hint: 'Compile it again with this version of flux2c.',
    });
  }
  const { checksum, format: _format, version: _version, ...manifest } = decodeBody(json, version, [name]);
  const rest = bytes.subarray(bytes.indexOf(NEW_LINE, bytes.indexOf(NEW_LINE) + 1) + 1);
  const sum = await sha256(rest);
  if (sum !== checksum) throw malformed([name], `content with the checksum ${checksum.slice(0, 12)}…`, sum);
  return { ...manifest, version };
}
