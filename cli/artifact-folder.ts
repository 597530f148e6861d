/** Artifacts on disk: written whole or not at all, checked when they are opened. */
import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { mkdir, readdir, readFile, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, resolve } from 'node:path';
import type { Target } from '../backends/target.js';
import { type ByteSource, isGguf, readGguf } from '../frontend/checkpoint/index.js';
import { openFileSource } from '../frontend/checkpoint/node/file-source.js';
import { Flux2cError } from '../ir/diagnostics.js';
import { ArtifactFlux2Model } from '../models/flux2/artifact-model.js';
import type { MemoryBudget } from '../models/flux2/memory-shares.js';
import {
  type Artifact,
  type ArtifactManifest,
  type ArtifactMemory,
  MANIFEST,
  openArtifact,
  sha256,
  type WeightFile,
} from '../runtime/artifact.js';
import { isAbort } from './report-error.js';
import { writeError } from './placed-file.js';
import { chooseBuild } from '../runtime/artifact/choose-build.js';
import { decodeManifest } from '../runtime/artifact/manifest.js';
import { artifactWeights } from '../runtime/artifact/weights.js';
import type { Device } from '../runtime/device.js';

/** Manifests and plans of a released model have a few megabytes. */
const MOST_FILE_BYTES = 256 * 2 ** 20;

/** Whether `path` is a folder with a manifest. */
export async function isArtifact(path: string): Promise<boolean> {
  return (await stat(join(path, MANIFEST)).catch(() => undefined))?.isFile() === true;
}

/** What the artifact at `path` was compiled for; undefined when there is none. F2C53x when its manifest is malformed. */
export async function artifactBackend(path: string): Promise<Target['backend'] | undefined> {
  const manifest = await readManifest(path);
  return manifest && [...manifest.builds.values()][0]?.target.backend;
}

/** The budget that the artifact at `path` was compiled for; undefined when there is none. Errors as `artifactBackend`. */
export async function artifactMemory(path: string | undefined): Promise<ArtifactMemory | undefined> {
  return path === undefined ? undefined : (await readManifest(path))?.memory;
}

async function readManifest(path: string): Promise<ArtifactManifest | undefined> {
  if (!(await isArtifact(path))) return undefined;
  const manifest = join(path, MANIFEST);
  return decodeManifest(await readFile(manifest), manifest);
}

/**
 * Writes an artifact's files into a folder beside `path`, which then takes the name; what was there before goes only if
 * it was an artifact too (F2C710). `writeMore` adds large files to the folder before the manifest is written. Nothing is
 * left behind on an error.
 */
export async function writeArtifactFolder(
  path: string,
  files: ReadonlyMap<string, Uint8Array>,
  writeMore: (folder: string) => Promise<void> = async () => undefined,
): Promise<void> {
  const target = resolve(path);
  await requireReplaceable(target);
  const temporary = join(dirname(target), `.${basename(target)}.${randomBytes(6).toString('hex')}.tmp`);
  // Whoever does not wait for the clean end of a command ends the process.
  const removeAtExit = (): void => rmSync(temporary, { recursive: true, force: true });
  process.on('exit', removeAtExit);
  try {
    await mkdir(temporary, { recursive: true });
    await writeMore(temporary);
    for (const [name, bytes] of files) {
      if (name !== MANIFEST) await writeInner(temporary, name, bytes);
    }
    // Last, so that a folder with a manifest is a whole artifact.
    await writeInner(temporary, MANIFEST, files.get(MANIFEST)!);
    await replaceFolder(temporary, target);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    if (error instanceof Flux2cError || isAbort(error)) throw error;
    throw new Flux2cError('F2C711', 'the artifact cannot be written', {
      where: [path],
      found: error instanceof Error ? error.message : String(error),
      cause: error,
    });
  } finally {
    process.off('exit', removeAtExit);
  }
}

async function writeInner(folder: string, name: string, bytes: Uint8Array): Promise<void> {
  const path = join(folder, name);
  await mkdir(dirname(path), { recursive: true });
  try {
    await writeFile(path, bytes, { flag: 'wx', flush: true });
  } catch (error) {
    throw writeError(name, bytes.byteLength, error);
  }
}

/** A folder cannot be renamed over another one, so the old one steps aside for a moment. */
async function replaceFolder(from: string, to: string): Promise<void> {
  const old = `${from}.old`;
  const existed = await rename(to, old).then(
    () => true,
    () => false,
  );
  try {
    await rename(from, to);
  } catch (error) {
    if (existed) await rename(old, to);
    throw error;
  }
  if (existed) await rm(old, { recursive: true });
}

async function requireReplaceable(path: string): Promise<void> {
  const status = await stat(path).catch(() => undefined);
  if (status === undefined || (await isArtifact(path))) return;
  if (status.isDirectory() && (await readdir(path)).length === 0) return;
  throw new Flux2cError('F2C710', 'the output is something else than an artifact', {
    where: [path],
    expected: 'a new folder, an empty one or an artifact to replace',
    hint: 'Choose another folder with -o.',
  });
}

/** Opens an artifact; errors as `openArtifact`. */
export function openArtifactFolder(path: string): Promise<Artifact> {
  return openArtifact(path, async (name) => {
    const file = join(path, name);
    const status = await stat(file).catch(() => undefined);
    if (status?.isFile() !== true) return undefined;
    if (status.size > MOST_FILE_BYTES) {
      throw new Flux2cError('F2C530', 'the artifact is malformed', {
        where: [file],
        expected: `at most ${MOST_FILE_BYTES} bytes`,
        found: `${status.size} bytes`,
      });
    }
    return readFile(file);
  });
}

/**
 * A model that runs from the artifact's build for the device. F2C533 when there is none, F2C535 when a file with weights is
 * missing or has changed, F2C53x of the artifact.
 */
export async function openArtifactModel(
  path: string,
  device: Device,
  memory?: MemoryBudget,
): Promise<ArtifactFlux2Model> {
  const artifact = await openArtifactFolder(path);
  const { builds, weights } = artifact.manifest;
  const build = await artifact.loadBuild(chooseBuild(path, builds, device));
  const sources: ByteSource[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(sources.map((source) => source.close()));
  };
  try {
    for (const file of weights?.files ?? []) sources.push(await openWeightFile(path, file));
    const openWeights = (component: string): ReturnType<typeof artifactWeights> =>
      artifactWeights(path, weights, component, sources);
    return new ArtifactFlux2Model(artifact, build, device, openWeights, close, memory);
  } catch (error) {
    await close();
    throw error;
  }
}

async function openWeightFile(artifact: string, file: WeightFile): Promise<ByteSource> {
  const path = isAbsolute(file.path) ? file.path : join(artifact, file.path);
  const described = await describeWeightFile(path, !isAbsolute(file.path)).catch(() => undefined);
  const isSame =
    described !== undefined &&
    described.byteLength === file.byteLength &&
    described.modified === file.modified &&
    described.headerSha256 === file.headerSha256;
  if (isSame) return openFileSource(path);
  throw new Flux2cError('F2C535', 'a file with weights is missing or has changed since the artifact was compiled', {
    where: [artifact, path],
    expected: `${file.byteLength} bytes${file.modified === 0 ? '' : `, of ${new Date(file.modified).toISOString()}`}`,
    found: described
      ? `${described.byteLength} bytes${described.modified === 0 ? '' : `, of ${new Date(described.modified).toISOString()}`}`
      : 'no such file of weights',
    hint: isAbsolute(file.path)
      ? 'Compile it again, or with --pack-weights to make it independent of other files.'
      : 'Copy the whole artifact again, or compile it again.',
  });
}

/** What a manifest says of a file with weights. Files inside the artifact may be copied: their time is 0. */
export async function describeWeightFile(path: string, inside: boolean): Promise<WeightFile> {
  const real = await realpath(path);
  const status = await stat(real);
  const source = await openFileSource(real);
  try {
    return {
      path: inside ? basename(path) : real,
      byteLength: status.size,
      modified: inside ? 0 : status.mtime.getTime(),
      headerSha256: await sha256(await readHeader(source)),
    };
  } finally {
    await source.close();
  }
}

/** What stands before the data of a safetensors or a GGUF file. */
async function readHeader(source: ByteSource): Promise<Uint8Array> {
  if (await isGguf(source)) {
    const { tensors } = await readGguf(source);
    return source.read(
      0,
      [...tensors.values()].reduce((least, { offset }) => Math.min(least, offset), source.size),
    );
  }
  const length = await source.read(0, 8);
  const header = Number(new DataView(length.buffer).getBigUint64(0, true));
  return source.read(0, Math.min(source.size, 8 + header));
}
