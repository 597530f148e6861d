/** The fields of `manifest.json`, of all versions that are read. */
import { familyOf, type Target } from '../../backends/target.js';
import type { JsonValue } from '../../frontend/checkpoint/strict-json.js';
import {
  boolean,
  count,
  type Decoder,
  dictionary,
  digest,
  list,
  malformed,
  nullable,
  object,
  objectWith,
  oneOf,
  string,
} from './decode.js';
import type { ArtifactBuild, ArtifactFile, ArtifactManifest, ArtifactMemory } from './manifest.js';
import { decodeNumbers, decodeWeights } from './weight-entries.js';

/** Raised when a reader of the old version could misread the new one. */
export const ARTIFACT_VERSION = 5;
export const READABLE_VERSIONS = [2, 3, 4, ARTIFACT_VERSION] as const;
export type ArtifactVersion = (typeof READABLE_VERSIONS)[number];
export const FORMAT = 'flux2c-artifact';

/** A path that cannot leave the artifact. */
const innerPath: Decoder<string> = (value, at) => {
  if (typeof value === 'string' && /^[\w.-]+(\/[\w.-]+)*$/.test(value) && !/(^|\/)\.\.?(\/|$)/.test(value))
    return value;
  throw malformed(at, 'a path inside the artifact', value);
};

const file: Decoder<ArtifactFile> = object({ path: innerPath, sha256: digest });

/** What kernels for CUDA could always rely on; flux2c did not write it before it had names for it. */
const alwaysOfCuda = { narrowStores: true, tileWalks: true, mixedAccess: true } as const;

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
    matrix: oneOf('mma', 'wgmma', 'subgroup'),
    subgroupProduct: object({ rows: count, columns: count, depth: count }),
    asyncCopy: boolean,
    tensorCopies: boolean,
    narrowStores: boolean,
    tileWalks: boolean,
    mixedAccess: boolean,
    fp8: boolean,
    packedDots: boolean,
    loops: object({ vectorRegisters: count, memoryBytes: count }),
  };
  const found = objectWith(required, optional)(value, at);
  return found.backend === 'cuda' ? { ...alwaysOfCuda, ...found } : found;
};

const kernelFiles = {
  thread: file,
  accesses: file,
  source: nullable(file),
};

const kernels = dictionary(object({ ...kernelFiles, binaries: dictionary(file) }));

const fields = {
  checksum: digest,
  format: oneOf(FORMAT),
  version: count,
  compiler: string,
  model: (value: JsonValue | undefined, at: readonly string[]): JsonValue => {
    if (value !== undefined) return value;
    throw malformed(at, "the model's configurations", value);
  },
  files: list(file),
};

const build: Decoder<ArtifactBuild> = object({
  target,
  architectures: list(string),
  plans: dictionary(file),
  kernels: list(string),
});

const bodyFields = {
  ...fields,
  functions: dictionary(object({ component: string })),
  builds: dictionary(build),
  kernels,
  headers: list(file),
};

const memory: Decoder<ArtifactMemory> = objectWith({ deviceBytes: count }, { hostBytes: count });

const body = objectWith({ ...bodyFields, weights: nullable(decodeWeights) }, { memory });

/** Up to version 4 weights are numbers, and there is no budget of memory. */
const onlyNumbers = nullable(decodeNumbers);

const bodyOf4 = object({ ...bodyFields, weights: onlyNumbers });

/** Up to version 3 there is one build, which has no name. */
const singleBuild = {
  ...fields,
  weights: onlyNumbers,
  target,
  functions: dictionary(object({ component: string, plan: file })),
};

const bodyOf3 = object({ ...singleBuild, kernels, headers: list(file) });

/** Version 2 has no kernels for CUDA, so neither headers nor machine code. */
const bodyOf2 = object({ ...singleBuild, kernels: dictionary(object(kernelFiles)) });

type Body = Omit<ArtifactManifest, 'version'> & { readonly checksum: string };

/** All fields of the newest version. F2C530 when something is not as it is documented. */
export function decodeBody(json: JsonValue, version: ArtifactVersion, at: readonly string[]): Body {
  const { format: _format, version: _version, ...found } = decodeFields(json, version, at);
  for (const [name, { plans, kernels: launched }] of found.builds) {
    const where = [...at, 'builds', name];
    const missing = [...found.functions.keys()].find((fn) => !plans.has(fn));
    if (missing !== undefined) throw malformed([...where, 'plans'], `a plan of ${missing}`, undefined);
    const unknown = launched.find((kernel) => !found.kernels.has(kernel));
    if (unknown !== undefined) throw malformed([...where, 'kernels'], 'names of kernels', unknown);
  }
  const backends = new Set([...found.builds.values()].map(({ target: { backend } }) => backend));
  if (backends.size === 1) return found;
  throw malformed([...at, 'builds'], 'builds for one backend', [...backends].join(', '));
}

function decodeFields(json: JsonValue, version: ArtifactVersion, at: readonly string[]) {
  switch (version) {
    case ARTIFACT_VERSION:
      return body(json, at);
    case 4:
      return bodyOf4(json, at);
    case 3:
      return nameBuild(bodyOf3(json, at));
    case 2: {
      const { kernels: old, ...rest } = bodyOf2(json, at);
      const kept = [...old].map(([name, kernel]) => [name, { ...kernel, binaries: new Map() }] as const);
      return nameBuild({ ...rest, kernels: new Map(kept), headers: [] });
    }
  }
}

/** What the only build of an old version would be called today. */
function nameBuild({ target, functions, ...rest }: ReturnType<typeof bodyOf3>) {
  const architectures = [...rest.kernels.values()].flatMap(({ binaries }) => [...binaries.keys()]);
  const build: ArtifactBuild = {
    target,
    architectures: [...new Set(architectures)],
    plans: new Map([...functions].map(([name, { plan }]) => [name, plan])),
    kernels: [...rest.kernels.keys()],
  };
  const components = [...functions].map(([name, { component }]) => [name, { component }] as const);
  return { ...rest, functions: new Map(components), builds: new Map([[familyOf(target), build]]) };
}
