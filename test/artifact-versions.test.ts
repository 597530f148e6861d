/** Manifests of older versions, and ones that contradict themselves. */
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { artifactBackend, openArtifactFolder, openArtifactModel } from '../cli/artifact-folder.js';
import { createCpuDevice } from '../runtime/cpu/node/cpu-device.js';
import { runCommandLine } from './cli-harness.js';
import { type Json, rewriteManifest, withoutBuilds } from './rewrite-manifest.js';

const root = mkdtempSync(join(tmpdir(), 'flux2c-artifact-versions-'));
const current = join(root, 'current');
const device = createCpuDevice();
afterAll(async () => {
  await device.destroy();
  rmSync(root, { recursive: true });
});
beforeAll(async () => {
  const { exitCode, stderr } = await runCommandLine([
    'compile',
    '-o',
    current,
    '--target',
    'cpu',
    '--component',
    'vae',
  ]);
  if (exitCode !== 0) throw new Error(stderr);
});

/** A copy of the artifact with another manifest. */
function copyWith(name: string, edit: (fields: Json) => Json): string {
  const path = join(root, name);
  cpSync(current, path, { recursive: true });
  rewriteManifest(path, edit);
  return path;
}

function version2({ headers: _, kernels, ...fields }: Json): Json {
  const old = Object.entries(kernels as Record<string, Json>).map(([name, { binaries: __, ...kernel }]) => {
    return [name, kernel];
  });
  return { ...withoutBuilds(fields), version: 2, kernels: Object.fromEntries(old) as Json };
}

describe('an artifact of an older version', () => {
  it.each([
    [2, version2],
    [3, (fields: Json): Json => ({ ...withoutBuilds(fields), version: 3 })],
    [4, (fields: Json): Json => ({ ...fields, version: 4 })],
  ] as const)('is read as it always was: %s', async (version, edit) => {
    const path = copyWith(`version-${version}`, edit);
    const [old, now] = [await openArtifactFolder(path), await openArtifactFolder(current)];
    expect(old.manifest.version).toBe(version);
    expect({ ...old.manifest, version: now.manifest.version }).toEqual(now.manifest);
    expect(await old.loadBuild('cpu')).toEqual(await now.loadBuild('cpu'));
    expect(await artifactBackend(path)).toBe('cpu');
    await (await openArtifactModel(path, device)).close();
  });

  it.each([
    [1, withoutBuilds],
    [6, (fields: Json) => fields],
  ] as const)('is refused when nothing knows it any more, or yet: %s', async (version, edit) => {
    const path = copyWith(`version-${version}`, (fields) => ({ ...edit(fields), version }));
    await expect(openArtifactFolder(path)).rejects.toMatchObject({ code: 'F2C531' });
  });
});

describe('a manifest that contradicts itself', () => {
  type Builds = Record<string, { target: Json; plans: Json; kernels: readonly string[] }>;
  const editBuilds =
    (edit: (builds: Builds) => Json) =>
    (fields: Json): Json => ({ ...fields, builds: edit(fields.builds as Builds) });

  it.each([
    ['no build', () => ({}), /builds for one backend/],
    [
      'builds for two backends',
      ({ cpu }: Builds) => ({ cpu, other: { ...cpu, target: { ...cpu!.target, backend: 'cuda' } } }),
      /builds for one backend/,
    ],
    [
      'a function without a plan in one of the builds',
      ({ cpu }: Builds) => ({ cpu, other: { ...cpu, plans: { vae_encoder: cpu!.plans.vae_encoder } } }),
      /a plan of vae_decoder/,
    ],
    [
      'a kernel that has no files',
      ({ cpu }: Builds) => ({ cpu: { ...cpu, kernels: [...cpu!.kernels, 'matmul_00000000'] } }),
      /names of kernels/,
    ],
  ])('is refused: %s', async (name, edit, expected) => {
    const path = copyWith(name.replaceAll(' ', '-'), editBuilds(edit));
    await expect(openArtifactFolder(path)).rejects.toMatchObject({
      code: 'F2C530',
      detail: { expected: expect.stringMatching(expected) as unknown },
    });
  });

  it('is refused when a plan launches a kernel that its build has not', async () => {
    const path = copyWith(
      'launches',
      editBuilds(({ cpu }) => ({ cpu: { ...cpu, kernels: cpu!.kernels.slice(1) } })),
    );
    const { loadBuild } = await openArtifactFolder(path);
    await expect(loadBuild('cpu')).rejects.toMatchObject({ code: 'F2C530', detail: { found: 'none' } });
  });
});
