import { describe, expect, it } from 'vitest';
import { cudaTarget } from '../../backends/cuda/cuda-target.js';
import { cpuTarget, portableWebgpu, type Target } from '../../backends/target.js';
import { ARTIFACT_VERSION } from './manifest-body.js';
import { decodeManifest, encodeManifest, type ArtifactManifest } from './manifest.js';

async function kept(target: Target): Promise<Target | undefined> {
  const manifest: ArtifactManifest = {
    version: ARTIFACT_VERSION,
    compiler: 'test',
    model: null,
    functions: new Map(),
    builds: new Map([['one', { target, architectures: [], plans: new Map(), kernels: [] }]]),
    files: [],
    weights: null,
    kernels: new Map(),
    headers: [],
  };
  const bytes = new TextEncoder().encode(await encodeManifest(manifest));
  return (await decodeManifest(bytes, 'manifest')).builds.get('one')?.target;
}

describe('manifest', () => {
  it.each([
    ['CPU', cpuTarget],
    ['WebGPU', portableWebgpu],
    ['sm_80', cudaTarget(['sm_80'])],
    ['sm_90a', cudaTarget(['sm_90a'])],
  ])('keeps what a target can do: %s', async (_, target) => {
    expect(await kept(target)).toEqual(target);
  });

  it('knows what kernels for CUDA could rely on before it was written', async () => {
    const { narrowStores, tileWalks, mixedAccess, ...old } = cudaTarget(['sm_90a']);
    expect([narrowStores, tileWalks, mixedAccess]).toEqual([true, true, true]);
    expect(await kept(old)).toEqual(cudaTarget(['sm_90a']));
    expect(await kept({ ...old, tileWalks: false })).toMatchObject({ narrowStores: true, tileWalks: false });
  });
});
